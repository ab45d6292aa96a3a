"""DLinear: a linear map of the trend and one of the remainder [1]_.

.. [1] A. Zeng et al., "Are transformers effective for time series forecasting?", AAAI, 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from core.schema.contract import Contract
from retrain.template import Template, TemplateKind, forecasts_own_inputs

FORMAT = "dlinear 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Steps of the moving average that is the trend, and how long to train."""

    kernel: int = 25
    epochs: int = 10
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        if self.epochs < 1:
            raise ValueError("epochs must be at least 1")


def refuses(_: Params, contract: Contract) -> Sequence[str]:
    """Return why it cannot forecast a model."""
    return forecasts_own_inputs(contract)


@cache
def load() -> Template[Params, Any]:
    """Import PyTorch: only what trains or tests does."""
    from torch import Tensor, nn
    from torch.nn.functional import avg_pool1d, pad

    from retrain.plan import Sizes
    from retrain.training.fit import Recipe
    from retrain.training.forecast import Network, NetworkShape
    from retrain.training.network_template import NetworkTemplate

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Shape(NetworkShape):
        kernel: int

    class DLinear(Network):
        def __init__(self, config: Shape) -> None:
            super().__init__(config)
            self.reach = config.kernel // 2
            self.trend = nn.Linear(config.input_length, config.horizon)
            self.remainder = nn.Linear(config.input_length, config.horizon)

        def forward(self, context: Tensor) -> Tensor:
            series = context.transpose(1, 2)
            padded = pad(series, (self.reach, self.reach), mode="replicate")
            trend = avg_pool1d(padded, 2 * self.reach + 1, stride=1)
            outputs: Tensor = self.trend(trend) + self.remainder(series - trend)
            return outputs.transpose(1, 2)

    def shape(params: Params, sizes: Sizes, n_channels: int) -> Shape:
        return Shape(
            n_channels=n_channels,
            input_length=sizes.input_length,
            horizon=sizes.horizon,
            kernel=params.kernel,
        )

    def recipe(params: Params) -> Recipe:
        return Recipe(learning_rate=params.learning_rate, max_epochs=params.epochs)

    return NetworkTemplate(
        format=FORMAT, shape=Shape, network=DLinear, shape_of=shape, recipe_of=recipe
    )


KIND = TemplateKind(
    name="dlinear",
    question="Two linear maps: of the trend, and of what remains.",
    params=Params,
    format=FORMAT,
    refuses=refuses,
    load=load,
)
