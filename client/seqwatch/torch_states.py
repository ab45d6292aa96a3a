"""Samples the hidden states and gates of every LSTM and GRU in a model.

Only this module and `torch_gates` import torch; nothing else of the client does.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from seqwatch.torch_gates import (
    CANDIDATES,
    GRU_GATES,
    LSTM_GATES,
    Call,
    Recurrent,
    layers,
    read_call,
)

_log = logging.getLogger("seqwatch")

SATURATED = 0.01  # a gate this close to its bound passes hardly any gradient or change
MAX_ROWS = 64  # of a batch that are summarised
MAX_ELEMENTS = 2**22  # of one gate tensor: 16 MiB of float32
DIGEST_BYTES = 6  # a whole number that a float64 holds exactly
STATE_MEASURES = ("norm", "mean", "std", "non_finite")
MODULE_MEASURES = ("pre_norm", "pre_digest", "post_digest", "output_non_finite")


class StateSampler:
    """Summarises the states and gates of the recurrent layers of a model, every n-th call.

    Parameters
    ----------
    model
        The model that is called for a prediction; its `nn.LSTM` and `nn.GRU`
        are found. Attach before `torch.compile`; a scripted model has no hooks.
    every
        Sample one call in this many, the first included.

    Examples
    --------
    >>> model = nn.LSTM(input_size=3, hidden_size=4)
    >>> states = StateSampler(model, every=2)
    >>> _ = model(torch.zeros(5, 1, 3))
    >>> states.features()["state.lstm.l0.non_finite"]
    [0.0]
    >>> _ = model(torch.zeros(5, 1, 3))
    >>> states.features()
    {}
    """

    def __init__(self, model: nn.Module, every: int = 100) -> None:
        if every < 1:
            raise ValueError("every: at least 1")
        self._every = every
        self._calls = count()
        # The summary of a call belongs to its thread.
        self._local = threading.local()
        self._hooks = [model.register_forward_pre_hook(self._begin)]
        for name, module in _recurrent(model):
            # One hook for each module: it does not get the module's name.
            hook = _Hook(self._local, name)
            self._hooks.append(module.register_forward_hook(hook, with_kwargs=True))

    def features(self, row: int = 0) -> dict[str, list[float]]:
        """Return the summary of one row of the last call of this thread.

        Parameters
        ----------
        row
            Its place in the batch.

        Returns
        -------
        dict
            To be added to the features of its prediction. Empty when the call
            was not sampled, or the row is beyond those that are summarised.
        """
        seen: dict[str, list[float]] = getattr(self._local, "seen", {})
        return {name: [values[row]] for name, values in seen.items() if 0 <= row < len(values)}

    def close(self) -> None:
        """Remove the hooks from the model."""
        for hook in self._hooks:
            hook.remove()

    def _begin(self, module: nn.Module, arguments: object) -> None:
        local = self._local
        local.is_wanted = next(self._calls) % self._every == 0
        local.seen = {}


class _Hook:
    __slots__ = ("_is_warned", "_local", "_name")

    def __init__(self, local: threading.local, name: str) -> None:
        self._local = local
        self._name = name
        self._is_warned = False

    def __call__(
        self, module: Recurrent, given: tuple[Any, ...], named: dict[str, Any], returned: Any
    ) -> None:
        if not getattr(self._local, "is_wanted", False):
            return
        try:
            with torch.no_grad():
                self._local.seen.update(_summary(self._name, module, given, named, returned))
        except Exception:  # noqa: BLE001 - an error here must not fail the prediction
            if not self._is_warned:
                self._is_warned = True
                _log.exception("the states of %s could not be summarised", self._name)


def state_features(model: nn.Module) -> list[dict[str, Any]]:
    """Return what a contract has to declare under `features` for the summaries.

    Every one is optional: most rows do not carry them.

    Examples
    --------
    >>> state_features(nn.GRU(input_size=1, hidden_size=2))[0]
    {'name': 'state.gru.pre_norm', 'max_length': 1, 'optional': True}
    """
    return [
        {"name": name, "max_length": 1, "optional": True}
        for label, module in _recurrent(model)
        for name in _names(label, module)
    ]


def _recurrent(model: nn.Module) -> Iterator[tuple[str, Recurrent]]:
    for path, module in model.named_modules():
        if isinstance(module, nn.LSTM | nn.GRU):
            yield f"state.{path or type(module).__name__.lower()}", module


def _names(label: str, module: Recurrent) -> Iterator[str]:
    is_lstm = isinstance(module, nn.LSTM)
    for measure in MODULE_MEASURES:
        yield f"{label}.{measure}"
    for layer in range(module.num_layers):
        for suffix in ("", "_reverse") if module.bidirectional else ("",):
            part = f"{label}.l{layer}{suffix}"
            for measure in (*STATE_MEASURES, *(["cell_norm"] if is_lstm else [])):
                yield f"{part}.{measure}"
            for gate in LSTM_GATES if is_lstm else GRU_GATES:
                yield f"{part}.{gate}.mean"
                yield f"{part}.{gate}.saturated"


def _summary(
    label: str,
    module: Recurrent,
    given: tuple[Any, ...],
    named: dict[str, Any],
    returned: Any,
) -> dict[str, list[float]]:
    inputs = given[0] if given else named["input"]
    before = given[1] if len(given) > 1 else named.get("hx")
    call = read_call(module, inputs, before, returned)
    call = call.first(_n_rows(module, call))
    measured: dict[str, Tensor] = {
        f"{label}.pre_norm": _norm(torch.cat(call.before)),
        f"{label}.output_non_finite": _non_finite(call.outputs * call.is_inside[..., None]),
    }
    measured |= _of_states(label, module, call)
    for part, gates in layers(module, call):
        for gate, values in gates.items():
            measured |= _of_gate(f"{label}.{part}.{gate}", values, call, gate in CANDIDATES)
    # One transfer from the device for all of them.
    columns = torch.stack([each.double() for each in measured.values()]).tolist()
    return dict(zip(measured, columns, strict=True)) | {
        f"{label}.pre_digest": _digests(call.before),
        f"{label}.post_digest": _digests(call.after),
    }


def _n_rows(module: Recurrent, call: Call) -> int:
    n_steps, n_rows, _ = call.inputs.shape
    most = MAX_ELEMENTS // (n_steps * 4 * module.hidden_size)
    return max(min(n_rows, MAX_ROWS, most), 1)


def _of_states(label: str, module: Recurrent, call: Call) -> dict[str, Tensor]:
    measured: dict[str, Tensor] = {}
    hidden = call.after[0]
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    for i in range(hidden.shape[0]):
        part = f"{label}.l{i // len(suffixes)}{suffixes[i % len(suffixes)]}"
        measured[f"{part}.norm"] = torch.linalg.vector_norm(hidden[i], dim=-1)
        measured[f"{part}.mean"] = hidden[i].mean(dim=-1)
        measured[f"{part}.std"] = hidden[i].std(dim=-1, correction=0)
        measured[f"{part}.non_finite"] = sum(
            ((~state[i].isfinite()).sum(dim=-1) for state in call.after),
            torch.zeros(hidden.shape[1], dtype=torch.int64, device=hidden.device),
        )
        if len(call.after) > 1:
            measured[f"{part}.cell_norm"] = torch.linalg.vector_norm(call.after[1][i], dim=-1)
    return measured


def _of_gate(name: str, values: Tensor, call: Call, is_tanh: bool) -> dict[str, Tensor]:
    """Mean and saturated share over the steps and units of each row."""
    inside = call.is_inside[..., None]
    n = call.lengths * values.shape[-1]
    low = values.abs() > 1 - SATURATED if is_tanh else values < SATURATED
    is_saturated = low if is_tanh else low | (values > 1 - SATURATED)
    return {
        f"{name}.mean": torch.where(inside, values, 0.0).sum(dim=(0, 2)) / n,
        f"{name}.saturated": (is_saturated & inside).sum(dim=(0, 2)) / n,
    }


def _norm(states: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(states.transpose(0, 1).flatten(1), dim=-1)
    return norm


def _non_finite(values: Tensor) -> Tensor:
    return (~values.isfinite()).sum(dim=(0, 2))


def _digests(states: tuple[Tensor, ...]) -> list[float]:
    """Return a digest of the states of each row, as a number."""
    rows = torch.cat([state.transpose(0, 1).flatten(1) for state in states], dim=1)
    stored = rows.float().contiguous().cpu().numpy()
    return [
        float(int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest()))
        for row in stored
    ]
