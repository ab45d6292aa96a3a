"""The model that all four services serve, and its contract."""

from typing import Any

import torch
from seqwatch.torch_states import state_features
from torch import Tensor, nn

N_STEPS, N_FEATURES, HORIZON = 24, 2, 3
State = tuple[Tensor, Tensor]


class Forecaster(nn.Module):
    """An LSTM that forecasts the next hours of a load."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.rnn = nn.LSTM(N_FEATURES, 16, batch_first=True)
        self.head = nn.Linear(16, HORIZON)

    def forward(self, windows: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the forecasts and the state after the windows.

        Parameters
        ----------
        windows : (row, step, feature)
        state
            Of the step before the windows; None at the start of a session.
        """
        outputs, after = self.rnn(windows, state)
        return self.head(outputs[:, -1]), after


CONTRACT: dict[str, Any] = {
    "features": [
        {"name": "load", "unit": "MW", "max_length": N_STEPS},
        {"name": "temperature", "unit": "°C", "max_length": N_STEPS},
        *state_features(Forecaster()),
    ],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": N_STEPS,
    "horizon": HORIZON,
}
