"""Distances between two distributions: PSI, Jensen-Shannon, Wasserstein and others.

All of them come from counts on frozen edges, which add up exactly, so a window
of any length costs a sum. Four compare shares and are exact for the bins; three
compare distribution functions and bound the error of the bins.

They describe and decide nothing: the independent null beside each is that of
the textbook, and series have memory, so a threshold taken from it cries wolf.
The same move reads alike in most of them: to first order PSI = 2 KL = 8 JS =
8 Hellinger^2.
"""

import numpy as np
import scipy

from monitors.summaries.summary import Floats


def shares(counts: Floats) -> Floats:
    """Return the share of each bin; NaN in an empty window.

    Parameters
    ----------
    counts : (feature, bin)

    Examples
    --------
    >>> shares(np.array([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    """
    n = counts.sum(axis=-1, keepdims=True)
    found: Floats = np.divide(counts, n, out=np.full(counts.shape, np.nan), where=n > 0)
    return found


def smoothed(current: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Return the shares of both windows, each bin with half a count more.

    A bin that is empty in one window then has a finite divergence. One that is
    empty in both does not count.

    Parameters
    ----------
    current, reference : (feature, bin)
        Counts on the same edges.

    Returns
    -------
    p, q : (feature, bin)
        `(c + 1/2) / (n + B/2)` with B bins that hold anything; NaN where
        either window is empty.

    Examples
    --------
    >>> p, q = smoothed(np.array([[3.0, 0.0, 0.0]]), np.array([[1.0, 2.0, 0.0]]))
    >>> p, q
    (array([[0.875, 0.125, 0.   ]]), array([[0.375, 0.625, 0.   ]]))
    """
    alive = current + reference > 0
    half = np.where(alive, 0.5, 0.0)
    some = current.sum(axis=-1, keepdims=True) * reference.sum(axis=-1, keepdims=True) > 0
    p, q = (np.where(some, shares(counts + half), np.nan) for counts in (current, reference))
    return p, q


def psi(p: Floats, q: Floats) -> Floats:
    """Return the population stability index, `sum (p - q) ln(p / q)`.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares now and in the reference, without zeros (`smoothed`).

    Returns
    -------
    (feature,)
        0 is equal; symmetric. Bins hide: the index of the values is at least
        this. Independent null: `(1/n + 1/m) chi2(B - 1)`.

    References
    ----------
    .. [1] H. Jeffreys, "An invariant form for the prior probability in
       estimation problems", Proc. R. Soc. A 186, 1946, pp. 453-461.
    .. [2] B. Yurdakul, "Statistical properties of population stability
       index", Western Michigan University, 2018.

    Examples
    --------
    >>> psi(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4)
    array([0.2747])
    """
    return kl(p, q) + kl(q, p)


def kl(p: Floats, q: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of now from the reference, in nats.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares now and in the reference.

    Returns
    -------
    (feature,)
        `sum p ln(p / q)`; 0 is equal, infinite where something came that the
        reference never had, and not symmetric. Bins hide: that of the values
        is at least this. Independent null: `(1/n + 1/m)/2 chi2(B - 1)`.

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency",
       Ann. Math. Stat. 22(1), 1951, pp. 79-86.

    Examples
    --------
    >>> kl(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4)
    array([0.1438])
    """
    # Rounding must not make a distance negative.
    found: Floats = np.maximum(scipy.special.rel_entr(p, q).sum(axis=-1), 0.0)
    return found


def js(p: Floats, q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence, in nats.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares; zeros are welcome.

    Returns
    -------
    (feature,)
        Half the divergence of each from their middle: 0 to ln 2, symmetric. Its
        root is the distance that scipy and Evidently report. Bins hide: that
        of the values is at least this. Independent null: `(1/n + 1/m)/8
        chi2(B - 1)`.

    References
    ----------
    .. [1] J. Lin, "Divergence measures based on the Shannon entropy", IEEE
       Trans. Inf. Theory 37(1), 1991, pp. 145-151.

    Examples
    --------
    >>> js(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).round(4)
    array([0.6931])
    """
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def hellinger(p: Floats, q: Floats) -> Floats:
    """Return the Hellinger distance, `sqrt(1 - sum sqrt(p q))`.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares; zeros are welcome.

    Returns
    -------
    (feature,)
        0 to 1, symmetric. Bins hide: that of the values is at least this.
        Independent null of its square: `(1/n + 1/m)/8 chi2(B - 1)`.

    References
    ----------
    .. [1] E. Hellinger, "Neue Begruendung der Theorie quadratischer Formen
       von unendlichvielen Veraenderlichen", J. reine angew. Math. 136, 1909.

    Examples
    --------
    >>> hellinger(np.array([[1.0, 0.0]]), np.array([[0.36, 0.64]])).round(4)
    array([0.6325])
    """
    # The sum of squares: near 0 the difference from 1 would be all rounding.
    found: Floats = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=-1) / 2)
    return found


def chi_square(current: Floats, reference: Floats) -> Floats:
    """Return Pearson's statistic of homogeneity of two windows of counts.

    Parameters
    ----------
    current, reference : (feature, bin)
        Counts, not smoothed.

    Returns
    -------
    (feature,)
        That of the table of two rows without the bins that are empty in both.
        Symmetric; grows with the windows. Merging bins never adds to it.
        Independent null: `chi2(B - 1)`. Evidently takes the reference as
        known, which is larger, by the factor `1 + (n/m) p/q` in each bin.

    References
    ----------
    .. [1] K. Pearson, "On the probability that two independent distributions
       of frequency are really samples from the same population", Biometrika
       8(1/2), 1911, pp. 250-254.

    Examples
    --------
    >>> chi_square(np.array([[10.0, 20.0]]), np.array([[20.0, 10.0]])).round(4)
    array([6.6667])
    """
    p, q = shares(current), shares(reference)
    n, m = current.sum(axis=-1), reference.sum(axis=-1)
    together = current + reference
    apart = (p - q) ** 2
    terms = np.divide(apart, together, out=apart.copy(), where=together > 0)
    found: Floats = n * m * terms.sum(axis=-1)
    return found


def ks(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Return the Kolmogorov-Smirnov distance at the edges.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares, not smoothed, in the order of the bins.

    Returns
    -------
    value : (feature,)
        The largest gap between the two distribution functions at an edge.
    error : (feature,)
        What the bins may hide: that of the values lies between `value` and
        `value + error`. Inside a bin the gap can grow by what came now, and
        from the other side by what was there before; by the smaller, then.

    References
    ----------
    .. [1] N. V. Smirnov, "Table for estimating the goodness of fit of
       empirical distributions", Ann. Math. Stat. 19(2), 1948, pp. 279-281;
       independent null: `sqrt(nm / (n + m))` times it is Kolmogorov's.

    Examples
    --------
    >>> ks(np.array([[0.5, 0.5, 0.0]]), np.array([[0.1, 0.5, 0.4]]))
    (array([0.4]), array([0.5]))
    """
    gaps = np.abs(np.cumsum(p - q, axis=-1))
    return gaps.max(axis=-1), np.minimum(p, q).max(axis=-1)


def cramer_von_mises(current: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Return the two-sample statistic of Cramer and von Mises.

    Parameters
    ----------
    current, reference : (feature, bin)
        Counts, not smoothed.

    Returns
    -------
    value : (feature,)
        `nm/(n + m)` times the mean over all values of the squared gap between
        the distribution functions, which is taken as linear inside a bin.
    error : (feature,)
        What the bins may hide: the statistic of the values, where no two are
        equal, is no further from `value`. In a bin the gap stays between
        where it begins less what was there before, and plus what came now.

    References
    ----------
    .. [1] T. W. Anderson, "On the distribution of the two-sample Cramer-von
       Mises criterion", Ann. Math. Stat. 33(3), 1962, pp. 1148-1159, with the
       independent null.

    Examples
    --------
    >>> value, error = cramer_von_mises(np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]]))
    >>> value.round(3), error.round(3)
    (array([0.333]), array([1.]))
    """
    p, q = shares(current), shares(reference)
    n, m = current.sum(axis=-1), reference.sum(axis=-1)
    start, end = _gaps(p, q)
    least, most = start - q, start + p
    inside = (start**2 + start * end + end**2) / 3
    highest = np.maximum(least**2, most**2)
    lowest = np.where(least * most <= 0, 0.0, np.minimum(least**2, most**2))
    total = np.where(n * m > 0, n + m, np.nan)
    weight = (current + reference) / total[..., np.newaxis]
    size = n * m / total
    value: Floats = size * (weight * inside).sum(axis=-1)
    error: Floats = size * (weight * (highest - lowest)).sum(axis=-1)
    return value, error


def borders(edges: Floats, low: Floats, high: Floats) -> Floats:
    """Return where each bin begins and ends, the outer two included.

    Parameters
    ----------
    edges : (feature, edge)
        Ascending.
    low, high : (feature,)
        The smallest and the largest value of all; infinite where there is none.

    Returns
    -------
    (feature, bin + 1)

    Examples
    --------
    >>> borders(np.array([[0.0, 1.0]]), np.array([-2.0]), np.array([1.0]))
    array([[-2.,  0.,  1.,  1.]])
    """
    low = np.where(np.isfinite(low), np.minimum(low, edges[..., 0]), edges[..., 0])
    high = np.where(np.isfinite(high), np.maximum(high, edges[..., -1]), edges[..., -1])
    return np.concatenate([low[..., np.newaxis], edges, high[..., np.newaxis]], axis=-1)


def wasserstein(p: Floats, q: Floats, borders: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Return how far values moved on average, in the unit of the feature.

    Parameters
    ----------
    p, q : (feature, bin)
        Shares, not smoothed, in the order of the bins.
    borders : (feature, bin + 1)
        From `borders`.
    moved : (feature,)
        By how much the mean moved; exact, because summaries keep sums.

    Returns
    -------
    value : (feature,)
        The area between the two distribution functions: what the mean moved,
        and on top what went one way and what went the other and cancel in it.
        Only this part comes from the bins, where the functions are taken as
        linear. There is no null that fits every distribution.
    error : (feature,)
        What the bins may hide: that of the values is no further from `value`.
        A distribution function encloses, with a line between its ends, at
        most half the bin's width times its share.

    References
    ----------
    .. [1] S. S. Vallender, "Calculation of the Wasserstein distance between
       probability distributions on the line", Theory Probab. Appl. 18(4),
       1974, pp. 784-786.

    Examples
    --------
    >>> p, q = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    >>> wasserstein(p, q, np.array([[0.0, 2.0, 4.0]]), np.array([1.5]))
    (array([1.5]), array([2.5]))
    """
    widths = np.diff(borders, axis=-1)
    start, end = _gaps(p, q)
    reach = np.abs(start) + np.abs(end)
    crossing = np.divide(start**2 + end**2, reach, out=np.zeros(reach.shape), where=reach > 0)
    crosses = np.sign(start) * np.sign(end) < 0
    area = (np.where(crosses, crossing, reach) / 2 * widths).sum(axis=-1)
    one_way = np.abs(((start + end) / 2 * widths).sum(axis=-1))
    value: Floats = np.abs(moved) + np.maximum(area - one_way, 0.0)
    error: Floats = ((p + q) * widths).sum(axis=-1) / 2 + np.abs(one_way - np.abs(moved))
    return value, error


def _gaps(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Return the gap between the distribution functions where each bin begins and ends."""
    end = np.cumsum(p - q, axis=-1)
    # All of both windows lies below the last border.
    end[..., -1] = np.where(np.isfinite(end[..., -1]), 0.0, np.nan)
    start = np.concatenate([np.where(np.isfinite(end[..., :1]), 0.0, np.nan), end], axis=-1)
    return start[..., :-1], end
