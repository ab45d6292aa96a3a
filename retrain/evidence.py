"""Evidence that a mean is positive, as e-processes: valid at every sample size."""

import numpy as np

from retrain.windows import Floats

PRIOR_DAYS = 4.0  # a mean difference of half the standard deviation of days is expected
ROUNDING = 1e-12  # sum of squares of differences, which are at most 1: days are equal below it


def evidence(gains: Floats, largest_loss: float) -> Floats:
    """Return the evidence that the mean of `gains` is positive, before and after each.

    The smaller of two bets: one on the gains, and one on what the day before
    did not foretell of them. The first alone is exact when no day foretells
    the next; when days resemble each other, a long stretch counts for few.

    Parameters
    ----------
    gains : (block,)
        In order of time.
    largest_loss
        No gain is below minus this.

    Returns
    -------
    (block + 1,)
        1 before the first block.

    Examples
    --------
    >>> incident = np.array([0.0] * 8 + [0.2] * 12)
    >>> round(bet(incident, 0.25)[-1]), round(evidence(incident, 0.25)[-1])
    (245, 5)
    """
    expected = expected_gains(gains)
    return np.minimum(bet(gains, largest_loss), bet(gains - expected, largest_loss + expected))


def expected_gains(gains: Floats) -> Floats:
    """Predict each gain (block,) from the day before, by the memory of earlier days.

    That is their first autocorrelation, about their own mean so that a steady
    gain is no memory, and never negative: alternation is no proof either.
    """
    expected = np.zeros_like(gains)
    for day in range(2, len(gains)):
        past = gains[:day] - gains[:day].mean()
        spread = float(past @ past)
        memory = float(past[1:] @ past[:-1]) / spread if spread > ROUNDING else 0.0
        expected[day] = max(memory, 0.0) * gains[day - 1]
    return expected


def bet(gains: Floats, largest_loss: Floats | float) -> Floats:
    """Return the wealth of a bet that the mean of `gains` is positive, before and after each.

    Parameters
    ----------
    gains : (block,)
        In order of time. Under the null hypothesis the mean of each, given
        the earlier ones, is at most 0.
    largest_loss : scalar or (block,)
        No gain is below minus this, so that wealth stays positive.

    Returns
    -------
    (block + 1,)
        An e-value at each length: mean of a fixed bet of several sizes, so
        that neither small nor large effects wait for the right guess.

    Examples
    --------
    >>> bet(np.full(2, 0.5), 1.0).round(2).tolist()
    [1.0, 1.28, 1.64]
    """
    sizes = np.array([0.25, 0.5, 0.9])
    growth = np.cumsum(np.log1p(sizes[:, np.newaxis] * (gains / largest_loss)), axis=1)
    wealth: Floats = np.exp(np.minimum(growth, 700.0)).mean(axis=0)
    return np.concatenate([[1.0], wealth])


def mean_evidence(gains: Floats) -> Floats:
    """Return the evidence that the mean of uncut `gains` is positive, before and after each.

    The e-process of Student's t with a normal prior on the standardised mean [1]_, which
    is the same in every unit. As in `evidence`, the smaller of two: of the gains, and of
    what the day before did not foretell of them.

    Parameters
    ----------
    gains : (block,)
        In order of time. Exact when they are normal; by the central limit theorem for
        means of many bounded ones.

    Returns
    -------
    (block + 1,)
        1 before the first block; at most 1 where the mean is not positive.

    References
    ----------
    .. [1] H. Wang and A. Ramdas, "Anytime-valid t-tests and confidence sequences for
       Gaussian means with unknown variance", Sequential Analysis 44(1), 2025.

    Examples
    --------
    >>> [round(float(e), 1) for e in mean_evidence(np.full(8, 0.01))[[2, 5, 8]]]
    [1.2, 5.1, 46.8]
    """
    return np.minimum(_t_evidence(gains), _t_evidence(gains - expected_gains(gains)))


def _t_evidence(gains: Floats) -> Floats:
    n = np.arange(1, len(gains) + 1)
    total, squares = gains.cumsum(), np.maximum((gains * gains).cumsum(), ROUNDING**2)
    weight = n + PRIOR_DAYS
    spread = weight * squares / (weight * squares - total * total)
    log_e = 0.5 * (np.log(PRIOR_DAYS / weight) + n * np.log(spread))
    found = np.exp(np.minimum(log_e, 700.0))
    return np.concatenate([[1.0], np.where(total > 0, found, np.minimum(found, 1.0))])
