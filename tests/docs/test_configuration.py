"""The files and commands of the page about configuration do what it describes."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.architecture.source import ROOT
from tests.docs.conftest import Address

PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_example_is_applied_as_it_is_printed(platform: Address, tmp_path: Path) -> None:
    files = re.findall(r"^`(\S+\.yaml)`:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(files) == 2
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    [commands] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("sw_...", platform.key)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "SEQWATCH_PUBLIC_URL": platform.url,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 created, 0 changed, 0 removed, 0 unchanged") == 2
    assert (tmp_path / "configuration.schema.json").stat().st_size > 10_000
    headers = {"Authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.url, headers=headers) as api:
        model = api.get("/v1/models/load-berlin").json()
    monitors = {one["name"]: one["params"] for one in model["monitors"]}
    assert monitors["input_drift"] == {"window": "P14D"}
    assert monitors["availability"] == {"sli": "availability", "objective": 0.995}
    assert "silence" not in monitors
    assert model["policy"]["label_delay"] == "P1DT12H"
