"""Client of Seqwatch for inference services: logs predictions, labels and events."""

from seqwatch.monitor import Monitor
from seqwatch.options import Counts, Options
from seqwatch.prediction import Prediction
from seqwatch.resources import ResourceSampler
from seqwatch.router import ArtifactUnavailable, Router
from seqwatch.routing import Routing, Served

__all__ = [
    "ArtifactUnavailable",
    "Counts",
    "Monitor",
    "Options",
    "Prediction",
    "ResourceSampler",
    "Router",
    "Routing",
    "Served",
]
