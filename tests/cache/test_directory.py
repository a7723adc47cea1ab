"""Nothing in a cache is followed, and nothing used that belongs to others."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.directory import Directory, NotOurs
from ossfs_resume.cache.workbench import clear, opened
from ossfs_resume.errors import CacheError
from support.machine import needs_root
from support.waiting import PATIENCE_S

SOMEBODY = 12345


def content(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Names below a folder, with mode, owner and bytes."""
    return {
        str(path.relative_to(folder)): (
            (status := path.lstat()).st_mode,
            status.st_uid,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder that is nobody's business, with a file that everybody may read."""
    folder = tmp_path / "precious"
    folder.mkdir(0o755)
    (folder / "file").write_bytes(b"precious")
    (folder / "file").chmod(0o644)
    return folder


@pytest.mark.parametrize(
    "name", ["", "bucket", "bucket/owners", "bucket/data", "bucket/lock", "bucket/claims",
             "bucket/catalog.sqlite3", "bucket/catalog.sqlite3-wal", "bucket/ballast"]
)  # fmt: skip
@pytest.mark.parametrize(
    "use", [CacheStore.open, lambda settings: clear(settings.directory, "bucket")]
)
def test_a_link_leads_nowhere(
    settings: CacheSettings, precious: Path, name: str, use: Callable[[CacheSettings], object]
) -> None:
    link = settings.directory / name
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_folder = name in ("", "bucket", "bucket/owners", "bucket/data")
    link.symlink_to(precious if is_folder else precious / "file")
    before = content(precious)
    said = ""
    try:
        if (store := use(settings)) and isinstance(store, CacheStore):
            store.close()
    except CacheError as error:
        said = str(error)
    # What a command does not need it need not mind; what it needs it refuses.
    assert not said or ("symbolic link" in said and str(link) in said)
    assert content(precious) == before


@needs_root
@pytest.mark.parametrize("name", ["", "bucket", "bucket/owners", "bucket/data", "bucket/lock"])
def test_what_belongs_to_others_is_refused_by_name(settings: CacheSettings, name: str) -> None:
    CacheStore.open(settings).close()
    path = settings.directory / name
    os.chown(path, SOMEBODY, SOMEBODY)
    before = content(settings.directory)
    with pytest.raises(NotOurs, match=rf"{path} belongs to user {SOMEBODY}, not to root"):
        CacheStore.open(settings)
    with pytest.raises(NotOurs), opened(settings.directory, settings.identity):
        pass
    assert content(settings.directory) == before


def test_a_file_with_another_name_elsewhere_is_not_written(
    settings: CacheSettings, precious: Path
) -> None:
    CacheStore.open(settings).close()
    catalog = settings.directory / "bucket/catalog.sqlite3"
    os.link(catalog, precious / "copy")
    with pytest.raises(NotOurs, match="hard links"):
        CacheStore.open(settings)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT])
def test_a_pipe_is_refused_and_nobody_waits_for_its_other_end(tmp_path: Path, flags: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused: list[Exception] = []

    def use() -> None:
        try:
            os.close(Directory.at(tmp_path).open("pipe", flags))
        except NotOurs as error:
            refused.append(error)

    user = threading.Thread(target=use, daemon=True)
    user.start()
    user.join(PATIENCE_S)
    assert [str(error) for error in refused] == [
        f"{tmp_path}/pipe is neither a file nor a directory; remove it from the cache"
    ]


def test_nobody_is_told_to_remove_what_he_named_himself() -> None:
    """``--cache-dir /dev/null``, for instance."""
    with pytest.raises(CacheError, match="/dev/null: not a directory") as refused:
        CacheStore.open(CacheSettings(Path("/dev/null"), "bucket"))
    assert "remove" not in str(refused.value)


def test_removing_a_tree_removes_links_and_not_what_they_lead_to(
    tmp_path: Path, precious: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "link").symlink_to(precious)
    (tree / "link").symlink_to(precious / "file")
    before = content(precious)
    Directory.at(tmp_path).remove("tree")
    assert not tree.exists()
    assert content(precious) == before


def test_a_folder_that_is_swapped_for_a_link_is_not_followed(
    tmp_path: Path, precious: Path
) -> None:
    (tmp_path / "folder").mkdir(0o700)
    folder = Directory.at(tmp_path / "folder")
    (tmp_path / "folder").rename(tmp_path / "moved")
    (tmp_path / "folder").symlink_to(precious)
    os.close(folder.open("new", os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "moved/new").exists()
    assert sorted(path.name for path in precious.iterdir()) == ["file"]
    assert not folder.is_current()


def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        below = Directory.made(tmp_path / "a" / "b").make("c")
        os.close(below.open("file", os.O_WRONLY | os.O_CREAT))
    finally:
        os.umask(umask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o700, "c": 0o700, "file": 0o600}
