"""Request bodies: their fields, and errors in them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from core.limits import Limits
from core.policy import Policy
from core.schema.contract import Contract
from core.window import Stretches, stretches

# What a database and a calendar of any zone can hold.
Moment = Annotated[
    AwareDatetime,
    Ge(datetime(1970, 1, 1, tzinfo=UTC)),
    Le(datetime(9000, 1, 1, tzinfo=UTC)),
    AfterValidator(lambda moment: moment.astimezone(UTC)),
]


class Body(BaseModel):
    """A JSON object whose unknown fields are refused by name, with the known ones."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        known = cls.model_fields
        unknown = given.keys() - known.keys() if isinstance(given, dict) else ()
        if unknown:
            names = {"unknown": ", ".join(sorted(unknown)), "known": ", ".join(known)}
            message = "unknown {unknown}; known: {known}"
            raise PydanticCustomError("unknown_field", message, names)
        return given


class Stretch(Body):
    """A stretch of event time; `end` is not part of it."""

    start: Moment
    end: Moment


def as_stretches(given: Iterable[Stretch]) -> Stretches:
    """Return stretches in order, or raise Unprocessable."""
    return stretches((one.start, one.end) for one in given)


def _parsed_by(kind: Any) -> tuple[Any, Any]:
    """Return how a field is read and written: by the dataclass itself."""
    return (
        PlainValidator(kind.from_json, json_schema_input_type=kind),
        PlainSerializer(kind.to_json),
    )


ContractBody = Annotated[Contract, *_parsed_by(Contract)]
PolicyBody = Annotated[Policy, *_parsed_by(Policy)]
LimitsBody = Annotated[Limits, *_parsed_by(Limits)]
