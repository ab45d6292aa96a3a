"""The template `segment_lstm`: a small LSTM over segments of the input, fast on a CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.schema.contract import Contract
from retrain.template import Template, TemplateKind, forecasts_own_inputs

FORMAT = "seqwatch segment-lstm 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Size of the network, and how it is trained.

    Attributes
    ----------
    width
        Of the embedding and of the hidden state.
    dropout
        Share of the last hidden state that is dropped in training.
    learning_rate
        Of Adam; halved when the validation error has not fallen for two epochs.
    batch_size
        Windows per step.
    max_epochs, patience
        Stop after so many epochs, or so many without a better validation error.
    """

    width: int = 128
    dropout: float = 0.3
    learning_rate: float = 1e-3
    batch_size: int = 256
    max_epochs: int = 20
    patience: int = 3

    def __post_init__(self) -> None:
        whole = self.width, self.batch_size, self.max_epochs, self.patience
        if min(whole) < 1:
            raise ValueError("width, batch_size, max_epochs and patience must be at least 1")
        if self.width > 4096:
            raise ValueError("width must be at most 4096")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and less than 1")
        if not 0 < self.learning_rate <= 1:
            raise ValueError("learning_rate must be more than 0 and at most 1")


def refuses(_: Params, contract: Contract) -> Sequence[str]:
    """Return why it cannot forecast a model."""
    return forecasts_own_inputs(contract)


def load() -> Template[Params, Any]:
    """Import the implementation, and PyTorch with it."""
    from retrain.training.segment_lstm import TEMPLATE

    return TEMPLATE


KIND = TemplateKind(
    name="segment_lstm",
    question="A small LSTM that forecasts its own inputs, fast on a CPU.",
    params=Params,
    format=FORMAT,
    refuses=refuses,
    load=load,
)
