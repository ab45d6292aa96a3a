"""Files are read strictly: each fault is named with its file and line."""

from pathlib import Path

import pytest

from services.configuration import yaml_files
from services.configuration.yaml_files import InvalidFiles, Node, files_under, read


def read_text(text: str | bytes, folder: Path) -> list[Node]:
    path = folder / "one.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(files_under(folder))


DEEP = "a: " + "[" * 60 + "]" * 60
LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3", 3, "a: is given twice, first in line 1", id="repeated"
        ),
        pytest.param("a: no", 1, "no: write true or false, or quote the text", id="no"),
        pytest.param("a: [1, Yes]", 1, "Yes: write true or false", id="yes"),
        pytest.param("on: 1", 1, "on: a name must be a text: quote it", id="on as a name"),
        pytest.param("a:\n  1: x", 2, "1: a name must be a text", id="a number as a name"),
        pytest.param("? [a]\n: 1", 1, "a name must be a text", id="a list as a name"),
        pytest.param("a:\n\tb: 1", 2, "a tab at the beginning of the line: indent", id="tab"),
        pytest.param("a: 1\nb: @c", 2, "found character that cannot start", id="character"),
        pytest.param("a: 'x\nb: 1", 2, "quoted scalar", id="an open quote"),
        pytest.param("a: 1\nb: *x", 2, "undefined alias", id="an unknown alias"),
        pytest.param("b: {<<: {a: 1}}", 1, "<<: is not read; use a document", id="merge key"),
        pytest.param("a: !!python/name:os.system x", 1, "the tag", id="python"),
        pytest.param("a: !!binary eA==", 1, "the tag binary is not read", id="binary"),
        pytest.param("a: &a [*a]", 1, "or an alias of itself", id="an alias of itself"),
        pytest.param(DEEP, 1, "more than 50 levels", id="deep"),
        pytest.param(LAUGHS, 1, "100,000 values, those of aliases counted", id="alias bomb"),
        pytest.param(b"a: 1\nb: \xff", 2, "is not UTF-8", id="not UTF-8"),
        pytest.param(b"a: \x01", 1, "control characters are not allowed", id="control"),
        pytest.param("a: " + "[" * 100_000, 1, "", id="very deep"),
    ],
)
def test_a_trap_of_yaml_is_an_error_with_its_line(
    text: str | bytes, line: int, why: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidFiles) as refused:
        read_text(text, tmp_path)
    [fault] = refused.value.faults
    assert why in fault.message
    assert fault.where == f"{tmp_path}/one.yaml:{line}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("012", 12, id="no octal number"),
        pytest.param("1e-3", 0.001, id="an exponent"),
        pytest.param("12:30", "12:30", id="a time is a text"),
        pytest.param("2026-12-25", "2026-12-25", id="a day is a text"),
        pytest.param("'no'", "no", id="quoted"),
        pytest.param("~", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param("False", False, id="false"),
        pytest.param("-1.50", -1.5, id="negative"),
        pytest.param("=", "=", id="an equals sign"),
    ],
)
def test_a_scalar_is_that_of_yaml_1_2(text: str, value: object, tmp_path: Path) -> None:
    [document] = read_text(f"a: {text}", tmp_path)
    assert document.plain == {"a": value}
    assert type(document.plain["a"]) is type(value)


def test_the_faults_of_all_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.yaml", "b/c.yml"):
        (tmp_path / name).write_text("x: no\ny: no\n")
    with pytest.raises(InvalidFiles) as refused:
        read(files_under(tmp_path))
    assert [Path(one.where).name for one in refused.value.faults] == [
        *("a.yaml:1", "a.yaml:2", "c.yml:1", "c.yml:2"),
    ]


def test_documents_lie_in_any_file_and_an_empty_one_has_none(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "two.yaml").write_text("# first\n---\na: 1\n---\n---\nb: 2\n")
    (tmp_path / ".hidden.yaml").write_text("c: 3\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("d: 4\n")
    (tmp_path / "notes.txt").write_text("e: 5\n")
    documents = read(files_under(tmp_path))
    assert [(one.plain, one.place.line) for one in documents] == [({"a": 1}, 3), ({"b": 2}, 6)]


def test_a_folder_without_files_or_that_is_missing_is_an_error(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "holds no file"), (tmp_path / "none", "no such file")):
        with pytest.raises(InvalidFiles, match=why):
            files_under(path)


def test_a_file_may_have_so_many_bytes(tmp_path: Path) -> None:
    with pytest.raises(InvalidFiles, match=r"a file may have 4,194,304 bytes"):
        read_text("#" * (yaml_files.MAX_BYTES + 1), tmp_path)
