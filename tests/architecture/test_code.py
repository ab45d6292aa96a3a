"""Rules that no linter knows, kept by reading the code."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import FLOORS, ROOT, called, calls, modules, name_of

# The transaction of a request or job ends in one place; migrations end their own.
MAY_COMMIT = {"db/session.py", "db/migrate.py", "db/migrations/env.py"}
UNSAFE_TO_LOAD = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|handlers?|processors?|data|info|do)(_|$)")
TERMS = re.compile("no_data|data_quality")  # of the field


PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def imports(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports."""
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case _:
            return []


def test_nobody_commits_by_hand() -> None:
    by_hand = {
        name_of(path)
        for path in modules(*FLOORS)
        if any(called(call) == "commit" for call in calls(path))
    }
    assert by_hand <= MAY_COMMIT


def test_no_module_outgrows_four_hundred_lines() -> None:
    lines = {name_of(path): path.read_text("utf-8").count("\n") for path in modules()}
    written = {name: n for name, n in lines.items() if not name.startswith("db/migrations/")}
    assert {name: n for name, n in written.items() if n > 400} == {}


def test_no_folder_holds_more_than_fifteen_modules() -> None:
    """Migrations aside: there is one more with each change of the tables."""
    folders = Counter(
        path.parent
        for path in modules(*FLOORS, "client")
        if path.stem != "__init__" and path.parent.name != "versions"
    )
    assert {str(folder): n for folder, n in folders.items() if n > 15} == {}


def test_nothing_that_runs_code_when_it_loads_is_imported() -> None:
    found = [
        f"{name_of(path)}: {ast.unparse(node)}"
        for path in modules(*FLOORS, "client", "plugins", "examples", "benchmarks")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if any(name.split(".")[0] in UNSAFE_TO_LOAD for name in imports(node))
    ]
    assert found == []


def test_weights_are_never_unpickled() -> None:
    unpickled = [
        f"{name_of(path)}:{call.lineno}"
        for path in modules()
        for call in calls(path)
        if ast.unparse(call.func) == "torch.load"
    ]
    assert unpickled == []


def test_names_are_not_vague() -> None:
    """Files, classes and functions; methods may bear a framework's name."""
    vague = []
    for path in modules(*FLOORS):
        named = [
            node.name
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        for name in [path.stem, *named]:
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
            if VAGUE.search(TERMS.sub("", words)):
                vague.append(f"{name_of(path)}: {name}")
    assert vague == []


@pytest.mark.parametrize("folder", [pytest.param(p, id=p.name) for p in PLUGINS])
def test_a_plug_in_of_ours_imports_what_its_distribution_names(folder: Path) -> None:
    """And the platform, whose public modules are listed in docs/plugins.md."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    named = {re.split(r"\W", one)[0] for one in project["dependencies"]}
    own = {path.name for path in (folder / "src").iterdir()}
    imported = {
        name.split(".")[0]
        for path in (folder / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in imports(node)
    }
    assert imported - named - own - {*FLOORS} <= {*sys.stdlib_module_names}


@cache
def loaded(*entrances: str, then: str = "") -> set[str]:
    """Return the modules of a process that imports these, and executes a statement."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, {', '.join(entrances)}; {then or 'pass'}; print(*sys.modules)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {*done.stdout.split()}


def test_serving_never_loads_the_training_stack() -> None:
    assert {"torch", "evidently", "pandas"} & loaded("api.main", "web.pages") == set()


def test_an_api_at_rest_holds_no_library_that_only_some_requests_need() -> None:
    """Each is 4 to 40 MB and up to 0.2 s of CPU: the first request that needs it imports it."""
    later = {"alembic", "deltalake", "pyarrow.dataset", "pyarrow.fs", "pyarrow.parquet"}
    later |= {"httpx", "scipy.special", "pyarrow.csv"}
    begun = "cli.roles.load_ahead()"
    assert later & loaded("api.main", "cli.roles", then=begun) == set()
    assert "pandas" not in loaded("api.main", "cli.roles", then=begun)


def test_a_help_text_loads_neither_arrow_nor_the_database() -> None:
    assert {"numpy", "pyarrow", "sqlalchemy", "fastapi"} & loaded("cli.main") == set()


def test_no_process_loads_all_laws_of_statistics() -> None:
    """A second and 45 MB: `scipy.special` has those that are asked for."""
    assert "scipy.stats" not in loaded("api.main", "jobs.wiring", "cli.main")


def test_every_import_contract_has_teeth(tmp_path: Path) -> None:
    for package in FLOORS:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = {
        "core": "services",
        "monitors": "sqlalchemy",
        "api": "retrain.training",
        "services": "torch",
        "web": "seqwatch_skew",
    }
    for package, forbidden in planted.items():
        (tmp_path / package / "planted.py").write_text(f"import {forbidden}")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Contracts: 0 kept, 8 broken." in done.stdout
    for package, forbidden in planted.items():
        assert f"{package}.planted -> {forbidden}" in done.stdout
