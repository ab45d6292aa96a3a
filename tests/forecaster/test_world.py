from pathlib import Path

import numpy as np
import pytest

from core.errors import Unprocessable
from examples.forecaster.world import (
    CHANNELS,
    N_HISTORY,
    Kind,
    Scenario,
    World,
    find_series,
    make_world,
    read_series,
)

AT = 300
SERIES = read_series(None, seed=1)[:600]


def _world(scenario: Scenario) -> World:
    return make_world(SERIES, n_entities=3, seed=5, scenario=scenario)


QUIET = _world(Scenario())


def test_the_same_seed_makes_the_same_world() -> None:
    again = _world(Scenario())
    assert (again.actual == QUIET.actual).all()
    other = make_world(SERIES, n_entities=3, seed=6, scenario=Scenario())
    assert (other.actual != QUIET.actual).any()


def test_nothing_befalls_a_quiet_world() -> None:
    assert QUIET.observed is QUIET.actual
    assert QUIET.actual.shape == (3, 600, 7)
    assert np.isfinite(QUIET.actual).all()
    assert len(set(QUIET.entities)) == 3


def test_a_shift_is_true_and_begins_at_the_configured_time() -> None:
    shifted = _world(Scenario(kind=Kind.SHIFT, at=AT))
    assert shifted.observed is shifted.actual
    assert (shifted.actual[:, :AT] == QUIET.actual[:, :AT]).all()
    assert (shifted.actual[:, AT:] != QUIET.actual[:, AT:]).mean() > 0.9


@pytest.mark.parametrize(
    ("until", "end"), [(None, 600), (400, 400)], ids=["for good", "mended"]
)
def test_a_fault_falsifies_one_reading_and_not_the_truth(until: int | None, end: int) -> None:
    scenario = Scenario(kind=Kind.FAULT, at=AT, channel="OT", factor=3.0, until=until)
    faulty = _world(scenario)
    assert (faulty.actual == QUIET.actual).all()
    is_false = faulty.observed != faulty.actual
    expected = np.zeros_like(is_false)
    expected[:, AT:end, CHANNELS.index("OT")] = True
    assert (is_false <= expected).all()
    assert is_false[expected].mean() > 0.9


def test_an_unknown_channel_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(Unprocessable, match="HUFL"):
        Scenario(kind=Kind.FAULT, channel="XX")


def test_the_generator_is_long_enough_for_a_history_and_a_stream() -> None:
    assert len(read_series(None, seed=1)) > N_HISTORY + 200 * 24


HEADER = "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n"
ROW = "2016-07-01 00:00:00,1,2,3,4,5,6,7\n"


def test_a_file_like_etth1_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "ETTh1.csv"
    path.write_text(HEADER.replace("HUFL,HULL", "HULL,HUFL") + ROW * (N_HISTORY + 100))
    series = read_series(find_series(path), seed=1)
    assert series.shape == (N_HISTORY + 100, 7)
    assert series[0].tolist() == [2, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("date,a\n2016-07-01,1\n", id="other columns"),
        pytest.param(HEADER + "2016-07-01,1,2,3,4,5,6,much\n", id="no number"),
        pytest.param(HEADER + "2016-07-01,1,2\n", id="a torn row"),
        pytest.param(HEADER + ROW * 100, id="too short"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(Unprocessable, match=r"other\.csv"):
        read_series(path, seed=1)


def test_a_file_that_is_named_and_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unprocessable, match="no such file"):
        find_series(tmp_path / "nowhere.csv")


def test_without_the_data_folder_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQWATCH_DATA", str(tmp_path))
    assert find_series() is None
    (tmp_path / "ett").mkdir()
    (tmp_path / "ett" / "ETTh1.csv").write_text("")
    assert find_series() == tmp_path / "ett" / "ETTh1.csv"
