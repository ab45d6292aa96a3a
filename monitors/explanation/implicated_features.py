"""Implicated features of a finding, the worst first, with their scores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitors.finding import Json
from monitors.input_fault.input_fault import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicatedFeature:
    """A feature that a finding implicates.

    Attributes
    ----------
    score
        As the monitor measured it, in its own unit; None where it gives none.
    effect
        How large the change is, where the monitor reports it.
    view
        In which view the score was highest, of a monitor with several.
    views
        The score in each of them; None where it could not be had.
    message
        What is wrong with it, in a few words.
    """

    feature: str
    score: float | None = None
    effect: float | None = None
    view: str | None = None
    views: Mapping[str, float | None] = field(default_factory=dict)
    message: str = ""


def named(detail: Mapping[str, Json]) -> tuple[ImplicatedFeature, ...]:
    """Return the features that a finding names, each once, the worst first.

    Parameters
    ----------
    detail
        Of a finding of any kind: `features` with scores, alone or by view;
        `flaws` or `input_faults`; or `faults`, of which those count that are open.

    Returns
    -------
    tuple of Named
        Empty where it names none. The feature that `detail` puts on top comes
        first.

    Examples
    --------
    >>> drift = {"top": "b", "features": {"a": {"score": 2.0}, "b": {"score": 1.0}}}
    >>> [each.feature for each in named(drift)]
    ['b', 'a']
    >>> panel = {"features": {"a": {"flatline": 0.5, "periodic_hold": 3.0}}}
    >>> [(each.score, each.view) for each in named(panel)]
    [(3.0, 'periodic_hold')]
    """
    features = detail.get("features")
    if isinstance(features, Mapping):
        top = detail.get("top")
        scored = (_scored(name, entry) for name, entry in features.items())
        ranked = sorted(scored, key=lambda each: (each.feature != top, -_weight(each)))
        return tuple(ranked)
    once: dict[str, ImplicatedFeature] = {}
    flaws = (*_flawed(detail.get("flaws")), *_flawed(detail.get("input_faults")))
    for each in (*flaws, *_broken(detail.get("faults"))):
        once.setdefault(each.feature, each)
    return tuple(once.values())


def open_faults(detail: Mapping[str, Json]) -> tuple[Fault, ...]:
    """Return the faults of inputs that are open in a finding.

    Examples
    --------
    >>> open_faults({"promised_days": 90.0})
    ()
    """
    faults = detail.get("faults")
    stored = faults if isinstance(faults, list) else []
    return tuple(fault for each in stored if (fault := Fault.from_json(each)).until is None)


def started(detail: Mapping[str, Json]) -> datetime | None:
    """Return the start of the breach from the finding; None where it has none.

    Examples
    --------
    >>> started({"since": "1970-01-03T00:00:00+00:00"}).day, started({"since": None})
    (3, None)
    """
    since = detail.get("since")
    if isinstance(since, str):
        return datetime.fromisoformat(since)
    return min((fault.since for fault in open_faults(detail)), default=None)


def _weight(each: ImplicatedFeature) -> float:
    return each.score if each.score is not None else float("-inf")


def _scored(name: str, entry: Json) -> ImplicatedFeature:
    if not isinstance(entry, Mapping):
        return ImplicatedFeature(feature=name, score=_number(entry))
    if "score" in entry:
        return ImplicatedFeature(
            feature=name, score=_number(entry["score"]), effect=_number(entry.get("effect"))
        )
    views = {view: _number(score) for view, score in entry.items()}
    known = {view: score for view, score in views.items() if score is not None}
    if not known:
        return ImplicatedFeature(feature=name, views=views)
    view = max(known, key=lambda each: known[each])
    return ImplicatedFeature(feature=name, score=known[view], view=view, views=views)


def _flawed(flaws: Json) -> Iterator[ImplicatedFeature]:
    for flaw in flaws if isinstance(flaws, list) else ():
        if isinstance(flaw["feature"], str):
            yield ImplicatedFeature(
                feature=flaw["feature"], message=str(flaw["fact"]).replace("_", " ")
            )


def _broken(faults: Json) -> Iterator[ImplicatedFeature]:
    for fault in open_faults({"faults": faults}):
        yield ImplicatedFeature(
            feature=fault.feature, message=str(fault).removeprefix(f"{fault.feature} ")
        )


def _number(given: Json) -> float | None:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return float(given) if is_number else None  # type: ignore[arg-type]
