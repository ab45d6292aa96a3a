"""`seqwatch plugins`: what is installed at each extension point."""

import argparse

from core.settings import Settings
from monitors import registry


def run(_: Settings, __: argparse.Namespace) -> int:
    """Print every plug-in, and why one is unavailable; return 1 when one is."""
    kinds = registry.KINDS
    print(kinds.group)
    width = max(map(len, (*kinds.names(), *kinds.unavailable)), default=0)
    for kind in kinds:
        print(f"  {kind.name:{width}}  {kind.question}")
    for name, why in kinds.unavailable.items():
        print(f"  {name:{width}}  UNAVAILABLE: {why}")
    return 1 if kinds.unavailable else 0
