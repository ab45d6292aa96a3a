"""Arguments of the commands about configuration files."""

import argparse
from pathlib import Path

_URL = "of the platform; by default SEQWATCH_PUBLIC_URL"


def _add_files(parser: argparse.ArgumentParser, text: str, *, is_required: bool = True) -> None:
    parser.add_argument(
        "-f", dest="directory", metavar="DIR", type=Path, required=is_required, help=text
    )
    parser.add_argument("--url", help=_URL)


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch diff`."""
    _add_files(parser, "folder of YAML files, or one file")
    parser.add_argument(
        "--prune", action="store_true", help="also remove what the files do not name"
    )


def add_apply(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch apply`."""
    add_diff(parser)
    parser.add_argument("--yes", action="store_true", help="remove without asking")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch export` that are about the configuration."""
    _add_files(parser, "write the configuration to this folder", is_required=False)
