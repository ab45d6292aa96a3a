"""All tables."""

from db.base import Base
from db.tables.access import ApiKey, AuditEvent, Scope, WebSession
from db.tables.alerting import (
    Alert,
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Monitor,
    PlatformAlert,
)
from db.tables.kserve import PendingEvent
from db.tables.log import (
    DirtyDay,
    Erasure,
    Inbox,
    InboxPayload,
    LateDay,
    LogCount,
    MismatchDay,
    Quarantine,
    Receipt,
    RepeatDay,
    SetAside,
    Stream,
    UnusableAnswer,
)
from db.tables.models import Champion, Model, Version
from db.tables.queue import Run
from db.tables.rollouts import Rollout, RolloutEvent
from db.tables.segments import (
    Segment,
    SegmentAccuracy,
    SegmentChunk,
    SegmentOutputChunk,
)
from db.tables.summaries import (
    AccuracyChunk,
    Edges,
    OutputChunk,
    OutputEdges,
    ServingSlice,
    SessionScore,
    SummaryChunk,
    WindowProfileChunk,
    WindowProfileLayout,
)

__all__ = [
    "AccuracyChunk",
    "Alert",
    "ApiKey",
    "AuditEvent",
    "Base",
    "Champion",
    "Channel",
    "Delivery",
    "DirtyDay",
    "Edges",
    "Erasure",
    "Finding",
    "FlipRow",
    "Inbox",
    "InboxPayload",
    "LateDay",
    "LogCount",
    "MismatchDay",
    "Model",
    "Monitor",
    "OutputChunk",
    "OutputEdges",
    "PendingEvent",
    "PlatformAlert",
    "Quarantine",
    "Receipt",
    "RepeatDay",
    "Rollout",
    "RolloutEvent",
    "Run",
    "Scope",
    "Segment",
    "SegmentAccuracy",
    "SegmentChunk",
    "SegmentOutputChunk",
    "ServingSlice",
    "SessionScore",
    "SetAside",
    "Stream",
    "SummaryChunk",
    "UnusableAnswer",
    "Version",
    "WebSession",
    "WindowProfileChunk",
    "WindowProfileLayout",
]
