"""Layout of window profiles: columns by feature, append-only.

A row carries lists. Beside its values, one row gives some figures about the
list as a whole - how long it is, what follows what in it - and these figures
are summed like any other feature. All that is needed to make them is frozen
here with the first rows, so that any two sums add up.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
import scipy

from monitors.summaries.summary import Edges, Floats, Ints

VERSION = 1
N_EDGES = 17  # so that each of sixteen symbols has a bin of its own
MAX_TEXTS = N_EDGES - 1
LAGS = (1, 2, 3, 6)  # steps; and a day's, where the lists are longer than that
BUCKETS = (0, 1, 2, 4, 8, 16)  # first step before the last one of each part of a row
N_FREQUENCIES = 32  # a cosine and a sine of each
MAX_STEPS = 64  # of a window that its sketch reads
DAILY_ROWS = 2_000  # enough for the means of a day
MOST_IN_ONE = 1_024
_LONGEST = 160  # bytes of a name

_HEAD = ("length", "step size", "squared step", "rise against fall", "energy", "halves")
_PADDING = ("padding at the start", "padding at the end")
_PHASES = ("", " by time of day (cos)", " by time of day (sin)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Figures about the lists of one feature that holds numbers.

    Attributes
    ----------
    centre, scale
        Of its values, from the frozen edges of input.
    lags
        Steps apart of the products.
    padding
        What short windows are filled up with; None where they are not.
    """

    name: str
    centre: float
    scale: float
    lags: tuple[int, ...]
    padding: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the figures are called."""
        parts = [*_HEAD, *(f"product {lag} steps apart" for lag in self.lags)]
        parts += [f"{place}{phase}" for phase in _PHASES for place in places()]
        parts += _PADDING if self.padding is not None else ()
        return tuple(f"{_short(self.name)}: {part}" for part in parts)

    @property
    def edges(self) -> Floats:
        """The bins of each, (column, edge)."""
        rows = [(0.0, 12.0), (0.0, 4.0), (0.0, 8.0), (-4.0, 4.0), (0.0, 4.0), (-4.0, 4.0)]
        rows += [(-2.0, 4.0)] * len(self.lags) + [(-3.0, 3.0)] * (len(_PHASES) * len(BUCKETS))
        rows += [(0.0, 1.0)] * (0 if self.padding is None else len(_PADDING))
        low, high = np.array(rows).T
        return np.linspace(low, high, N_EDGES, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """Which text follows which in the lists of one feature with few texts."""

    name: str
    texts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What the figures are called: the length, and what comes after each text."""
        parts = ("length", *(f"after {_short(text)}" for text in self.texts))
        return tuple(f"{_short(self.name)}: {part}" for part in parts)

    @property
    def edges(self) -> Floats:
        """The bins of each, (column, edge); a text's bin is its place and one."""
        codes = np.arange(N_EDGES, dtype=float)
        return np.array([np.linspace(0.0, 12.0, N_EDGES), *([codes] * len(self.texts))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """A random Fourier sketch of whole windows of several features at once.

    Attributes
    ----------
    title
        What the window is of, for people.
    names
        The features, all numbers.
    centres, scales
        Of their values.
    steps
        The last ones of each list, which the sketch reads.
    """

    title: str
    names: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    steps: int

    @property
    def columns(self) -> tuple[str, ...]:
        """What the figures are called."""
        waves = (f"wave {i + 1} ({of})" for of in ("cos", "sin") for i in range(N_FREQUENCIES))
        return tuple(f"{self.title}: {wave}" for wave in waves)

    @property
    def edges(self) -> Floats:
        """The bins of each, (column, edge)."""
        return np.tile(np.linspace(-1.0, 1.0, N_EDGES), (2 * N_FREQUENCIES, 1))

    @property
    def frequencies(self) -> Floats:
        """One column per wave, (feature * step, wave), the last step first.

        Normal, of a width at which two windows of independent values are one
        bandwidth apart: their squared distance, in standard deviations, is twice the
        number of values. They come from the names alone, so that they can be made anew.

        References
        ----------
        .. [1] A. Rahimi and B. Recht, "Random features for large-scale kernel
           machines", NIPS 20, 2007.
        """
        found = []
        for name in self.names:
            seed = hashlib.sha256(f"seqwatch shape {VERSION} {name}".encode()).digest()
            # The raw bits of a bit generator never change between versions of numpy.
            bits = np.random.Philox(int.from_bytes(seed[:8], "little"))
            raw = bits.random_raw(MAX_STEPS * N_FREQUENCIES).astype(np.float64)
            found.append(
                scipy.special.ndtri((raw + 0.5) / 2.0**64).reshape(MAX_STEPS, N_FREQUENCIES)[
                    : self.steps
                ]
            )
        waves: Floats = np.concatenate(found) / np.sqrt(len(self.names) * self.steps)
        return waves


Block: TypeAlias = Numbers | Symbols | Joint
_KINDS: Mapping[str, type[Block]] = {"numbers": Numbers, "symbols": Symbols, "joint": Joint}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All figures of a model, in the order of the columns, and how many rows give them.

    Attributes
    ----------
    blocks
        New ones are added at the end.
    shares
        From an event day on (since 1970), one row in so many gives its figures;
        ascending. The first holds for the days before it, too.
    newest
        The newest event day of which a row has come; None before the first.
    """

    blocks: tuple[Block, ...]
    shares: tuple[tuple[int, int], ...] = ((0, 1),)
    newest: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the figures are called."""
        return tuple(name for block in self.blocks for name in block.columns)

    @property
    def edges(self) -> Edges:
        """The bins of all figures."""
        values = [block.edges for block in self.blocks]
        bins = np.concatenate(values) if values else np.empty((0, N_EDGES))
        return Edges(names=self.columns, values=bins)

    def one_in(self, days: Ints) -> Ints:
        """Return the one in how many that holds on each event day.

        Examples
        --------
        >>> Layout(blocks=(), shares=((10, 1), (12, 8))).one_in(np.array([9, 11, 12, 30]))
        array([1, 1, 8, 8])
        """
        starts = np.array([start for start, _ in self.shares])
        each = np.array([one_in for _, one_in in self.shares])
        found: Ints = each[np.maximum(np.searchsorted(starts, days, side="right") - 1, 0)]
        return found

    def up_to(self, day: int, rows_a_day: float) -> "Layout":
        """Return the layout that knows of a day, and of how many rows a day there are.

        A day's share is fixed with its first row and never changes: whoever
        counts again counts the same rows.

        Examples
        --------
        >>> new = Layout(blocks=()).up_to(20, 15_000)
        >>> new.shares, new.up_to(20, 0.0).shares, new.up_to(21, 900).shares
        (((20, 8),), ((20, 8),), ((20, 8), (21, 1)))
        """
        if self.newest is not None and day <= self.newest:
            return self
        one_in = 1
        while rows_a_day / one_in > DAILY_ROWS and one_in < MOST_IN_ONE:
            one_in *= 2
        if self.newest is None:
            return replace(self, newest=day, shares=((day, one_in),))
        if self.shares[-1][1] == one_in:
            return replace(self, newest=day)
        return replace(self, newest=day, shares=(*self.shares, (self.newest + 1, one_in)))

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        blocks = [
            {"kind": kinds[type(block)]}
            | {name: getattr(block, name) for name in block.__dataclass_fields__}
            for block in self.blocks
        ]
        return {
            "version": VERSION,
            "newest": self.newest,
            "shares": [list(share) for share in self.shares],
            "blocks": blocks,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Layout":
        """Return what `to_json` wrote."""
        return cls(
            blocks=tuple(
                msgspec.convert(
                    {name: value for name, value in block.items() if name != "kind"},
                    _KINDS[block["kind"]],
                )
                for block in stored["blocks"]
            ),
            newest=stored["newest"],
            shares=tuple((start, one_in) for start, one_in in stored["shares"]),
        )


def _short(name: str) -> str:
    """Return a name that fits, with others, into the name of a figure; still its own."""
    if len(name.encode(errors="replace")) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{name[: _LONGEST // 4]}... {digest}"


def places() -> tuple[str, ...]:
    """Return what the parts of a row are called, the last step first.

    Examples
    --------
    >>> places()[0], places()[2], places()[-1]
    ('last step', '2..3 steps before the last', '16 steps before the last and older')
    """
    names = ["last step"]
    for start, end in itertools.pairwise(BUCKETS[1:]):
        span = str(start) if end - start == 1 else f"{start}..{end - 1}"
        names.append(f"{span} steps before the last")
    return (*names, f"{BUCKETS[-1]} steps before the last and older")


def centre_and_scale(edges: Sequence[float] | Floats) -> tuple[float, float]:
    """Return middle and spread of a feature from its frozen bins; the spread is never zero.

    Parameters
    ----------
    edges : (edge,)
        Quantiles of its first values.

    Examples
    --------
    >>> [round(each, 3) for each in centre_and_scale(np.linspace(-5.396, 5.396, 33))]
    [0.0, 4.0]
    >>> centre_and_scale(np.full(33, 5.0))
    (5.0, 5.0)
    """
    row = np.asarray(edges, dtype=float)
    quarter = (row.size - 1) // 4
    centre = float(row[row.size // 2])
    spread = float(row[-1 - quarter] - row[quarter]) / 1.349
    if not spread > 0:
        spread = float(row[-1] - row[0]) / 4
    if not spread > 0:
        spread = abs(centre) or 1.0
    return centre, spread
