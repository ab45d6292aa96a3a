"""Drills: what a test of the safety net does to a challenger."""

from dataclasses import dataclass

import msgspec
import numpy as np

from retrain.artifact_header import ENTRY, declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """Test of the safety net: the weights of the next challenger are scrambled.

    Attributes
    ----------
    damages_challenger
        The gate must reject it.
    bypasses_gate
        The gate accepts every challenger: the canary must roll a damaged one back.
    """

    damages_challenger: bool = False
    bypasses_gate: bool = False


NO_DRILL = Drill()


def scramble(content: bytes, seed: int) -> bytes:
    """Return an artifact whose weights are permuted and three times as large.

    Tensors of a scaler stay: the artifact is valid, and its forecasts are useless.
    """
    from safetensors.numpy import load, save

    random = np.random.default_rng(seed)
    tensors = {
        name: weights
        if name.startswith("scaler.")
        else 3 * random.permutation(weights.ravel()).reshape(weights.shape)
        for name, weights in sorted(load(content).items())
    }
    return save(tensors, metadata={ENTRY: msgspec.json.encode(declared(content)).decode()})
