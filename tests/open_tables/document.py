"""Write the columns of the open tables into their page: run it with `python -m`."""

import re
from collections.abc import Iterator
from pathlib import Path

from services.open_tables import findings, open_table
from services.open_tables.open_table import TEXT, Column
from services.open_tables.registry import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "open-tables.md"
COMMON = (
    *open_table.MODEL,
    *open_table.MONITOR,
    open_table.VERSION,
    *open_table.WINDOW,
    *open_table.KNOWN,
)


def sections() -> Iterator[tuple[str, list[Column]]]:
    """Yield the headings below Columns, each with the columns that it describes."""
    yield "Common", [*COMMON]
    for table in TABLES:
        known = {*COMMON, *(findings.COLUMNS if table.name == "drift_scores" else ())}
        yield table.name, [column for column in table.columns() if column not in known]


def line(column: Column) -> str:
    """Return a column as the page describes it."""
    kind = "" if column.type == TEXT else f" {str(column.type).partition('[')[0]}"
    meaning = f": {column.meaning}" if column.meaning else ""
    return f"- `{column.name}`{kind}{meaning}\n"


def described(page: str) -> str:
    """Return the page with the columns as they are declared."""
    for heading, columns in sections():
        lines = "".join(map(line, columns))
        section = re.search(rf"### {heading}\n\n(?:[^#\-\n].*\n\n)?((?:- .*\n)*)", page)
        assert section is not None, f"no section of columns {heading}"
        page = page[: section.start(1)] + lines + page[section.end(1) :]
    return page


if __name__ == "__main__":
    PAGE.write_text(described(PAGE.read_text()))
