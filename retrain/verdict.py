"""Is the challenger better on live traffic? A verdict that may be looked at after every day."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
from scipy.special import betaincc, betaln

from retrain.windows import Floats

ROUNDING = 1e-12  # sum of squares of differences, which are at most 1: days are equal below it


class Outcome(StrEnum):
    """What the evidence says so far."""

    SUCCESS = "success"
    FAIL = "fail"
    CONTINUE = "continue"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One session that both versions have forecast, one of them in shadow.

    Attributes
    ----------
    day
        The event day on which it began.
    is_canary
        The challenger served it.
    loss_champion, loss_challenger
        Mean loss of each over the same forecasts; None when no label is in.
    n_failed
        Requests of the session that its server failed.
    """

    day: date
    is_canary: bool
    loss_champion: float | None
    loss_challenger: float | None
    n_failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How sure to be, and of what.

    Attributes
    ----------
    alpha
        Chance that a challenger which is no better is ever called a success,
        however often one looks.
    alpha_harm
        The same for calling one that is no worse a failure, for each of the
        two ways to fail: larger losses, and more failed sessions.
    margin
        Success is a mean difference below this. 0: better, not merely as good,
        because a change that gains nothing is not worth its risk.
    harm
        Failure is a mean difference above this; 0.05 is an error 10 % larger.
    clip
        A session's difference is cut at plus and minus this. 0.25 is an error
        that is 1.67 times the other: beyond, more is not more convincing, and
        what no session can exceed lets one bet higher on all of them.
    """

    alpha: float = 0.05
    alpha_harm: float = 0.05
    margin: float = 0.0
    harm: float = 0.0
    clip: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome, and the figures that it rests on.

    Attributes
    ----------
    e_success, e_harm, e_failures
        Evidence against "no better", against "no worse", and against "fails
        no more often". 20 is as rare as a p-value of 5 %, at any time.
    mean
        Mean difference of a session, cut and by days: below 0 the challenger is better.
    n_sessions, n_days
        Scored by both.
    n_canary
        Of those, served by the challenger.
    """

    outcome: Outcome
    reason: str
    e_success: float
    e_harm: float
    e_failures: float
    mean: float | None
    n_sessions: int
    n_days: int
    n_canary: int

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return asdict(self)


def judge(sessions: Sequence[Scored], share: float, rule: Rule) -> Verdict:
    """Weigh all sessions of a canary so far.

    A session's difference is (new - old) / (new + old), in [-1, 1] whatever
    the unit. Sessions that began on one day share its weather and count as one
    block; the block means are bet upon, one after the other, and the bet knows
    only earlier blocks. The evidence is at most a nonnegative supermartingale,
    so that looking every day costs nothing.

    Parameters
    ----------
    sessions
        In any order. Pass only days whose labels are all due: a block must not
        change after it was bet upon.
    share
        Share of sessions that the challenger serves now, in (0, 1].
    rule
        How sure to be.

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random
       variables by betting", J. R. Stat. Soc. B 86(1), 2024.
    .. [2] M. Lindon and A. Malek, "Anytime-valid inference for multinomial
       count data", NeurIPS 2022.

    Examples
    --------
    >>> from dataclasses import replace
    >>> session = Scored(
    ...     day=date(2026, 1, 1), is_canary=False, loss_champion=1.0, loss_challenger=0.6
    ... )
    >>> better = [replace(session, day=date(2026, 1, day)) for day in range(1, 13)]
    >>> judge(better, 0.05, Rule()).outcome.value
    'success'
    """
    by_day: dict[date, list[float]] = defaultdict(list)
    for session in sessions:
        difference = relative_difference(session)
        if difference is not None:
            by_day[session.day].append(min(max(difference, -rule.clip), rule.clip))
    blocks = np.array([np.mean(by_day[day]) for day in sorted(by_day)])
    n_sessions = sum(len(differences) for differences in by_day.values())
    e_success = float(evidence(rule.margin - blocks, rule.clip - rule.margin)[-1])
    e_harm = float(evidence(blocks - rule.harm, rule.clip + rule.harm)[-1])
    e_failures = failure_evidence(sessions, share)
    outcome, reason = _decide(e_success, max(e_harm, e_failures), len(blocks), rule)
    return Verdict(
        outcome=outcome,
        reason=reason,
        e_success=e_success,
        e_harm=e_harm,
        e_failures=e_failures,
        mean=float(blocks.mean()) if len(blocks) else None,
        n_sessions=n_sessions,
        n_days=len(blocks),
        n_canary=sum(session.is_canary for session in sessions),
    )


def relative_difference(session: Scored) -> float | None:
    """Return (new - old) / (new + old): 0 when both are 0, None without labels.

    A loss that is no number is a forecast that was none: the worst there is.
    """
    old, new = session.loss_champion, session.loss_challenger
    if old is None or new is None:
        return None
    if not (np.isfinite(new) and np.isfinite(old)):
        return float(np.isfinite(old)) - float(np.isfinite(new))
    return (new - old) / (new + old) if new + old > 0 else 0.0


def evidence(gains: Floats, largest_loss: float) -> Floats:
    """Return the evidence that the mean of `gains` is positive, before and after each.

    The smaller of two bets: one on the gains, and one on what the day before
    did not foretell of them. The first alone is exact when no day foretells
    the next; when days resemble each other, it takes a long spell for many proofs.

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
    >>> spell = np.array([0.0] * 8 + [0.2] * 12)
    >>> round(bet(spell, 0.25)[-1]), round(evidence(spell, 0.25)[-1])
    (245, 5)
    """
    told = foretold(gains)
    return np.minimum(bet(gains, largest_loss), bet(gains - told, largest_loss + told))


def foretold(gains: Floats) -> Floats:
    """Return what the day before says about each gain (block,); earlier days taught how much.

    That is their first autocorrelation, about their own mean so that a steady
    gain is no memory, and never negative: alternation is no proof either.
    """
    told = np.zeros_like(gains)
    for day in range(2, len(gains)):
        past = gains[:day] - gains[:day].mean()
        spread = float(past @ past)
        memory = float(past[1:] @ past[:-1]) / spread if spread > ROUNDING else 0.0
        told[day] = max(memory, 0.0) * gains[day - 1]
    return told


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


def failure_evidence(sessions: Sequence[Scored], share: float) -> float:
    """Return the evidence that sessions fail more often with the challenger.

    Given that a session failed, the challenger served it with probability
    `share` if both are as reliable. Beta mixture over larger shares only.
    """
    n_canary = sum(s.is_canary for s in sessions if s.n_failed)
    n_champion = sum(not s.is_canary for s in sessions if s.n_failed)
    if n_canary + n_champion == 0 or not 0 < share < 1:
        return 1.0
    a, b = 10.0 * share, 10.0 * (1 - share)  # as much as ten failures are worth before any
    above = np.log(betaincc(a + n_canary, b + n_champion, share)) - np.log(
        betaincc(a, b, share)
    )
    log_e = betaln(a + n_canary, b + n_champion) - betaln(a, b) + above
    log_e -= n_canary * np.log(share) + n_champion * np.log1p(-share)
    return float(np.exp(min(log_e, 700.0)))


def _decide(e_success: float, e_harm: float, n_days: int, rule: Rule) -> tuple[Outcome, str]:
    if e_harm >= 1 / rule.alpha_harm:
        return Outcome.FAIL, f"worse: evidence {e_harm:.3g} after {n_days} days"
    if not n_days:
        return Outcome.NO_DATA, "no session has all its labels yet"
    if e_success >= 1 / rule.alpha:
        return Outcome.SUCCESS, f"better: evidence {e_success:.3g} after {n_days} days"
    needed = f"{1 / rule.alpha:.0f}"
    return Outcome.CONTINUE, f"evidence {e_success:.3g} of {needed} after {n_days} days"
