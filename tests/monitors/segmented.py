"""Plants whose segments share a season and moods, and what a monitor reads of them."""

import numpy as np

from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats
from tests.monitors.streams import ar1, grid

N_SEGMENTS, N_FEATURES = 8, 7


def stream(n_days: int, seed: int) -> Floats:
    """Return means by hour, segment and feature: a season and moods that segments share."""
    n = n_days * HOURS
    phase = np.arange(n)[:, None] / HOURS + np.linspace(0, 0.5, N_FEATURES)
    season = np.sin(2 * np.pi * phase) * np.linspace(3, 1, N_FEATURES)
    shared = ar1(0.98, (n, N_FEATURES), seed)
    apart = [
        5 * s
        + season * (1 + s / 10)
        + shared
        + ar1(0.97, (n, N_FEATURES), 100 * seed + s + 1)
        + 0.3 * ar1(0.7, (n, N_FEATURES), 100 * seed + 50 + s)
        for s in range(N_SEGMENTS)
    ]
    return np.stack(apart, axis=1)


def laid_out(segments: Floats) -> Hourly:
    """Lay segments of equal traffic beside their total."""
    names = [f"f{k}" for k in range(N_FEATURES)]
    names += [f"f{k} [shop={s}]" for s in range(N_SEGMENTS) for k in range(N_FEATURES)]
    flat = segments.reshape(len(segments), -1)
    return grid(np.concatenate([segments.mean(axis=1), flat], axis=1), names=tuple(names))
