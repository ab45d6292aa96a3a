"""Charts of the typed views of a finding."""

from monitors import show as shown
from monitors.show import Bars, HeatMap, Histogram, Line, Matrix, Number, View
from web.charts import TONES, Chart, Series, curve

SHADES = 5  # classes `heat-0` to `heat-5` of the style sheet

_KINDS = {"time": "moment", "step": "step", "value": "value", "clock": "clock"}


def drawn(view: View) -> Chart | float | list[list[int]] | None:
    """Return the chart of lines, the largest bar, or the shade of each cell of a heat map."""
    match view:
        case Line():
            return Chart(
                x=view.x,
                series=tuple(_series(i, one.name, one) for i, one in enumerate(view.series)),
                kind=_KINDS[view.axis],  # type: ignore[arg-type]
                from_zero=False,
            )
        case Histogram():
            return Chart(
                x=view.edges,
                series=tuple(_series(i, one.name, one, 1) for i, one in enumerate(view.series)),
                kind="value",
                is_stepped=True,
            )
        case Bars():
            known = [v for one in view.series for v in one.values if v is not None]
            return max([*known, 0.0]) or 1.0
        case HeatMap() | Matrix():
            return _shades(view.values)
        case _:
            return None


def _series(place: int, name: str, one: shown.Series, n_more: int = 0) -> Series:
    """Return a line; of a histogram the last value is drawn up to the last edge."""
    return curve(
        name,
        (*one.values, *one.values[-n_more:][:n_more]),
        "muted" if one.is_baseline else TONES[place % len(TONES)],
        "dashed" if one.is_baseline else "line",
    )


def _shades(values: tuple[tuple[Number, ...], ...]) -> list[list[int]]:
    known = [value for row in values for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    width = (high - low) or 1.0
    return [
        [0 if value is None else round(SHADES * (value - low) / width) for value in row]
        for row in values
    ]
