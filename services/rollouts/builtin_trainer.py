"""The trainer `builtin`: a job of the queue, which `seqwatch trainer` takes."""

from dataclasses import dataclass

from notify.trainer import BUILTIN, Platform, Started, StartRequest, TrainerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Nothing to configure."""


def start(_: Config, request: StartRequest, platform: Platform) -> Started:
    """Enqueue the job."""
    return Started(reference=platform.enqueue(request.rollout_id))


def cancel(_: Config, __: str, ___: Platform) -> None:
    """Do nothing: the job ends by itself, at the epoch in which its rollout has ended."""


KIND = TrainerKind(
    name=BUILTIN,
    question="Trains in the process `seqwatch trainer` of this installation.",
    config=Config,
    start=start,
    cancel=cancel,
)
