"""Forecast with a trained network, raw units in and out."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from retrain.windows import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """The shape of a network. Stored in its artifact; a network may add to it.

    Attributes
    ----------
    n_channels
        Inputs, which are the targets too.
    input_length, horizon
        Steps of the input, and of the forecast.
    """

    n_channels: int
    input_length: int
    horizon: int

    def __post_init__(self) -> None:
        if min(self.n_channels, self.input_length, self.horizon) < 1:
            raise ValueError(f"impossible sizes in {self}")


Shape = TypeVar("Shape", bound=NetworkShape)


class Network(nn.Module):
    """A network that forecasts (batch, horizon, channel) of (batch, input, channel).

    Both standardised; the last step of the input is the newest.
    """

    def __init__(self, config: NetworkShape) -> None:
        super().__init__()
        self.config = config

    def __call__(self, context: Tensor) -> Tensor:
        """Forecast."""
        outputs: Tensor = super().__call__(context)
        return outputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecaster:
    """A network and the scaler that belongs to it, `mean` and `std` each (channel,)."""

    network: Network
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
