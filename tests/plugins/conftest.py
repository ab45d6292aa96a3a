import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitors import registry

HERE = Path(__file__).parent
BUILD = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[project.entry-points."seqwatch.monitors"]
{entry_point}
[tool.setuptools]
py-modules = ["{module}"]
"""


def forget() -> None:
    importlib.invalidate_caches()
    registry.KINDS.__dict__.pop("_loaded", None)


def install(target: Path, *sources: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*pip, *options, *map(str, sources)], check=True, timeout=300)


def distribution(folder: Path, name: str, entry_point: str, code: str) -> Path:
    """Write a distribution of one module."""
    module = name.replace("-", "_")
    folder.mkdir()
    build = BUILD.format(name=name, entry_point=entry_point, module=module)
    (folder / "pyproject.toml").write_text(build, "utf-8")
    (folder / f"{module}.py").write_text(code, "utf-8")
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the plug-ins, and two that do not work, into a folder of their own."""
    target, sources = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("sources")
    shutil.copytree(HERE, sources / "ours")  # pip leaves what it builds beside the source
    broken = 'broken = "broken_plugin:KIND"'
    clash = 'accuracy = "clashing_plugin:KIND"'
    install(
        target,
        sources / "ours",
        distribution(sources / "a", "broken-plugin", broken, "import no_such_module"),
        distribution(sources / "b", "clashing-plugin", clash, "KIND = None"),
    )
    return target


@pytest.fixture
def plugins(site: Path) -> Iterator[None]:
    """Make them visible to this process."""
    sys.path.append(str(site))
    forget()
    yield
    sys.path.remove(str(site))
    forget()
