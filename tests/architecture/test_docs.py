"""The documentation agrees with the code, and leaves nothing out."""

import ast
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session, sessionmaker

from alerts import message
from api.main import create_app
from cli.main import main
from core import __version__
from core.plugins import Registry
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Scope
from monitors import registry
from monitors.diagnosis import DIAGNOSES
from monitors.slo.sli import SLIS
from services.access.api_keys import create_key
from tests.architecture.source import ROOT, name_of, pages

DOCS = ROOT / "docs"
NOT_OURS = {"var", "seqwatch_platform.egg-info"}  # made at run time, ignored by git


def rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of every table row whose first cell is code."""
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_every_setting_is_described_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"SEQWATCH_{field.upper()}", raising=False)
    plain = Settings()
    for name, default, *_ in rows("settings.md"):
        monkeypatch.setenv(name.strip("`"), default.strip("`"))
    named = {name.strip("`") for name, *_ in rows("settings.md")}
    assert named == {f"SEQWATCH_{field.upper()}" for field in Settings.model_fields}
    assert Settings() == plain


@pytest.fixture
def metrics(settings: Settings, sessions: sessionmaker[Session], now: datetime) -> set[str]:
    """The names of our own metrics, as one scrape shows them."""
    with unit_of_work(sessions) as session:
        key = create_key(session, "prometheus", {Scope.READ}, None, now)
    with TestClient(create_app(settings, sessions)) as client:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(answer.text)
        if family.name.startswith("seqwatch_") and not family.name.endswith("_created")
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_metric_is_described_and_every_described_metric_exists(metrics: set[str]) -> None:
    text = (DOCS / "metrics.md").read_text("utf-8")
    assert set(re.findall(r"`(seqwatch_\w+)", text)) == metrics


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "page",
    [
        "deploy/rules.yml",
        "deploy/grafana/build.py",
        "deploy/grafana/panels.py",
    ],
)
def test_rules_and_dashboards_ask_for_metrics_that_exist(page: str, metrics: set[str]) -> None:
    text = (ROOT / page).read_text("utf-8")
    asked = set(re.findall(r"(?<!:)\b(seqwatch_\w+)", text))  # after a colon: recorded
    parts = ("", "_bucket", "_sum", "_count")  # of a histogram
    exist = {name + part for name in metrics for part in parts}
    assert asked
    assert asked - exist == set()


def test_every_message_type_is_described() -> None:
    described = set(re.findall(r"`([a-z]+\.[a-z_]+)`", (DOCS / "events.md").read_text("utf-8")))
    assert {kind.value for kind in message.Type} <= described


def test_every_kind_of_monitor_is_described() -> None:
    assert {name.strip("`") for name, *_ in rows("monitors.md")} == set(registry.KINDS.names())


def test_every_route_is_described() -> None:
    app = create_app(Settings(), sessionmaker())
    routes = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    assert {route.strip("`") for route, *_ in rows("api.md")} == routes


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_examples_of_the_interface_are_accepted(
    settings: Settings, sessions: sessionmaker[Session], now: datetime
) -> None:
    """Exactly as they are printed, and whole: no row of theirs goes to quarantine."""
    contract = {
        "features": [{"name": "load", "max_length": 24}, {"name": "temperature"}],
        "targets": ["load"],
        "step": "PT1H",
        "input_length": 96,
        "horizon": 2,
    }
    with unit_of_work(sessions) as session:
        key = create_key(session, "writer", {Scope.OPERATE, Scope.INGEST}, None, now)
    printed = re.findall(r"```json\n(.*?)```", (DOCS / "api.md").read_text("utf-8"), re.DOTALL)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        assert client.put("/v1/models/m", json={"contract": contract}).status_code == 201
        for feed, body in zip(["predictions", "labels"], printed, strict=True):
            answer = client.post(f"/v1/models/m/{feed}", content=body)
            kept = {"accepted": 1, "duplicate": False, "duplicates": []}
            assert answer.json() == {**kept, "quarantined": 0, "errors": []}


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in pages()])
def test_the_commands_of_a_page_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    typed = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert typed - targets == set()
    for command in set(re.findall(r"(?:^|`|bin/)seqwatch ([a-z]+)", text, re.MULTILINE)):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0


def test_the_folder_list_of_the_readme_is_the_tree() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[?`(\w+)/`", readme, re.MULTILINE)
    present = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in NOT_OURS
    }
    assert sorted(listed) == sorted(present)


def test_the_newest_version_in_the_changelog_is_the_code_s() -> None:
    versions = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == __version__


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in pages()])
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    broken = [
        target
        for target in targets
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", [pytest.param(p, id=p.stem) for p in DECISIONS])
def test_a_decision_has_a_context_alternatives_and_a_check(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Check"]


@pytest.mark.parametrize("page", [pytest.param(p, id=p.stem) for p in DECISIONS])
def test_the_check_of_a_decision_exists(page: Path) -> None:
    check = page.read_text("utf-8").partition("\n## Check\n")[2]
    named = re.findall(r"`((?:tests|core|db)/[\w/]+\.py)`", check)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    missing = [
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if path.name != "README.md" and f"({path.relative_to(DOCS).as_posix()})" not in index
    ]
    assert missing == []


MOST_WORDS = 36_000  # four hours and a half of reading: more is not read


def test_the_documentation_stays_short_enough_to_read() -> None:
    docs = [ROOT / "README.md", *DOCS.rglob("*.md")]
    words = {name_of(page): len(page.read_text("utf-8").split()) for page in docs}
    assert sum(words.values()) < MOST_WORDS, sorted(words.items(), key=lambda one: -one[1])[:5]


def test_every_term_of_the_glossary_is_there_once_and_in_order() -> None:
    text = (DOCS / "glossary.md").read_text("utf-8")
    terms = [term.casefold() for term in re.findall(r"^- \*\*(.+?)\*\*: ", text, re.MULTILINE)]
    assert terms
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("registry", [DIAGNOSES, SLIS], ids=["diagnoses", "slis"])
def test_every_diagnosis_and_every_sli_is_described(registry: Registry[Any]) -> None:
    text = (DOCS / "plugins.md").read_text("utf-8")
    assert [name for name in registry.names() if f"`{name}`" not in text] == []


def test_plug_ins_import_only_what_the_docs_allow() -> None:
    text = (DOCS / "plugins.md").read_text("utf-8")
    allowed = {*re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)}
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in allowed)
    of_tests = ROOT.glob("tests/plugins/seqwatch_test_plugins/*.py")
    for path in (*of_tests, *ROOT.glob("plugins/*/src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                is_ours = (ROOT / node.module.split(".")[0]).is_dir()
                assert not is_ours or node.module in allowed, f"{path.name}: {node.module}"
