import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.read_models.plugins import REGISTRIES

HERE = Path(__file__).parent
# An SLI whose cells cannot be computed.
RAISING = """\
from dataclasses import dataclass
import numpy as np
from monitors.slo.cells import Cells
from monitors.slo.sli import Event, SliKind

@dataclass(frozen=True)
class Params:
    pass

def cell(columns):
    raise ZeroDivisionError("of the plug-in")

SLI = SliKind(
    name="raising",
    question="Does it fail?",
    params=Params,
    cells=Cells(columns=("worker", "received_at", "cold_start"), n=1, cell=cell),
    classify=lambda _: np.full(1, Event.GOOD),
)
"""
# Name, group, entry point and code of distributions that are not available, or fail.
BAD = [
    (
        "broken-plugin",
        "seqwatch.monitors",
        "broken = broken_plugin:KIND",
        "import no_such_module",
    ),
    (
        "clashing-plugin",
        "seqwatch.monitors",
        "accuracy = clashing_plugin:KIND",
        "KIND = None",
    ),
    (
        "broken-channel",
        "seqwatch.channels",
        "pager = broken_channel:KIND",
        "import no_such_module",
    ),
    (
        "another-webhook",
        "seqwatch.channels",
        "webhook = another_webhook:KIND",
        "KIND = None",
    ),
    (
        "broken-template",
        "seqwatch.templates",
        "gru = broken_template:KIND",
        "import no_such_module",
    ),
    (
        "another-segment-lstm",
        "seqwatch.templates",
        "segment_lstm = another_segment_lstm:KIND",
        "KIND = None",
    ),
    (
        "broken-trainer",
        "seqwatch.trainers",
        "cluster = broken_trainer:KIND",
        "import no_such_module",
    ),
    (
        "another-builtin",
        "seqwatch.trainers",
        "builtin = another_builtin:KIND",
        "KIND = None",
    ),
    (
        "broken-source",
        "seqwatch.sources",
        "warehouse = broken_source:KIND",
        "import no_such_module",
    ),
    (
        "zz-another-jsonl",  # after seqwatch-test-plugins, by name
        "seqwatch.sources",
        "jsonl = zz_another_jsonl:KIND",
        "KIND = None",
    ),
    ("broken-task", "seqwatch.tasks", "torn = broken_task:TASK", "import no_such_module"),
    ("another-task", "seqwatch.tasks", "forecast = another_task:TASK", "TASK = None"),
    ("broken-sli", "seqwatch.slis", "depth = broken_sli:SLI", "import no_such_module"),
    ("another-latency", "seqwatch.slis", "latency = another_latency:SLI", "SLI = None"),
    ("not-an-sli", "seqwatch.slis", "joy = not_an_sli:SLI", "SLI = None"),
    ("raising-sli", "seqwatch.slis", "raising = raising_sli:SLI", RAISING),
    (
        "dashed-sli",
        "seqwatch.slis",
        "a-b = dashed_sli:SLI",
        RAISING.replace("raising", "a-b"),
    ),
    ("renamed-sli", "seqwatch.slis", "other = renamed_sli:SLI", RAISING),
    ("another-skew", "seqwatch.diagnoses", "skew = another_skew:NONE", "NONE = None"),
]


def forget() -> None:
    importlib.invalidate_caches()
    for registry in REGISTRIES:
        registry.__dict__.pop("_loaded", None)


@contextmanager
def uninstalled(site: Path) -> Iterator[None]:
    """Take the plug-ins out of this process for a while."""
    sys.path.remove(str(site))
    forget()
    try:
        yield
    finally:
        sys.path.append(str(site))
        forget()


def install(target: Path, source: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True, timeout=300)


def distribution(site: Path, name: str, group: str, entry_point: str, code: str) -> None:
    """Write a distribution of one module, as it lies when it is installed."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(code, "utf-8")
    metadata = site / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry_point}\n")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the plug-ins, and others that do not work, into a folder of their own."""
    target, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source")
    shutil.copytree(HERE, source / "ours")  # pip leaves what it builds beside the source
    install(target, source / "ours")
    for bad in BAD:
        distribution(target, *bad)
    return target


@pytest.fixture
def plugins(site: Path) -> Iterator[None]:
    """Make them visible to this process."""
    sys.path.append(str(site))
    forget()
    yield
    sys.path.remove(str(site))
    forget()
