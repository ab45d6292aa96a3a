"""`seqwatch plugins`: what is installed at each extension point."""

import argparse

from core.settings import Settings
from services.read_models.plugins import REGISTRIES, Parameter, installed


def run(_: Settings, __: argparse.Namespace) -> int:
    """Print every plug-in, and why one is unavailable; return 1 when one is."""
    for registry in REGISTRIES:
        print(registry.group)
        found = [*installed(registry.group)]
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            print(f"  {one.name:{width}}  {_described(one.question, one.unavailable)}")
            if one.parameters:
                print(f"  {'':{width}}    {', '.join(map(_parameter, one.parameters))}")
    return 1 if any(registry.unavailable for registry in REGISTRIES) else 0


def _described(question: str, unavailable: str | None) -> str:
    return question if unavailable is None else f"UNAVAILABLE: {unavailable}"


def _parameter(one: Parameter) -> str:
    return one.name if one.default is None else f"{one.name} = {one.default}"
