"""Missing values: columns in which serving lacks a value that training has."""

from dataclasses import dataclass

from core.errors import Unprocessable
from monitors.diagnosis import Diagnosis, DiagnosisRequest, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How many rows of a column may lack a value."""

    max_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Rows by column in which serving lacks a value."""

    n_rows: dict[str, int]
    max_rows: int


def compare(params: Params, request: DiagnosisRequest) -> Missing:
    """Count the rows."""
    if request.offline is None or request.online is None:
        raise Unprocessable("two tables are compared")
    here, there = request.offline.columns, request.online.columns
    if here.keys() != there.keys():
        raise Unprocessable("the tables need the same columns")
    n_rows = {
        name: sum(
            value is not None and other is None
            for value, other in zip(here[name], there[name], strict=False)
        )
        for name in here
    }
    return Missing(n_rows=n_rows, max_rows=params.max_rows)


def report(found: Missing) -> Report:
    """Return one line for each column."""
    return Report(
        passed=max(found.n_rows.values(), default=0) <= found.max_rows,
        text="".join(f"{name}: {n} missing\n" for name, n in found.n_rows.items()),
        document={"n_rows": found.n_rows},
    )


DIAGNOSIS = Diagnosis(
    name="missing_values",
    question="Does serving have every value that training has?",
    params=Params,
    compare=compare,
    report=report,
)
