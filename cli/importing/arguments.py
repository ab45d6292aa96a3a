"""What `seqwatch import` and `seqwatch backtest` take."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from core.errors import Unprocessable

UNITS = ("s", "ms", "us")


def add_import(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch import`."""
    option = command.add_argument
    option("model", help="the registered model whose rows these are")
    option("files", nargs="+", type=Path, metavar="FILE", help="CSV, Parquet or a Delta table")
    option("--map", action="append", default=[], metavar="FIELD=COLUMN[,COLUMN]")
    option(
        "--version",
        dest="version_name",
        metavar="NAME",
        help="which version predicted, for all rows",
    )
    option("--entity", metavar="NAME", help="what was predicted, for all rows")
    option("--timezone", metavar="ZONE", help="of times that name no zone, e.g. Europe/Berlin")
    option("--epoch", choices=UNITS, help="what whole numbers count")
    option("--reference", action="store_true", help="past input that no model has served")
    option("--series", action="store_true", help="each row is one moment of a series")
    option(
        "--check", action="store_true", help="send nothing; list the rows that would be refused"
    )
    option(
        "--live", action="store_true", help="let what is found fire alerts, as if it came now"
    )
    option("--no-backtest", action="store_true", help="no backtest of the monitors")
    option("--reference-days", type=int, metavar="N", help="backtest against the first N days")
    option(
        "--wait",
        type=float,
        default=900.0,
        metavar="SECONDS",
        help="for the worker, at the end",
    )
    option(
        "--batch-rows",
        type=int,
        default=20_000,
        metavar="N",
        help="rows sent together, at most",
    )
    option("--url", help="of the platform; by default SEQWATCH_PUBLIC_URL")
    option("--key-file", type=Path, help="holds the key; else SEQWATCH_KEY holds it")
    option("--state", type=Path, default=Path("var/import"), help="where to note what is done")


def add_backtest(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `seqwatch backtest`."""
    option = command.add_argument
    option("model", help="whose days")
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--list", action="store_true", help="list the backtests requested over the API"
    )
    instead.add_argument("--cancel", type=UUID, metavar="ID", help="cancel one of them")
    option("--since", type=_moment, metavar="DAY", help="by default the first")
    option("--until", type=_moment, metavar="DAY", help="by default the last that has closed")
    option(
        "--monitor-file",
        type=Path,
        metavar="FILE",
        help="JSON: a list of monitors to try, each with name, kind and params",
    )
    option("--reference-days", type=int, metavar="N", help="measure against the first N days")
    option(
        "--wait",
        type=float,
        nargs="?",
        const=600.0,
        default=0.0,
        metavar="SECONDS",
        help="wait until the worker has joined every row, by default for 600 s at most",
    )
    option("--json", action="store_true", help="print it as JSON")


def columns_of(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read `FIELD=COLUMN` and `FIELD=COLUMN,COLUMN`.

    Raises
    ------
    Unprocessable
        If one has not that form, or a field is named twice.

    Examples
    --------
    >>> columns_of(["at=timestamp", "output.load=h1,h2"])
    {'at': ('timestamp',), 'output.load': ('h1', 'h2')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        name, equals, columns = each.partition("=")
        names = tuple(column for column in columns.split(",") if column)
        if not equals or not name or not names:
            raise Unprocessable(f"--map {each!r}: expected FIELD=COLUMN or FIELD=COLUMN,COLUMN")
        if name in found:
            raise Unprocessable(f"--map: {name} is mapped twice")
        found[name] = names
    return found


def _moment(text: str) -> datetime:
    from core import moments  # with Arrow: not for a help text

    moment = moments.parse(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
