"""A lake or a folder of an earlier version is refused, and nothing is written to it."""

from pathlib import Path

import pytest

from core.errors import EarlierInstallation
from core.lake_root import Bucket, LakeRoot
from lake import storage


def put(root: LakeRoot, name: str) -> None:
    if isinstance(root, Bucket):
        place = storage._place(root.url, storage.options_of(root) or {})
        with place.open_output_stream(name) as stream:
            stream.write(b"x")
    else:
        root.mkdir(exist_ok=True)
        (root / name).write_text("x")


def test_what_is_empty_or_ours_is_taken(lake_root: LakeRoot) -> None:
    storage.check(lake_root, "the lake")
    storage.mark(lake_root)
    assert storage.is_empty(lake_root) is not isinstance(lake_root, Bucket)
    put(lake_root, "rows")
    storage.mark(lake_root)
    storage.check(lake_root, "the lake")


def test_what_an_earlier_version_has_filled_is_refused(lake_root: LakeRoot) -> None:
    put(lake_root, "rows")
    with pytest.raises(EarlierInstallation, match=r"the lake .*was made by an earlier version"):
        storage.check(lake_root, "the lake")
    if isinstance(lake_root, Path):
        assert [path.name for path in lake_root.iterdir()] == ["rows"]


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / storage.MARK).write_text("7")
    with pytest.raises(EarlierInstallation):
        storage.check(tmp_path, "the lake")
