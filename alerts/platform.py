"""Kinds of faults of the platform itself, as opposed to faults of a model."""

from enum import StrEnum


class PlatformFault(StrEnum):
    """Fault of the platform. Described in docs/operate.md."""

    STREAM_SET_ASIDE = "stream_set_aside"
    EVALUATION_FAILED = "evaluation_failed"
    JOB_FAILING = "job_failing"
