from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from cli.main import main
from core.lake_root import Bucket
from core.settings import Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of what the developer has set, and nowhere to write but here."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEQWATCH_{name}".upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"),
        ("PORT", "99999"),
        ("PORT", ""),
        ("LEASE", "0"),
        ("LEASE", "-1"),
        ("LEASE", "nan"),
        ("LEASE", "inf"),
        ("LEASE", "1e300"),
        ("LEASE", "soon"),
        ("LEASE", "PT"),
        ("MAX_ROWS", "0"),
        ("KEEP_HOUR_SUMMARIES", "P13D"),
        ("KEEP_DAY_SUMMARIES", "P399D"),
        ("WEBHOOK_ALLOW", "10.0.0.0/8,foo"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://127.0.0.1/seqwatch"),
        ("DATABASE_URL", "postgresql://127.0.0.1/seqwatch"),
        ("DATABASE_URL_FILE", "/nowhere/at/all"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"SEQWATCH_{name}", value)
    assert main(["migrate"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"SEQWATCH_{name}: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        pytest.param("90", 90, id="seconds"),
        pytest.param("0.5", 0.5, id="parts of one"),
        pytest.param("PT1M30S", 90, id="ISO 8601"),
        pytest.param("P7D", 7 * 86_400, id="days"),
        pytest.param("00:01:30", 90, id="clock"),
    ],
)
def test_durations(monkeypatch: pytest.MonkeyPatch, given: str, seconds: float) -> None:
    monkeypatch.setenv("SEQWATCH_KEEP_RUNS", given)
    assert Settings().keep_runs == timedelta(seconds=seconds)


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql+psycopg://ann:secret@127.0.0.1/seqwatch"
    (tmp_path / "url").write_text(f"{url}\n", encoding="utf-8")
    monkeypatch.setenv("SEQWATCH_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert Settings().database_url == url


def test_a_value_and_a_file_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQWATCH_DATABASE_URL_FILE", "url")
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", "sqlite:///seqwatch.sqlite")
    assert main(["migrate"]) == 2
    message = capsys.readouterr().err
    assert "SEQWATCH_DATABASE_URL and SEQWATCH_DATABASE_URL_FILE are both set" in message


def test_a_file_that_is_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "url").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("SEQWATCH_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert main(["migrate"]) == 2
    assert capsys.readouterr().err.startswith("SEQWATCH_DATABASE_URL_FILE: ")


def test_every_bad_value_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQWATCH_PORT", "x")
    monkeypatch.setenv("SEQWATCH_LEASE", "x")
    assert main(["migrate"]) == 2
    names = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert sorted(names) == ["SEQWATCH_LEASE", "SEQWATCH_PORT"]


def test_networks_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQWATCH_WEBHOOK_ALLOW", "10.0.0.0/8,::1/128")
    assert Settings().webhook_allow == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_the_lake_may_lie_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQWATCH_LAKE", "s3://grid/lake/")
    monkeypatch.setenv("SEQWATCH_LAKE_OPTIONS", '{"AWS_SECRET_ACCESS_KEY": "hush"}')
    settings = Settings()
    assert settings.lake == Bucket(
        url="s3://grid/lake", options=(("AWS_SECRET_ACCESS_KEY", "hush"),)
    )
    assert "hush" not in repr(settings) + str(settings.lake)


@pytest.mark.parametrize("place", ["ftp://grid/lake", "s3://", "http://127.0.0.1/lake"])
def test_a_lake_of_an_unknown_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setenv("SEQWATCH_LAKE", place)
    assert main(["migrate"]) == 2
    assert "SEQWATCH_LAKE: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "given", "why"),
    [
        pytest.param("OTLP_ENDPOINT", "collector:4318", "must begin with http", id="endpoint"),
        pytest.param("TRACE_URL", "javascript:1", "must begin with http", id="no web address"),
        pytest.param("TRACE_URL", "https://t.example/", "must contain {trace_id}", id="no id"),
        pytest.param("LOG_FORMAT", "xml", "'text' or 'json'", id="format of the log"),
    ],
)
def test_a_bad_setting_of_telemetry_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    given: str,
    why: str,
) -> None:
    monkeypatch.setenv(f"SEQWATCH_{setting}", given)
    assert main(["migrate"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"SEQWATCH_{setting}: ")
    assert why in message


def test_an_unknown_variable_stops_the_start_and_names_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQWATCH_DATABSE_URL", "sqlite:///x")
    assert main(["migrate"]) == 2
    assert capsys.readouterr().err == (
        "SEQWATCH_DATABSE_URL is no setting; did you mean SEQWATCH_DATABASE_URL? "
        "(see docs/settings.md)\n"
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("SEQWATCH_ARCHIVE_AFTER", "PT1H", id="rows wait long"),
        pytest.param("SEQWATCH_MAX_BACKLOG_AGE", "PT5M", id="the backlog is soon old"),
    ],
)
def test_rows_that_wait_for_their_archive_are_no_old_backlog(
    setting: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(setting, value)
    assert main(["migrate"]) == 2
    message = capsys.readouterr().err
    assert "SEQWATCH_ARCHIVE_AFTER: " in message
    assert "must be less than SEQWATCH_MAX_BACKLOG_AGE" in message
