"""Run `seqwatch skew`: compare two files of the same rows, computed offline and in serving."""

import argparse
import json
import sys
from pathlib import Path

import pyarrow as pa

from cli.database import connected
from cli.importing import reading
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.settings import Settings
from db.queries import models
from db.session import read_only
from monitors import diagnosis
from monitors.diagnosis import DiagnosisRequest, Table

_INPUT = "features."  # before the name of a feature in a file that `seqwatch export` wrote


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Print what differs and by which fault; 0 when the rows pass as golden vectors.

    Raises
    ------
    NotInstalled
        If the diagnosis is unavailable.
    Unprocessable
        If a file cannot be read, or the two have no rows or columns in common.
    """
    skew = diagnosis.find("skew", "seqwatch-skew")
    request = DiagnosisRequest(
        offline=_read(given.offline),
        online=_read(given.online),
        contract=None if given.model is None else _contract(settings, given.model),
    )
    params = {"tolerance": given.tolerance, "id": given.id, "at": given.at}
    report = skew.report(skew.run({**params, "columns": given.column or ()}, request))
    sys.stdout.write(
        json.dumps(report.document, indent=2) + "\n" if given.json else report.text
    )
    return 0 if report.passed else 1


def _contract(settings: Settings, model: str) -> Contract:
    with connected(settings) as sessions, read_only(sessions) as session:
        return models.find(session, model).contract


def _read(path: Path) -> Table:
    source = reading.find(path)
    tables = [*source.read(source.columns)]
    if not tables:
        raise Unprocessable(f"{path.name}: no row")
    table = pa.concat_tables(tables)
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    columns = {
        name.removeprefix(_INPUT): table[name].to_pylist() for name in table.column_names
    }
    return Table(name=path.name, columns=columns)
