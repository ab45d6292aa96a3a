from itertools import pairwise

from seqwatch.routing import Routing, Served

from retrain.rollout import CANARY_STEPS

OLD, NEW = Served(version="v1", sha256="a"), Served(version="v2", sha256="b")
SESSIONS = [f"session-{number}" for number in range(4000)]


def document(share_bp: int, salt: str = "rollout") -> Routing:
    return Routing(
        model="m", epoch=1, champion=OLD, challenger=NEW, share_bp=share_bp, salt=salt
    )


def taken(share_bp: int, salt: str = "rollout") -> set[str]:
    return {s for s in SESSIONS if document(share_bp, salt).choose(s) == "v2"}


def test_a_larger_share_only_moves_sessions_to_the_challenger() -> None:
    shares = (0, *CANARY_STEPS)
    for smaller, larger in pairwise(shares):
        assert taken(smaller) < taken(larger)
    assert taken(0) == set()
    assert taken(10_000) == set(SESSIONS)


def test_the_share_is_kept() -> None:
    """Within four standard deviations of a binomial count."""
    for share in CANARY_STEPS[:3]:
        p = share / 10_000
        deviation = (len(SESSIONS) * p * (1 - p)) ** 0.5
        assert abs(len(taken(share)) - len(SESSIONS) * p) < 4 * deviation


def test_each_rollout_tries_other_sessions_first() -> None:
    both = taken(500, "one") & taken(500, "other")
    assert len(both) < 0.25 * len(taken(500, "one"))


def test_without_challenger_the_champion_serves_and_without_both_nobody() -> None:
    alone = Routing(model="m", epoch=1, champion=OLD)
    assert {alone.choose(s) for s in SESSIONS} == {"v1"}
    assert Routing(model="m", epoch=0, champion=None).choose("s") is None
