"""Is the challenger better on live traffic? A sequential test, valid at every day."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import scipy

from retrain.evidence import evidence, mean_evidence
from retrain.windows import Floats


class Outcome(StrEnum):
    """Outcome of the canary so far."""

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
        Requests of the session that its server failed: an error, a time-out, an
        answer that cannot be used.
    n_failed_shadow
        The same of the version in shadow; None when none answered in shadow.
    """

    day: date
    is_canary: bool
    loss_champion: float | None
    loss_challenger: float | None
    n_failed: int = 0
    n_failed_shadow: int | None = None

    @property
    def failed(self) -> tuple[bool, bool] | None:
        """Whether champion and challenger failed; None unless both were asked."""
        if self.n_failed_shadow is None:
            return None
        served, shadow = self.n_failed > 0, self.n_failed_shadow > 0
        return (shadow, served) if self.is_canary else (served, shadow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How sure to be, and of what.

    Attributes
    ----------
    alpha
        Chance that a challenger which is no better is ever called a success,
        at any number of tests.
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
    failure_margin
        Nothing succeeds that failed in a larger share of sessions than the
        champion, by more than this: one in a hundred.
    is_bounded
        No loss can be above 2, as of Brier scores. Then the mean difference of
        losses is tested, uncut: a ratio of losses favours a model that is
        right by a hair in most sessions and grossly wrong in a few.
    """

    alpha: float = 0.05
    alpha_harm: float = 0.05
    margin: float = 0.0
    harm: float = 0.0
    clip: float = 0.25
    failure_margin: float = 0.01
    is_bounded: bool = False


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
        Of bounded losses, the mean of new - old.
    n_sessions, n_days
        Scored by both.
    n_canary
        Of those, served by the challenger.
    failed_champion, failed_challenger
        Share of sessions in which each failed, of those that both were asked in;
        None when there are none.
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
    failed_champion: float | None = None
    failed_challenger: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return asdict(self)


def evaluate(sessions: Sequence[Scored], share: float, rule: Rule) -> Verdict:
    """Weigh all sessions of a canary so far.

    A session's difference is (new - old) / (new + old), in [-1, 1] whatever
    the unit. Sessions that began on one day share its weather and count as one
    block; the block means are bet upon, one after the other, and the bet knows
    only earlier blocks. The evidence is at most a nonnegative supermartingale,
    so that a test every day costs nothing.

    Parameters
    ----------
    sessions
        In any order. Pass losses only of days whose labels are all due: a block
        must not change after it was bet upon.
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
    >>> evaluate(better, 0.05, Rule()).outcome.value
    'success'
    """
    scored: dict[date, list[float]] = defaultdict(list)
    for session in sessions:
        difference = _difference(session, rule)
        if difference is not None:
            scored[session.day].append(difference)
    blocks = np.array([np.mean(scored[day]) for day in sorted(scored)])
    n_sessions = sum(len(differences) for differences in scored.values())
    if rule.is_bounded:
        e_success = float(mean_evidence(rule.margin - blocks)[-1])
        e_harm = float(mean_evidence(blocks - rule.harm)[-1])
    else:
        e_success = float(evidence(rule.margin - blocks, rule.clip - rule.margin)[-1])
        e_harm = float(evidence(blocks - rule.harm, rule.clip + rule.harm)[-1])
    pairs = [session.failed for session in sessions if session.failed is not None]
    both = np.array(pairs, dtype=float).reshape(-1, 2)
    old, new = both.mean(axis=0).tolist() if pairs else (None, None)
    found = Verdict(
        outcome=Outcome.CONTINUE,
        reason="",
        e_success=e_success,
        e_harm=e_harm,
        e_failures=_failures(sessions, both, share),
        mean=float(blocks.mean()) if len(blocks) else None,
        n_sessions=n_sessions,
        n_days=len(blocks),
        n_canary=sum(s.is_canary and _difference(s, rule) is not None for s in sessions),
        failed_champion=old,
        failed_challenger=new,
    )
    outcome, reason = _decide(found, rule)
    return replace(found, outcome=outcome, reason=reason)


def _difference(session: Scored, rule: Rule) -> float | None:
    """Return what a session adds to its day; None while a label is missing."""
    if not rule.is_bounded:
        difference = relative_difference(session)
        return None if difference is None else min(max(difference, -rule.clip), rule.clip)
    if session.loss_champion is None or session.loss_challenger is None:
        return None
    return session.loss_challenger - session.loss_champion


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


def _failures(sessions: Sequence[Scored], both: Floats, share: float) -> float:
    """Return the mean of what served sessions prove, and sessions with a shadow."""
    served = failure_evidence(sessions, share)
    if not len(both):
        return served
    # Where one of the two failed, it is either as likely if both are as reliable.
    old, new = both.T
    paired = _more_often(int((new > old).sum()), int((old > new).sum()), 0.5, 2.0)
    return (served + paired) / 2


def failure_evidence(sessions: Sequence[Scored], share: float) -> float:
    """Return the evidence that sessions fail more often with the challenger.

    Given that a session failed, the challenger served it with probability
    `share` if both are as reliable. Beta mixture over larger shares only.
    """
    n_canary = sum(s.is_canary for s in sessions if s.n_failed)
    n_champion = sum(not s.is_canary for s in sessions if s.n_failed)
    return _more_often(n_canary, n_champion, share, 10.0)


def _more_often(n_canary: int, n_champion: int, share: float, weight: float) -> float:
    """Return the evidence that more than `share` of failures are the challenger's.

    `weight` is how many failures the prior about `share` is worth.
    """
    if n_canary + n_champion == 0 or not 0 < share < 1:
        return 1.0
    a, b = weight * share, weight * (1 - share)
    above = np.log(scipy.special.betaincc(a + n_canary, b + n_champion, share)) - np.log(
        scipy.special.betaincc(a, b, share)
    )
    log_e = (
        scipy.special.betaln(a + n_canary, b + n_champion) - scipy.special.betaln(a, b) + above
    )
    log_e -= n_canary * np.log(share) + n_champion * np.log1p(-share)
    return float(np.exp(min(log_e, 700.0)))


def _decide(found: Verdict, rule: Rule) -> tuple[Outcome, str]:
    after = f"after {found.n_days} days"
    if found.e_failures >= 1 / rule.alpha_harm:
        reason = f"fails more often: evidence {found.e_failures:.3g}"
        return Outcome.FAIL, f"worse: {reason}{_rates(found)}"
    if found.e_harm >= 1 / rule.alpha_harm:
        return Outcome.FAIL, f"worse: evidence {found.e_harm:.3g} {after}"
    if not found.n_days:
        return Outcome.NO_DATA, "no session has all its labels yet"
    if found.e_success >= 1 / rule.alpha:
        better = f"better: evidence {found.e_success:.3g} {after}"
        excess = (found.failed_challenger or 0.0) - (found.failed_champion or 0.0)
        if excess > rule.failure_margin:
            return Outcome.CONTINUE, f"{better}, but fails more often{_rates(found)}"
        return Outcome.SUCCESS, better
    needed = f"{1 / rule.alpha:.0f}"
    return Outcome.CONTINUE, f"evidence {found.e_success:.3g} of {needed} {after}"


def _rates(found: Verdict) -> str:
    if found.failed_challenger is None or found.failed_champion is None:
        return ""
    rate, of_champion = found.failed_challenger, found.failed_champion
    return f", in {rate:.1%} of sessions, the champion in {of_champion:.1%}"
