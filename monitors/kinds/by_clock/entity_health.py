"""Entity health: missing and stuck inputs of single entities."""

from core.window import Window
from monitors.data_quality import entity_health
from monitors.data_quality.entity_health import EntityHealthDetail, EntityHealthParams
from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind
from monitors.show import CellKind, Column, Table, View
from monitors.sources import InputsByEntity

_ENTITIES = InputsByEntity()


def evaluate(params: EntityHealthParams, inputs: Inputs) -> Finding:
    """Evaluate every entity as the last grain has closed."""
    end = inputs.context.as_of
    grain = Window(end - inputs.context.contract.grain, end)
    return entity_health.evaluate(inputs[_ENTITIES], params, grain)


def show(detail: EntityHealthDetail, _: float | None) -> list[View]:
    """Show which inputs are at fault, and of which entities."""
    columns = (
        *(Column(name=name, unit=CellKind.TEXT) for name in ("Input", "Fault", "Since")),
        Column(name="Entities", unit=CellKind.COUNT),
        Column(name="Names", unit=CellKind.TEXT),
    )
    rows = tuple(
        (one.feature, one.fact, one.since.isoformat(), one.n_entities, ", ".join(one.entities))
        for one in detail.entity_faults
    )
    title = "Inputs of entities at fault"
    return [Table(title=title, columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="entity_health",
    question="Is every input of every entity alive, grain by grain?",
    params=EntityHealthParams,
    detail=EntityHealthDetail,
    sources=lambda _: [_ENTITIES],
    evaluate=evaluate,
    show=show,
    needs_reference=False,
    interval=Interval.GRAIN,
    names_entities=True,
    reads_context=True,
    runbook=lambda *_: "input_fault",
)
