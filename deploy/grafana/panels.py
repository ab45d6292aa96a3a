"""Panels of a dashboard, and queries that several panels share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel of a dashboard.

    Attributes
    ----------
    queries
        PromQL by the legend of its series; `{{label}}` is the value of a label.
    unit
        Of its values, as Grafana names it.
    width
        Of 24 columns.
    """

    title: str
    queries: Mapping[str, str]
    shows: Literal["stat", "chart", "table"] = "chart"
    unit: str = "short"
    width: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Panels for one kind of reader, under headings."""

    name: str
    title: str
    rows: Mapping[str, Sequence[Panel]]


def number(title: str, expr: str, unit: str = "short") -> Panel:
    """Return a panel with one number."""
    return Panel(title=title, queries={"": expr}, shows="stat", unit=unit, width=6)


def burn(window: str) -> str:
    """Return the burn rate of every SLO in a window, by its events."""
    bad, known = (
        "max by (model, slo) (sum by (instance, model, slo) "
        f'(increase(seqwatch_slo_events_total{{outcome=~"{outcomes}"}}[{window}])))'
        for outcomes in ("bad", "good|bad")
    )
    budget = "(1 - max by (model, slo) (seqwatch_slo_objective_ratio))"
    return f"{bad} / ({known} > 0) / {budget}"
