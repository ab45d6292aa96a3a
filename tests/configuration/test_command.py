"""What the commands print when files, folder, key or address are not as they should be."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from tests.configuration.conftest import LOAD, Seqwatch, Write
from tests.databases import ON_SQLITE

CaptureFixture = pytest.CaptureFixture[str]


@ON_SQLITE
def test_files_that_an_export_did_not_write_are_named(
    seqwatch: Seqwatch, write: Write, tmp_path: Path
) -> None:
    files, out = write(LOAD), tmp_path / "out"
    assert seqwatch("export", "-f", out).err == f"0 files written to {out}\n"
    assert seqwatch("apply", "-f", files).status == 0
    assert seqwatch("export", "-f", out).err == f"1 files written to {out}\n"
    (out / "models" / "removed.yaml").write_text("kind: Model\n", "utf-8")
    [_, old] = seqwatch("export", "-f", out).err.splitlines()
    assert old == (
        f"{out} has 1 more, which `apply` reads too, such as {out}/models/removed.yaml: "
        "remove what is old"
    )


@ON_SQLITE
def test_a_folder_that_cannot_be_written_is_named(seqwatch: Seqwatch, write: Write) -> None:
    files = write(LOAD)
    assert seqwatch("apply", "-f", files).status == 0
    done = seqwatch("export", "-f", files / "load.yaml")
    assert done.status == 1
    assert f"{files}/load.yaml/models/load.yaml: Not a directory" in done.err


@ON_SQLITE
@pytest.mark.parametrize(
    ("address", "why"),
    [
        pytest.param("http://127.0.0.1:1", "(ConnectError: [Errno 111]", id="no API"),
        pytest.param("127.0.0.1:1", "missing an 'http://' or 'https://' protocol", id="scheme"),
    ],
)
def test_an_address_that_does_not_answer_is_named(
    address: str, why: str, as_key: Callable[..., str], write: Write, capsys: CaptureFixture
) -> None:
    as_key("admin")
    assert main(["diff", "-f", str(write(LOAD)), "--url", address]) == 1
    shown = capsys.readouterr().err
    assert f"no answer from {address}" in shown
    assert why in shown


def test_a_command_without_a_key_names_its_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: CaptureFixture
) -> None:
    monkeypatch.delenv("SEQWATCH_KEY", raising=False)
    assert main(["diff", "-f", str(write(LOAD))]) == 1
    assert "no key: set SEQWATCH_KEY to one with the scope admin" in capsys.readouterr().err


@ON_SQLITE
def test_an_address_that_is_no_url_is_named(
    as_key: Callable[..., str], write: Write, capsys: CaptureFixture
) -> None:
    as_key("admin")
    assert main(["diff", "-f", str(write(LOAD)), "--url", "http://127.0.0.1:port"]) == 1
    assert "'http://127.0.0.1:port' is not a URL: " in capsys.readouterr().err


def test_an_interrupted_apply_prints_what_to_do(write: Write) -> None:
    files = write(LOAD)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = ["-m", "cli.main", "apply", "-f", str(files), "--url", url]
        with subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "SEQWATCH_KEY": "sw_any"},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            server.settimeout(60)
            asked, _ = server.accept()
            process.send_signal(signal.SIGINT)
            _, shown = process.communicate(timeout=60)
            asked.close()
    assert process.returncode == 130
    assert shown.splitlines()[-1] == "interrupted: some objects may be saved; apply again"
