"""Entity health: missing and stuck inputs of single entities."""

from dataclasses import dataclass

import msgspec

from core.window import Window
from monitors.data_quality import entity_health
from monitors.data_quality.entity_health import EntityHealthParams
from monitors.finding import Finding
from monitors.kind import Detail, Inputs, Interval, MonitorKind
from monitors.show import CellKind, Column, Table, View
from monitors.sources import InputsByEntity

_ENTITIES = InputsByEntity()


def evaluate(params: EntityHealthParams, inputs: Inputs) -> Finding:
    """Evaluate every entity as the last grain has closed."""
    end = inputs.context.as_of
    grain = Window(end - inputs.context.contract.grain, end)
    return entity_health.evaluate(inputs[_ENTITIES], params, grain)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    feature: str
    fact: str
    n_entities: int
    entities: list[str]
    since: str


def show(detail: Detail, _: float | None) -> list[View]:
    """Show which inputs are at fault, and of which entities."""
    faults = msgspec.convert(detail.get("entity_faults", ()), list[_Fault])
    columns = (
        *(Column(name=name, unit=CellKind.TEXT) for name in ("Input", "Fault", "Since")),
        Column(name="Entities", unit=CellKind.COUNT),
        Column(name="Names", unit=CellKind.TEXT),
    )
    rows = tuple(
        (one.feature, one.fact, one.since, one.n_entities, ", ".join(one.entities))
        for one in faults
    )
    title = "Inputs of entities at fault"
    return [Table(title=title, columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="entity_health",
    question="Is every input of every entity alive, grain by grain?",
    params=EntityHealthParams,
    sources=lambda _: [_ENTITIES],
    evaluate=evaluate,
    show=show,
    needs_reference=False,
    interval=Interval.GRAIN,
    names_entities=True,
    reads_context=True,
)
