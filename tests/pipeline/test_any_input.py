"""Whatever the input: no 500, no batch that is stuck, no row that is lost.

More examples: `SEQWATCH_TEST_PIPELINE_EXAMPLES=1000 pytest -m slow tests/pipeline`.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.settings import Settings
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from tests.pipeline.world import (
    ARROW,
    JSON,
    MSGPACK,
    N_REFERENCE,
    N_SERVED,
    NOW,
    Platform,
    Row,
    comparable,
    platform,
)
from tests.streams import START

N_SLOW = int(os.environ.get("SEQWATCH_TEST_PIPELINE_EXAMPLES", "200"))
MAX_MAGNITUDE = 1e100  # beyond it a row is quarantined
PROFILE: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": [*HealthCheck],
}

printable = st.characters(
    codec="utf-8",
    exclude_categories=["Cc", "Cs", "Zl", "Zp"],
    exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
)
names = st.one_of(
    st.sampled_from(
        ['"', "\\", r"\\Processor(_Total)\% Processor Time", " a ", ".a", "a/b", "<b>"]
    ),
    st.text(printable, min_size=1, max_size=12),
)
SHAPES = ("noise", "constant", "neighbours", "two values", "ramp", "spikes", "wide")
TEXTS = ("a", "NA", "null", "None", 'x"y', "\\", "ü", "[1]", "=1+1", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One feature, and how its values come."""

    is_text: bool
    shape: str
    magnitude: float
    shift: float
    null_every: int
    bad_every: int
    is_optional: bool

    def at(self, hour: int) -> list[Any]:
        """Return the list of one row, of one value or of two."""
        if self.null_every and hour % self.null_every == 0:
            return [None]
        if self.is_text:
            return [TEXTS[hour * 7 % len(TEXTS)]]
        if self.bad_every and hour % self.bad_every == 1:
            return [(math.inf, 1e101, -1e308)[hour % 3]]
        noise = math.sin(hour * 12.9898) * 43_758.5453 % 1 - 0.5
        value = {
            "noise": noise,
            "constant": 1.0,
            "neighbours": math.nextafter(1.0, 2.0) if hour % 2 else 1.0,
            "two values": float(hour % 2),
            "ramp": hour / 100,
            "spikes": 1.0 if hour % 50 == 0 else 0.0,
            "wide": 10.0 ** (hour % 40 - 20),
        }[self.shape]
        scaled = value * self.magnitude + self.shift
        return [scaled if abs(scaled) <= MAX_MAGNITUDE else MAX_MAGNITUDE]


inputs = st.builds(
    Input,
    is_text=st.sampled_from([False, False, True]),
    shape=st.sampled_from(SHAPES),
    magnitude=st.sampled_from([5e-324, 1e-300, 1e-12, 1.0, 1e9, 1e50, 1e99]),
    shift=st.sampled_from([0.0, 1.0, -1e9, 1.7e9, 2.0**53, 1e99]),
    null_every=st.sampled_from([0, 0, 1, 2, 7]),
    bad_every=st.sampled_from([0, 0, 5]),
    is_optional=st.booleans(),
)
models = st.dictionaries(names, inputs, min_size=1, max_size=3)


def goes_through(api: Platform, features: dict[str, Input], target: str) -> None:
    """Take a model from registration to the import of its export."""
    contract = {
        "features": [
            {
                "name": name,
                "optional": each.is_optional,
                "dtype": "category" if each.is_text else "number",
            }
            for name, each in features.items()
        ],
        "targets": [target],
        "step": "PT1H",
        "input_length": 4,
        "horizon": 2,
    }
    model = api.register(contract)
    rows = [_row(features, target, hour) for hour in range(24 * (N_REFERENCE + N_SERVED))]
    past = [
        {name: row[name] for name in ("prediction_id", "at", "entity", "features")}
        for row in rows[: 24 * N_REFERENCE]
    ]
    served = rows[24 * N_REFERENCE :]
    labels = [
        {"prediction_id": row["prediction_id"], "actual": row["output"]} for row in served[::2]
    ]
    n_bad, n_served = 0, 0
    for i, kind in enumerate((JSON, MSGPACK, ARROW)):
        n_bad += api.send(model, "reference", kind, past[i::3])[1]
        accepted, quarantined = api.send(model, "predictions", kind, served[i::3])
        n_served, n_bad = n_served + accepted, n_bad + quarantined
        assert api.send(model, "labels", kind, labels[i::3])[1] == 0
    assert n_bad == sum(_is_bad(row) for row in rows)
    api.work(model)
    assert api.n_quarantined(model) == n_bad
    failed = [
        (each.cause, each.detail) for each in api.findings(model) if each.outcome == "error"
    ]
    assert not failed
    api.open_pages(model)
    exported = api.export(model, "parquet")
    assert len(comparable(exported)) == n_served
    for form in ("parquet", "csv"):
        other = api.register(contract)
        assert api.bring(other, form, api.export(model, form)) == 0
        fold_all(api.sessions, NOW)
        archive_all(api.sessions, api.settings.lake, NOW)
        again = comparable(api.export(other, "parquet"))
        assert again == comparable(exported), form


def _is_bad(row: Row) -> bool:
    """Return whether a row holds what is no measurement."""
    values = [value for values in row["features"].values() for value in values]
    return any(isinstance(each, float) and abs(each) > MAX_MAGNITUDE for each in values)


def _row(features: dict[str, Input], target: str, hour: int) -> Row:
    value = math.sin(hour / 4)
    return {
        "prediction_id": f"p{hour}",
        "version": "v1",
        "at": (START + hour * HOUR).isoformat(),
        "entity": "NA" if hour % 3 else "e",
        "features": {name: each.at(hour) for name, each in features.items()},
        "output": {target: [value, value + 1]},
        "latency_seconds": 0.01,
    }


@pytest.fixture
def api(
    settings: Settings, sessions: sessionmaker[Session], tmp_path: Path
) -> Iterator[Platform]:
    with platform(settings, sessions, tmp_path) as running:
        yield running


QUOTED = r"\\Processor(_Total)\% Processor Time"
PLAIN: dict[str, Any] = {
    "is_text": False, "shape": "noise", "magnitude": 1.0, "shift": 0.0, "null_every": 0,
    "bad_every": 0, "is_optional": False,
}  # fmt: skip


def plain(**changes: Any) -> Input:
    return Input(**{**PLAIN, **changes})


# Each holds what was once a fault of its own.
EXAMPLES = {
    "a performance counter, the text NA": {
        QUOTED: plain(null_every=7, bad_every=5),
        'k "x"': plain(is_text=True, is_optional=True),
    },
    "two neighbouring doubles, and values of 1e99": {
        ".a": plain(shape="neighbours"),
        "large": plain(magnitude=1e99),
    },
    "an offset of 1.7e9, and nothing but nulls": {
        "offset": plain(shift=1.7e9),
        "never": plain(null_every=1, is_optional=True),
    },
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_input_that_once_broke_something_goes_through(api: Platform, example: str) -> None:
    goes_through(api, EXAMPLES[example], QUOTED)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_unexpected_names_and_texts_go_through_on_postgresql(api: Platform) -> None:
    goes_through(api, next(iter(EXAMPLES.values())), QUOTED)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_any_input_goes_through(api: Platform) -> None:
    @settings(max_examples=N_SLOW, **PROFILE)
    @given(models, names)
    def check(features: dict[str, Input], target: str) -> None:
        goes_through(api, features, target)

    check()
