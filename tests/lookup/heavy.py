"""An export in a process of its own: prints how much memory it took at most, in bytes.

Run: `python -m tests.lookup.heavy LAKE ROWS FORMAT`. Fills the lake with so many rows first,
in a process of its own too.
"""

import multiprocessing
import resource
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy.orm import sessionmaker

from core.durations import DAY
from core.lake_root import LakeRoot
from core.schema.rows import Kind, prediction_schema
from db.migrate import upgrade
from db.session import connect
from lake import tables
from services.read_models.export.export import ExportRequest, export
from services.read_models.export.formats import Format
from services.read_models.lookup.query import Query
from tests.streams import CONTRACT, START, add_model

APPEND = 100_000


def rows(first: int, n: int, begin: int) -> pa.Table:
    at = pa.array(begin + np.arange(n) * 1000, pa.timestamp("us", tz="UTC"))
    one, many = np.arange(n + 1), np.arange(n + 1) * 3
    lists = pa.ListArray.from_arrays(pa.array(one, pa.int32()), pa.array(np.ones(n)))
    triples = pa.ListArray.from_arrays(pa.array(many, pa.int32()), pa.array(np.ones(3 * n)))
    columns = {
        "prediction_id": pa.array(np.arange(first, first + n)).cast(pa.string()),
        "version": pa.array(["v1"] * n),
        "at": at,
        "features": pa.StructArray.from_arrays([lists, lists], ["load", "wind"]),
        "output": pa.StructArray.from_arrays([triples], ["load"]),
        "status": pa.array(["ok"] * n),
        "shadow": pa.array(np.zeros(n, np.bool_)),
        "received_at": at,
    }
    wanted = prediction_schema(CONTRACT)
    return pa.Table.from_arrays(
        [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(n, field.type)
            for field in wanted
        ],
        schema=wanted,
    )


def fill(lake: LakeRoot, database: str, n_rows: int) -> None:
    engine = connect(database)
    upgrade(engine)
    model_id = add_model(sessionmaker(engine, expire_on_commit=False))
    for group, first in enumerate(range(0, n_rows, APPEND)):
        table = tables.create_table(lake, model_id, Kind.PREDICTIONS, CONTRACT)
        begin = int((START + group // 10 * DAY).timestamp() * 1e6) + group % 10 * APPEND * 1000
        some = rows(first, min(APPEND, n_rows - first), begin)
        tables.append(table, tables.stamped(Kind.PREDICTIONS, CONTRACT, some), group + 1)


def main() -> None:
    folder, n_rows, form = Path(sys.argv[1]), int(sys.argv[2]), Format(sys.argv[3])
    lake, database = folder / "lake", f"sqlite:///{folder}/seqwatch.sqlite"
    filling = multiprocessing.get_context("spawn").Process(
        target=fill, args=(lake, database, n_rows)
    )
    filling.start()
    filling.join()
    sessions = sessionmaker(connect(database))
    (model,) = [path.name for path in lake.iterdir() if path.is_dir()]
    order = ExportRequest(model_id=UUID(model), query=Query(), form=form)
    counted = [0]

    def report(n: int) -> None:
        counted[0] += n

    n_bytes = sum(len(piece) for piece in export(sessions, lake, order, report))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(counted[0], n_bytes, most)  # noqa: T201


if __name__ == "__main__":
    main()
