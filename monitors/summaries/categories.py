"""Encoding of categories as numbers."""

import zlib
from collections.abc import Sequence

import numpy as np

from monitors.summaries.summary import Floats

N_CODES = 32  # of an open vocabulary; a closed one is counted text by text up to here

# One bin for each code; the last holds all from N_CODES on. As many edges as a number has.
EDGES = np.arange(N_CODES + 1, dtype=float)


def codes(texts: Sequence[str | None], vocabulary: tuple[str, ...]) -> Floats:
    """Return the number of each text.

    Parameters
    ----------
    texts
        None is a missing value.
    vocabulary
        A text's number is its place in here. Where it is empty, texts share
        numbers: two of them count as one with a chance of 1 in 32.

    Returns
    -------
    (text,)
        NaN for None; `len(vocabulary)` for a text that is not in it.

    Examples
    --------
    >>> codes(["south", None, "moon"], ("north", "south"))
    array([ 1., nan,  2.])
    >>> codes(["a", "b", "a"], ())
    array([ 3., 25.,  3.])
    """
    places = {text: float(place) for place, text in enumerate(vocabulary)}
    other = float(len(vocabulary))
    found = np.empty(len(texts))
    for i, text in enumerate(texts):
        if text is None:
            found[i] = np.nan
        elif vocabulary:
            found[i] = places.get(text, other)
        else:
            found[i] = zlib.crc32(text.encode()) % N_CODES
    return found
