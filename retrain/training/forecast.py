"""Forecast with a trained network, raw units in and out."""

from dataclasses import dataclass

import numpy as np
import torch

from retrain.training.segment_lstm import SegmentLstm
from retrain.windows import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecaster:
    """A network and the scaler that belongs to it, `mean` and `std` each (channel,)."""

    network: SegmentLstm
    mean: Floats
    std: Floats


def forecast(forecaster: Forecaster, contexts: Floats) -> Floats:
    """Forecast a batch.

    Parameters
    ----------
    forecaster
        From `artifacts.decode`.
    contexts : (batch, input, channel)
        In the unit of the readings, the newest step last.

    Returns
    -------
    (batch, horizon, channel)
        In the unit of the readings. NaN wherever a context holds one.

    Raises
    ------
    ValueError
        If the contexts have another shape than the network was made for.
    """
    config = forecaster.network.config
    expected = (config.input_length, config.n_channels)
    if contexts.shape[1:] != expected:
        raise ValueError(f"contexts have shape {contexts.shape}, expected (batch, *{expected})")
    scaled = ((contexts - forecaster.mean) / forecaster.std).astype(np.float32)
    with torch.inference_mode():
        predicted = forecaster.network(torch.from_numpy(scaled)).numpy()
    restored: Floats = predicted.astype(np.float64) * forecaster.std + forecaster.mean
    return restored
