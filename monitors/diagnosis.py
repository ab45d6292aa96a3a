"""The extension point for diagnoses: comparisons of two tables of the same rows.

A diagnosis is one module that ends in `DIAGNOSIS = Diagnosis(...)`, registered in the entry
point group `seqwatch.diagnoses` under its name. Training/serving skew is in `plugins/skew`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from core.errors import NotInstalled
from core.plugins import Registry, parse
from core.schema.contract import Contract
from monitors.summaries.hourly import Hourly

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows by column.

    Attributes
    ----------
    name
        In messages: that of a file, or of a field of the request.
    columns
        A value for each row: a number, a list of steps, None where it is missing; from a
        file also texts and times.
    """

    name: str
    columns: Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRequest:
    """What is compared; a diagnosis may need a part of it only.

    Attributes
    ----------
    offline, online
        The rows as training and as serving computed them.
    at
        Event times of the rows; None when they are not known.
    contract
        Of the model; None for tables of no model.
    history
        Summaries of the model's recent input, for a comparison without pairs of rows.
    """

    offline: Table | None = None
    online: Table | None = None
    at: Sequence[datetime] | None = None
    contract: Contract | None = None
    history: Hourly | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A result for people, and for programs.

    Attributes
    ----------
    passed
        Whether the tables agree.
    text
        Lines; each ends in a line feed.
    document
        Plain JSON.
    """

    passed: bool
    text: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Generic[P, R]):
    """One comparison.

    Attributes
    ----------
    name
        Of its entry point.
    question
        What it answers, for people.
    params
        A frozen dataclass; each field has a default, `__post_init__` raises ValueError.
    compare
        Returns the result; reads nothing but its arguments. Raises Unprocessable or TooLarge,
        naming column and row, but no value.
    report
        Describes the result.
    """

    name: str
    question: str
    params: type[P]
    compare: Callable[[P, DiagnosisRequest], R]
    report: Callable[[R], Report]

    def run(self, params: Mapping[str, object], request: DiagnosisRequest) -> R:
        """Compare, with parameters as a caller names them; what is absent takes its default."""
        return self.compare(parse(self.name, self.params, params), request)


DIAGNOSES = Registry[Diagnosis[Any, Any]]("seqwatch.diagnoses", "diagnosis", Diagnosis)


def find(name: str, distribution: str) -> Diagnosis[Any, Any]:
    """Return the diagnosis called `name`.

    Raises
    ------
    NotInstalled
        With the reason, and which distribution to install.
    """
    found = DIAGNOSES.get(name)
    if found is None:
        why = DIAGNOSES.unavailable.get(name, "not installed")
        raise NotInstalled(
            f"diagnosis {name!r} is unavailable ({why}): install {distribution} and restart"
        )
    return found
