"""Owners of a store."""

import errno
import os
from pathlib import Path

import pytest

from ossfs_resume.cache.folder import StoreFolder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[StoreFolder, StoreFolder]:
    folders = StoreFolder(tmp_path, "bucket"), StoreFolder(tmp_path, "bucket")
    for folder in folders:
        folder.make()
    return folders


def test_an_owner_is_alive_while_it_is_registered(
    folders: tuple[StoreFolder, StoreFolder],
) -> None:
    one, other = folders
    with one.opening():
        one.register_owner()
        assert one.other_owners() == []
        assert other.other_owners() == [os.getpid()]
        one.unregister_owner()
        assert other.other_owners() == []


def test_an_owner_that_cannot_be_removed_is_none_any_more(
    folders: tuple[StoreFolder, StoreFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", name)

    one, other = folders
    one.register_owner()
    with monkeypatch.context() as disk:
        disk.setattr(os, "unlink", refuse)
        one.unregister_owner()
    with other.opening():
        assert other.other_owners() == []


def test_what_a_dead_owner_left_is_removed(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path, "bucket")
    with folder.opening():
        left = tmp_path / "bucket" / "owners" / "dead"
        left.touch()
        assert folder.other_owners() == []
        folder.forget_dead_owners()
    assert not left.exists()
