"""What an inference service needs to be watched by Seqwatch."""

from seqwatch.monitor import Counts, Monitor, Options
from seqwatch.router import ArtifactUnavailable, Router
from seqwatch.routing import Routing, Served
from seqwatch.spool import SpoolInUse

__all__ = [
    "ArtifactUnavailable",
    "Counts",
    "Monitor",
    "Options",
    "Router",
    "Routing",
    "Served",
    "SpoolInUse",
]
