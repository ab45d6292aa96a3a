"""The kinds of monitors that a configuration may name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from core import plugins
from core.errors import Unprocessable
from core.plugins import Registry
from monitors.detail import Detail
from monitors.kind import MonitorKind


@dataclass(frozen=True, slots=True)
class NoParams:
    """A kind that is unavailable has none."""


KINDS = Registry[MonitorKind[Any, Any]]("seqwatch.monitors", "kind of monitor", MonitorKind)


def find(name: str) -> MonitorKind[Any, Any]:
    """Return the kind called `name`.

    Raises
    ------
    Unprocessable
        If there is none; the message lists those there are.
    """
    return KINDS.find(name)


def stored(name: str) -> MonitorKind[Any, Any]:
    """Return the kind of a monitor that exists already.

    Where its plug-in is unavailable, or was uninstalled, a stand-in whose evaluation fails
    with the reason: its findings stay readable, and nothing else stops.
    """
    return KINDS.get(name) or _unavailable(name)


def _unavailable(name: str) -> MonitorKind[Any, Any]:
    why = KINDS.unavailable.get(name, "no such plug-in is installed")

    def fail(*_: object) -> NoReturn:
        raise Unprocessable(f"kind of monitor {name!r} is unavailable: {why}")

    return MonitorKind(
        name=name,
        question=f"unavailable: {why}",
        params=NoParams,
        detail=Detail,
        sources=lambda _: (),
        evaluate=fail,
    )


def detail(name: str, figures: Mapping[str, Any]) -> Detail:
    """Return the detail of a stored finding of a kind; without figures where it is unknown.

    Examples
    --------
    >>> stored_figures = {"top": "load", "features": {"load": {"score": 3.0}}}
    >>> detail("input_drift", stored_figures).implicated_features[0].score
    3.0
    >>> detail("input_drift", {"top": "load", "features": 3}).top  # no longer decodes
    >>> detail("uninstalled", stored_figures).top
    'load'
    """
    of_kind: Detail = stored(name).detail_of(figures)
    return of_kind


def where(flag: Callable[[MonitorKind[Any, Any]], bool]) -> list[str]:
    """Return the names of the kinds of which something is true.

    Examples
    --------
    >>> where(lambda kind: kind.may_retrain)
    ['accuracy']
    """
    return [kind.name for kind in KINDS if flag(kind)]


def parse(name: str, params: Mapping[str, object]) -> Any:
    """Read the parameters of a monitor; what is absent takes its default.

    Raises
    ------
    Unprocessable
        Naming the parameter that is unknown, of the wrong type or impossible.

    Examples
    --------
    >>> parse("input_drift", {"window": "P14D"}).window_days
    14
    """
    return plugins.parse(name, find(name).params, params)


def runbook(kind: str, params: Mapping[str, Any], found: Detail | None) -> str:
    """Return the name of the built-in runbook of a monitor's alerts; "" where there is none.

    Parameters
    ----------
    kind, params
        Of the monitor, as they are stored.
    found
        Detail of its newest breach, if any.
    """
    of_kind = stored(kind)
    try:
        return of_kind.runbook(parse(kind, params), found or of_kind.detail())
    except Unprocessable:  # the kind is unavailable
        return ""
