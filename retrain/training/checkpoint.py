"""Checkpoints: the whole state of a training after an epoch, in safetensors."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from retrain.artifact_header import ENTRY
from retrain.template import Epoch, FitRun, TrainingSet
from retrain.training.forecast import Forecaster, NetworkShape

NAME = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A training after an epoch.

    Attributes
    ----------
    weights, best
        Of the network now, and after the epoch that validated best, by name.
    moments
        Of Adam, by index of the parameter and name.
    schedule
        Plain JSON: the state of the schedule of the learning rate.
    random
        State of the generator.
    """

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[int, Mapping[str, Tensor]]
    schedule: Mapping[str, Any]
    random: Tensor
    epochs: tuple[Epoch, ...]
    seconds: float


def identity(
    shape: NetworkShape, recipe: object, data: TrainingSet, run: FitRun[Forecaster]
) -> str:
    """Return a digest of all that the result of a training depends on."""
    settings = [str(torch.__version__), type(shape).__qualname__, shape, recipe, run.seed]
    digest = hashlib.sha256(msgspec.json.encode(settings))
    arrays: list[NDArray[Any]] = [data.inputs, data.targets]
    for windows in (data.learn, data.validate):
        arrays += [windows.entity, windows.origin]
    if run.base is not None:
        arrays += [run.base.mean, run.base.std]
        arrays += [one.detach().numpy() for one in run.base.network.state_dict().values()]
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write(folder: Path, identity_: str, state: State) -> None:
    """Replace the checkpoint in a folder; whole, or not at all."""
    tensors = {"random": state.random}
    for prefix, part in (("weights", state.weights), ("best", state.best)):
        tensors |= {f"{prefix}.{name}": one.clone() for name, one in part.items()}
    for number, moments in state.moments.items():
        tensors |= {f"moments.{number}.{name}": one for name, one in moments.items()}
    entry = {
        "identity": identity_,
        "schedule": state.schedule,
        "epochs": msgspec.to_builtins(state.epochs),
        "seconds": state.seconds,
    }
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f".incoming-{NAME}"
    with incoming.open("wb") as file:
        file.write(save(tensors, metadata={ENTRY: json.dumps(entry)}))
        file.flush()
        os.fsync(file.fileno())
    incoming.replace(folder / NAME)


def read(folder: Path, identity_: str) -> State | None:
    """Return the checkpoint in a folder; None if absent, damaged or of another training."""
    try:
        content = (folder / NAME).read_bytes()
        tensors = load(content)
    except (FileNotFoundError, SafetensorError):
        return None
    length = int.from_bytes(content[:8], "little")
    entry = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][ENTRY])
    if entry["identity"] != identity_:
        return None
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("moments."):
            _, number, which = name.split(".")
            moments.setdefault(int(number), {})[which] = tensor
    return State(
        weights=_part(tensors, "weights."),
        best=_part(tensors, "best."),
        moments=moments,
        schedule=entry["schedule"],
        random=tensors["random"],
        epochs=msgspec.convert(entry["epochs"], tuple[Epoch, ...]),
        seconds=entry["seconds"],
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
