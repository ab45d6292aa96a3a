import subprocess
import sys
from pathlib import Path


def test_the_first_request_waits_for_no_library_to_load(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "tests.ingest.first_request", str(tmp_path)]
    finished = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert finished.stdout.split() == ["200"], finished.stdout + finished.stderr
