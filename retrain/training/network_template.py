"""The implementation of templates whose model is one network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from retrain.plan import Sizes
from retrain.template import FitRun, Trained, TrainingSet
from retrain.training import artifacts
from retrain.training.fit import Recipe, fit
from retrain.training.forecast import Forecaster, Network, Shape, forecast
from retrain.windows import Floats

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTemplate(Generic[P, Shape]):
    """`retrain.template.Template` for networks: training, checkpoints and artifacts.

    Attributes
    ----------
    format
        Of its artifacts.
    shape, shape_of
        A frozen dataclass that describes a network, and the one for parameters, sizes and
        number of channels.
    network
        Makes a network of a shape.
    recipe_of
        How it is trained, given the parameters.
    """

    format: str
    shape: type[Shape]
    network: Callable[[Shape], Network]
    shape_of: Callable[[P, Sizes, int], Shape]
    recipe_of: Callable[[P], Recipe]

    def fit(self, params: P, data: TrainingSet, run: FitRun[Forecaster]) -> Trained[Forecaster]:
        """Train a network; from the base where that has the same shape."""
        shape = self.shape_of(params, data.sizes, data.inputs.shape[2])
        return fit(lambda: self.network(shape), shape, self.recipe_of(params), data, run)

    def predict(self, fitted: Forecaster, contexts: Floats) -> Floats:
        """Forecast."""
        return forecast(fitted, contexts)

    def encode(self, fitted: Forecaster) -> bytes:
        """Return the artifact."""
        return artifacts.encode(fitted, self.format)

    def decode(self, content: bytes, sha256: str) -> Forecaster:
        """Load an artifact."""
        return artifacts.decode(content, sha256, self.format, self.shape, self.network)
