"""Segment LSTM: a forecaster that reads days as segments, fast on a CPU."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.stored import from_attributes
from retrain.plan import Sizes
from retrain.templates.segment_lstm import FORMAT, Params
from retrain.training.fit import Recipe
from retrain.training.forecast import Network, NetworkShape
from retrain.training.network_template import NetworkTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(NetworkShape):
    """The shape of a network. Stored in its artifact.

    Attributes
    ----------
    segment
        Steps that one recurrent step reads at once; divides `input_length`.
    width
        Of the embedding and of the hidden state.
    dropout
        Share of the last hidden state that is dropped in training.
    """

    segment: int
    width: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        sizes = (self.n_channels, self.input_length, self.horizon, self.segment, self.width)
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"impossible sizes in {self}")
        if self.input_length % self.segment:
            raise ValueError(f"{self.segment} steps do not divide {self.input_length}")


class SegmentLstm(Network):
    """Segment-LSTM with last-value normalisation and channel mixing.

    A token is a segment of all channels, so that the network may learn how
    they relate. The last value is taken off the input and added to the
    output: one line that saves a third of the error, because the network need
    not learn the level.

    References
    ----------
    .. [1] S. Lin et al., "SegRNN: Segment recurrent neural network for
       long-term time series forecasting", arXiv 2308.11200, 2023.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.embed = nn.Linear(config.segment * config.n_channels, config.width)
        self.recur = nn.LSTM(config.width, config.width, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.width, config.horizon * config.n_channels)

    def forward(self, context: Tensor) -> Tensor:
        """Forecast.

        Parameters
        ----------
        context : (batch, input, channel)
            Standardised; the last step is the newest.

        Returns
        -------
        (batch, horizon, channel)
            Standardised.
        """
        config = self.config
        last = context[:, -1:, :]
        tokens = (context - last).reshape(
            len(context), config.input_length // config.segment, -1
        )
        hidden, _ = self.recur(torch.relu(self.embed(tokens)))
        outputs: Tensor = self.output(self.drop(hidden[:, -1]))
        return outputs.reshape(len(context), config.horizon, config.n_channels) + last


def segment_for(input_length: int, longest: int = 24) -> int:
    """Return the longest segment up to `longest` that divides the input.

    Examples
    --------
    >>> segment_for(96), segment_for(50), segment_for(7)
    (24, 10, 7)
    """
    return max(s for s in range(1, min(longest, input_length) + 1) if input_length % s == 0)


def _config(params: Params, sizes: Sizes, n_channels: int) -> Config:
    segment = segment_for(sizes.input_length)
    return from_attributes(Config, sizes, params, n_channels=n_channels, segment=segment)


def _recipe(params: Params) -> Recipe:
    return from_attributes(Recipe, params)


TEMPLATE = NetworkTemplate(
    format=FORMAT, shape=Config, network=SegmentLstm, shape_of=_config, recipe_of=_recipe
)
