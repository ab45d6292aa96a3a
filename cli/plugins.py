"""`seqwatch plugins`: what is installed at each extension point."""

import argparse
from typing import Any

from core.plugins import Registry
from core.schema.task import TASKS
from core.settings import Settings
from monitors.diagnosis import DIAGNOSES
from monitors.registry import KINDS
from monitors.slo.sli import SLIS
from notify.channel import CHANNELS
from sources.kind import SOURCES

REGISTRIES: tuple[Registry[Any], ...] = (TASKS, KINDS, SLIS, DIAGNOSES, CHANNELS, SOURCES)


def run(_: Settings, __: argparse.Namespace) -> int:
    """Print every plug-in, and why one is unavailable; return 1 when one is."""
    for registry in REGISTRIES:
        print(registry.group)
        width = max(map(len, (*registry.names(), *registry.unavailable)), default=0)
        for plugin in registry:
            print(f"  {plugin.name:{width}}  {plugin.question}")
        for name, why in registry.unavailable.items():
            print(f"  {name:{width}}  UNAVAILABLE: {why}")
    return 1 if any(registry.unavailable for registry in REGISTRIES) else 0
