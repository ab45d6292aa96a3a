"""Names, messages and pages use the terms of docs/glossary.md; private words are banned.

A word of the list is refused as a whole word of prose, and as a part of a name. The field's
term stands beside it: what to write instead.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, modules, name_of

# Private word, and the term to use. Both forms of a verb are listed: nothing is stemmed.
BANNED: Mapping[str, str] = {
    "judge": "evaluate",
    "judged": "evaluated",
    "judges": "evaluates",
    "judging": "evaluating",
    "rejudge": "reevaluate",
    "rejudged": "reevaluated",
    "looks": "evaluations",
    "looked": "evaluated",
    "said": "predicted, reported",
    "say": "return, describe",
    "says": "holds, defines, returns",
    "told": "notified, reported",
    "tells": "reports, returns",
    "speak": "predict",
    "speaks": "predicts",
    "spoke": "predicted",
    "crown": "set_champion",
    "crowned": "made champion",
    "crowning": "set_champion",
    "hall": "limiter",
    "door": "authenticator, endpoint",
    "doors": "authenticators, endpoints",
    "scene": "context, setting",
    "workshop": "train_challenger",
    "spell": "incident",
    "spells": "incidents",
    "usuals": "baselines",
    "erred": "errors",
    "ladder": "diagnosis",
    "oddity": "anomaly",
    "oddities": "anomalies",
}
# Banned as parts of names alone: in prose they have their plain meaning.
BANNED_NAMES: Mapping[str, str] = {
    "halves": "pending_events, folds",
    "look": "evaluation, evaluate",
    "odd": "anomaly",
    "tell": "report, notify",
    "usual": "baseline",
    "standing": "monitor_status",
    "standings": "monitor_statuses",
    "learning": "warming_up",
    "claims": "probabilities",
}
# Ordinary names in which a banned part is a term of the field, or of a library.
ALLOWED_NAMES = frozenset(
    {
        "tell",  # of a file, as in Python's io
        "learning_rate",  # of an optimiser
        "look_back",  # the length of a history
        "LOOK_BACK",
        "LOOK_BACK_WEEKS",
        "_look_back",
        "look_up",
        "_look_up",
        "look_every",  # a setting of the example service
    }
)
# The words themselves are listed here.
THIS_MODULE = "tests/architecture/test_glossary.py"

PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
WORDS = re.compile(r"[A-Za-z]+")


def renamed() -> Iterator[Path]:
    """Yield every module of the folders that keep to the glossary."""
    for path in modules():
        name = name_of(path)
        if name != THIS_MODULE:
            yield path


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of every definition: classes, functions, arguments, variables."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.keyword(arg=str()):
                yield node.value.lineno, str(node.arg)
            case _:
                pass


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string: docstrings, messages and keys; no column names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for number, line in enumerate(node.value.splitlines()):
                yield node.lineno + number, line


def private_words(text: str) -> list[str]:
    return [word for word in WORDS.findall(text) if word.casefold() in BANNED]


def private_parts(name: str) -> list[str]:
    if name in ALLOWED_NAMES:
        return []
    parts = (part.casefold() for part in PARTS.findall(name))
    return [part for part in parts if part in BANNED or part in BANNED_NAMES]


def faults(source: str) -> list[str]:
    """Return the lines of a module that use a private word, with the term to use."""
    tree = ast.parse(source)
    found = {(line, word) for line, name in names(tree) for word in private_parts(name)}
    found |= {(line, word) for line, text in texts(tree) for word in private_words(text)}
    terms = {**BANNED_NAMES, **BANNED}
    return [f"line {n}: {word}; write {terms[word.casefold()]}" for n, word in sorted(found)]


@pytest.mark.parametrize("path", [pytest.param(p, id=name_of(p)) for p in renamed()])
def test_a_module_uses_the_terms_of_the_glossary(path: Path) -> None:
    assert private_parts(path.stem) == []
    assert faults(path.read_text("utf-8")) == []


PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "web").rglob("*.html"),
        *(ROOT / "deploy").rglob("*.yml"),
        ROOT / "README.md",
    ]
)


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in PAGES])
def test_a_page_uses_the_terms_of_the_glossary(page: Path) -> None:
    lines = enumerate(page.read_text("utf-8").splitlines(), 1)
    assert [(n, word) for n, line in lines for word in private_words(line)] == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        pytest.param('def judge_day():\n    """Evaluate a day."""', "judge", id="a function"),
        pytest.param("class PanelLooks:\n    pass", "looks", id="a class"),
        pytest.param("def f(usual):\n    return usual", "usual", id="an argument"),
        pytest.param("self.standing = 1", "standing", id="an attribute"),
        pytest.param("n_looks = 3", "looks", id="a variable"),
        pytest.param("Flaw(usual=0.0)", "usual", id="a keyword"),
        pytest.param('"""What the model said."""', "said", id="a docstring"),
        pytest.param('raise ValueError("nobody told us")', "told", id="a message"),
        pytest.param('detail = {"judged": []}', "judged", id="a key"),
        pytest.param('x = f"{n} doors close"', "doors", id="a formatted message"),
    ],
)
def test_a_private_word_is_found(source: str, word: str) -> None:
    [fault] = faults(source)
    assert f": {word}; write " in fault


@pytest.mark.parametrize(
    "source",
    [
        pytest.param('"""Look up the labels of a usual day."""', id="plain meaning in prose"),
        pytest.param("learning_rate = 0.1", id="a term of the field"),
        pytest.param("golden = hallmark = 1", id="within a longer word"),
    ],
)
def test_terms_of_the_field_are_allowed(source: str) -> None:
    assert faults(source) == []
