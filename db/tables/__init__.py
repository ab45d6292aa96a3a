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
    EventId,
    Inbox,
    InboxPayload,
    LateDay,
    LogCount,
    MismatchDay,
    Quarantine,
    Receipt,
    RepeatDay,
    SecondInboxPayload,
    SetAside,
    Stream,
    UnusableAnswer,
)
from db.tables.models import Champion, Model, Version
from db.tables.notification import (
    AlertGroup,
    GroupMember,
    Incident,
    NotifiedIncident,
    Route,
    Silence,
)
from db.tables.publication import Publication
from db.tables.queue import BacktestRow, Run
from db.tables.rollouts import Rollout, RolloutEvent, TrainerConfig
from db.tables.slos import LateHour, SloCorrection
from db.tables.sources import SourceRow
from db.tables.summaries import (
    EntityState,
    Segment,
    SessionScore,
    SummaryLayout,
    SummaryRow,
    SummarySeries,
)

__all__ = [
    "Alert",
    "AlertGroup",
    "ApiKey",
    "AuditEvent",
    "BacktestRow",
    "Base",
    "Champion",
    "Channel",
    "Delivery",
    "DirtyDay",
    "EntityState",
    "Erasure",
    "EventId",
    "Finding",
    "FlipRow",
    "GroupMember",
    "Inbox",
    "InboxPayload",
    "Incident",
    "LateDay",
    "LateHour",
    "LogCount",
    "MismatchDay",
    "Model",
    "Monitor",
    "NotifiedIncident",
    "PendingEvent",
    "PlatformAlert",
    "Publication",
    "Quarantine",
    "Receipt",
    "RepeatDay",
    "Rollout",
    "RolloutEvent",
    "Route",
    "Run",
    "Scope",
    "SecondInboxPayload",
    "Segment",
    "SessionScore",
    "SetAside",
    "Silence",
    "SloCorrection",
    "SourceRow",
    "Stream",
    "SummaryLayout",
    "SummaryRow",
    "SummarySeries",
    "TrainerConfig",
    "UnusableAnswer",
    "Version",
    "WebSession",
]
