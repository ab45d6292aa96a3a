"""Routes: which channels are notified of an alert, in which groups, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from alerts.labels import Labels, Matcher, all_match
from core.durations import DAY, HOUR, MINUTE, SECOND

LONGEST = 366 * DAY  # of any timer
VERSION = "version"  # no label, but alerts are grouped by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """When a group of alerts is notified.

    Attributes
    ----------
    group_wait
        From the first alert of a group, or a new page, to its notification.
    group_interval
        At least so long between two notifications of a group for anything else.
    repeat_interval
        A firing alert that nobody has acknowledged is notified again after that.
    """

    group_wait: timedelta = 5 * SECOND
    group_interval: timedelta = 5 * MINUTE
    repeat_interval: timedelta = 4 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A node of the tree of routes. What is None or empty is that of its parent.

    Attributes
    ----------
    parent
        Name of its parent; empty below the root.
    position
        Order among its siblings: the first that matches is taken.
    is_continued
        The siblings after it are tried too.
    channels
        Names of the channels that are notified.
    group_by
        Names of labels, and `version`.
    escalate_after, escalate_to
        Channels that are notified too of an alert that is not acknowledged after that.
    """

    parent: str = ""
    position: int = 0
    is_continued: bool = False
    matchers: tuple[Matcher, ...] = ()
    channels: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    group_wait: timedelta | None = None
    group_interval: timedelta | None = None
    repeat_interval: timedelta | None = None
    escalate_after: timedelta | None = None
    escalate_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("group_wait", "group_interval", "repeat_interval", "escalate_after"):
            value = getattr(self, name)
            if value is not None and not timedelta(0) <= value <= LONGEST:
                raise ValueError(f"{name} must be at most {LONGEST.days} days, not negative")
        if (self.escalate_after is None) is not (not self.escalate_to):
            raise ValueError("escalate_after and escalate_to need each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """What becomes of the alerts of one route.

    Attributes
    ----------
    route
        Its name; empty of the root.
    channels
        Their names; None: every channel.
    """

    route: str = ""
    channels: tuple[str, ...] | None = None
    group_by: tuple[str, ...] = ("model", "alertname", VERSION)
    timers: Timers = Timers()
    escalate_after: timedelta | None = None
    escalate_to: tuple[str, ...] = ()

    def below(self, name: str, route: Route) -> "Receiver":
        """Return the receiver of a child of this one's route."""
        timers = Timers(
            group_wait=_or(route.group_wait, self.timers.group_wait),
            group_interval=_or(route.group_interval, self.timers.group_interval),
            repeat_interval=_or(route.repeat_interval, self.timers.repeat_interval),
        )
        return Receiver(
            route=name,
            channels=route.channels or self.channels,
            group_by=route.group_by or self.group_by,
            timers=timers,
            escalate_after=route.escalate_after or self.escalate_after,
            escalate_to=route.escalate_to or self.escalate_to,
        )

    def group_labels(self, labels: Labels, version: str | None) -> dict[str, str]:
        """Return the labels by which an alert is grouped."""
        known = {**labels, VERSION: version or ""}
        return {name: known.get(name, "") for name in self.group_by}


ROOT = Receiver()


def _or(own: timedelta | None, inherited: timedelta) -> timedelta:
    return inherited if own is None else own


def receivers(routes: Mapping[str, Route]) -> dict[str, Receiver]:
    """Return what becomes of the alerts of each route, by name; empty is the root."""
    found = {"": ROOT}

    def add(parent: str) -> None:
        for name, route in _children(routes, parent):
            found[name] = found[parent].below(name, route)
            add(name)

    add("")
    return found


def matching(routes: Mapping[str, Route], labels: Labels) -> list[str]:
    """Return the names of the routes that an alert takes, as Alertmanager walks its tree.

    The deepest that matches; its siblings too where it is continued. The root, whose name is
    empty, where none does.

    Examples
    --------
    >>> def of(team):
    ...     return (Matcher(name="team", value=team),)
    >>> tree = {
    ...     "log": Route(channels=("log",), is_continued=True),
    ...     "ml": Route(position=1, matchers=of("ml"), channels=("ml",)),
    ... }
    >>> matching(tree, {"team": "ml"}), matching(tree, {"team": "sre"}), matching({}, {})
    (['log', 'ml'], ['log'], [''])
    """
    return _walk(routes, "", labels)


def _walk(routes: Mapping[str, Route], node: str, labels: Labels) -> list[str]:
    found = list[str]()
    for name, route in _children(routes, node):
        if all_match(route.matchers, labels):
            found += _walk(routes, name, labels)
            if not route.is_continued:
                break
    return found or [node]


def _children(routes: Mapping[str, Route], parent: str) -> Sequence[tuple[str, Route]]:
    children = [(name, route) for name, route in routes.items() if route.parent == parent]
    return sorted(children, key=lambda one: (one[1].position, one[0]))


def check_tree(routes: Mapping[str, Route]) -> None:
    """Refuse routes that are no tree.

    Raises
    ------
    ValueError
        Naming a route whose parent is missing, or that is its own ancestor.
    """
    for name, route in routes.items():
        seen, parent = {name}, route.parent
        while parent:
            if parent not in routes:
                raise ValueError(f"parent: no route {parent!r}")
            if parent in seen:
                raise ValueError(f"parent: route {name!r} is below itself")
            seen.add(parent)
            parent = routes[parent].parent
