"""The findings as tables that a page can show."""

from collections.abc import Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay cells out in Markdown."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def share(value: float) -> str:
    """Write a share; a dash where there is none."""
    return "-" if value != value else f"{value:.3f}".removeprefix("0")


def spread(values: Sequence[float]) -> str:
    """Write a value and its interval."""
    if not values or values[0] != values[0]:
        return "-"
    return f"{share(values[0])} ({share(values[1])} to {share(values[2])})"


def sizes(found: Mapping[str, Any]) -> str:
    """Share of quiet weeks called, a row for each detector, a column for each series."""
    names = list(found)
    detectors = list(dict.fromkeys(d for series in found.values() for d in series))
    rows = [[d, *(spread(found[series].get(d, [])) for series in names)] for d in detectors]
    return table(["", *names], rows)


def powers(found: Mapping[str, Any], strength: int | None) -> str:
    """Share of corrupted weeks called; the middle strength, or all three."""
    detectors = list(found)
    faults = list(dict.fromkeys(f for d in detectors for f in found[d]))
    rows = []
    for fault in faults:
        cells = []
        for d in detectors:
            of = found[d].get(fault, {})
            levels = sorted(of) if strength is None else [str(strength)]
            cells.append(" / ".join(share(of[at][0]) if at in of else "-" for at in levels))
        rows.append([fault, *cells])
    return table(["", *detectors], rows)


def areas(found: Mapping[str, Any]) -> str:
    """AMOC area, a row for each detector; the best of each series is bold."""
    names = list(found)
    detectors = list(dict.fromkeys(d for series in found.values() for d in series))
    best = {name: min(one["area"][0] for one in found[name].values()) for name in names}
    rows = []
    for d in detectors:
        cells = []
        for name in names:
            one = found[name].get(d)
            text = spread(one["area"]) if one else "-"
            cells.append(f"**{text}**" if one and one["area"][0] <= best[name] else text)
        rows.append([d, *cells])
    return table(["", *names], rows)


def calls(found: Mapping[str, Any]) -> str:
    """Day by day, as documented: false alarms, median delay and misses per series."""
    rows = []
    for name, by in found.items():
        for d, one in by.items():
            rows.append(
                [
                    name,
                    d,
                    f"{one['per_30_days']:.2f}",
                    f"{one['median_delay']:.1f}",
                    share(one["missed"]),
                ]
            )
    head = ["series", "", "false alarms in 30 days", "median delay, days", "missed"]
    return table(head, rows)


def transfers(found: Mapping[str, Any]) -> str:
    """Thresholds tuned on another series to one false alarm in 30 days."""
    rows = []
    for name, by in found.items():
        for d, one in by.items():
            for budget, of in one.items():
                rows.append(
                    [
                        name,
                        d,
                        budget,
                        f"{of['false alarms per 30 days']:.2f}",
                        f"{of['median delay, days']:.1f}",
                        share(of["missed"]),
                    ]
                )
    head = ["tested on", "", "tuned to one in", "false alarms in 30 days"]
    return table([*head, "median delay, days", "missed"], rows)


def promises(found: Mapping[str, Any]) -> str:
    """Days between false alarms, over what was promised."""
    rows = []
    for d, one in found.items():
        between = one["days between false alarms"]
        ratio = one["achieved over promised"]
        rows.append(
            [
                d,
                f"{between[0]:.1f} ({between[1]:.1f} to {between[2]:.1f})",
                f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})" if ratio else "no promise",
                f"{one['median delay, steps']:.0f}",
                share(one["not found in the time"]),
            ]
        )
    head = ["", "days between false alarms", "achieved over promised"]
    return table([*head, "median delay, steps", "never found"], rows)


def costs(found: Mapping[str, Any]) -> str:
    """CPU of a decision, its own reading of the reference included."""
    rows = [[d, one["version"], f"{one['ms']:.2f}", one["kept"]] for d, one in found.items()]
    return table(["", "version", "CPU ms a decision", "bytes kept per feature-day"], rows)
