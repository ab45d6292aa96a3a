"""Run `seqwatch skew`: compare two files of the same rows, computed offline and in serving."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
from sqlalchemy.orm import sessionmaker

from cli.importing import reading
from core import moments
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.settings import Settings
from db.queries import models
from db.session import connect, read_only
from services.skew.compare import Cell, Compared, ComparisonRequest, compare

_INPUT = "features."  # before the name of a feature in a file that `seqwatch export` wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One side: the ids in order, and every column."""

    name: str
    ids: list[str]
    columns: dict[str, list[Any]]


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Print what differs and by which fault; 0 when the rows pass as golden vectors.

    Raises
    ------
    Unprocessable
        If a file cannot be read, or the two have no rows or columns in common.
    """
    offline, online = (_read(path, given.id) for path in (given.offline, given.online))
    contract = None if given.model is None else _contract(settings, given.model)
    place = {one: i for i, one in enumerate(online.ids)}
    both = [(i, place[one]) for i, one in enumerate(offline.ids) if one in place]
    if not both:
        raise Unprocessable(f"no {given.id} is in both files")
    here, there = [i for i, _ in both], [j for _, j in both]
    names, left_out = _shared(offline, online, given)
    asked = ComparisonRequest(
        offline={name: _cells(offline, name, here) for name in names},
        online={name: _cells(online, name, there) for name in names},
        at=_moments(offline, given.at, here),
        tolerance=given.tolerance,
    )
    found = compare(asked, contract, n_absent=len(offline.ids) - len(both))
    if given.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        write_report(found, left_out, sys.stdout)
    return 0 if found.golden.passed else 1


def write_report(found: Compared, left_out: Sequence[str], out: TextIO) -> None:
    """Write one line for each column, and the verdict."""
    for one in found.features:
        message = "; ".join(named.message for named in one.faults)
        line = f"{one.name}: {one.verdict}"
        if message:
            line += f": {message}"
        if one.is_skewed and one.distance is not None:
            line += f" (apart by {one.distance:.3g} spreads"
            line += ")" if one.left is None else f", {one.left:.1g} after undoing it)"
        for kinds in one.also:
            line += f"; or {' and '.join(kinds)}"
        out.write(f"{line}\n")
    if left_out:
        out.write(f"not compared: {', '.join(left_out)}\n")
    verdict = "passed" if found.golden.passed else f"failed: {'; '.join(found.golden.reasons)}"
    out.write(f"{found.n_rows} rows as golden vectors: {verdict}\n")


def _contract(settings: Settings, model: str) -> Contract:
    engine = connect(settings.database_url)
    try:
        with read_only(sessionmaker(engine)) as session:
            return Contract.from_json(models.find(session, model).contract)
    finally:
        engine.dispose()


def _read(path: Path, id_column: str) -> _File:
    source = reading.find(path)
    if id_column not in source.columns:
        raise Unprocessable(f"{path.name}: no column {id_column!r}")
    tables = [*source.read(source.columns)]
    if not tables:
        raise Unprocessable(f"{path.name}: no row")
    table = pa.concat_tables(tables)
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    columns = {
        name.removeprefix(_INPUT): table[name].to_pylist() for name in table.column_names
    }
    ids = [str(one) for one in columns[id_column]]
    if len({*ids}) < len(ids):
        raise Unprocessable(f"{path.name}: column {id_column!r} names a row twice")
    return _File(name=path.name, ids=ids, columns=columns)


def _shared(
    offline: _File, online: _File, given: argparse.Namespace
) -> tuple[list[str], list[str]]:
    """Return the columns to compare, and those of offline that are left out."""
    wanted = given.column or [
        name for name in offline.columns if name not in (given.id, given.at)
    ]
    names = [
        name
        for name in wanted
        if all(
            name in side.columns and _holds_numbers(side, name) for side in (offline, online)
        )
    ]
    left_out = [name for name in wanted if name not in names]
    if given.column and left_out:
        raise Unprocessable(f"not columns of numbers in both files: {', '.join(left_out)}")
    if not names:
        raise Unprocessable("the files have no column of numbers in common")
    return names, left_out


def _holds_numbers(side: _File, name: str) -> bool:
    try:
        _cells(side, name, range(len(side.ids)))
    except Unprocessable:
        return False
    return True


def _cells(side: _File, name: str, rows: Sequence[int]) -> list[Cell]:
    column = side.columns[name]
    try:
        return [_cell(column[row]) for row in rows]
    except (TypeError, ValueError):
        raise Unprocessable(f"{side.name}: column {name!r} holds more than numbers") from None


def _cell(value: object) -> Cell:
    """Read a number, or a list of them, which in CSV is JSON."""
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        return [_number(step) for step in value]
    return _number(value)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value) if math.isfinite(value) else None


def _moments(side: _File, name: str, rows: Sequence[int]) -> list[datetime] | None:
    """Return the times of rows, where the file has them."""
    if name not in side.columns:
        return None
    found = []
    for row in rows:
        value = side.columns[name][row]
        try:
            moment = value if isinstance(value, datetime) else moments.parse(value)
        except (AttributeError, ValueError):
            raise Unprocessable(f"{side.name}: row {row}, {name}: no time") from None
        if moment.tzinfo is None:
            raise Unprocessable(f"{side.name}: row {row}, {name}: a time without a zone")
        found.append(moment)
    return found
