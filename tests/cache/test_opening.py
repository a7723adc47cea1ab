"""A catalogue is opened in the first way that its disk allows, and never emptied."""

import fcntl
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheStore
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.failure import LockedOut
from ossfs_resume.cache.opening import open_connections
from ossfs_resume.errors import CacheError
from support.disks import tmpfs
from support.machine import is_root

NAME = "catalog.sqlite3"
OPEN = """
import sys
from pathlib import Path
from ossfs_resume.cache.catalog import Catalog
try:
    Catalog(Path(sys.argv[1])).open()
except Exception as error:
    print(error.__cause__)
"""
WITHOUT_PRIVILEGES = (
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if is_root() else []
)
"""Root may write every file, unless he goes without that."""


def knows(catalog: Catalog, fact: str) -> bool:
    return catalog.has_fact(fact)


def add(path: Path, fact: str) -> None:
    catalog = Catalog(path).open()
    with catalog.transaction() as transaction:
        transaction.add_fact(fact)
    catalog.close()


def add_many(catalog: Catalog) -> None:
    with catalog.transaction() as transaction:
        for number in range(10_000):
            transaction.add_fact(f"{number:0100}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 2 MiB with a catalogue that knows one fact."""
    with tmpfs(tmp_path / "disk", 2 << 20) as disk:
        add(disk / NAME, "before")
        yield disk


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def test_on_a_full_disk_it_is_opened_like_everywhere(disk: Path) -> None:
    fill(disk)
    catalog = Catalog(disk / NAME).open()
    assert knows(catalog, "before")
    with pytest.raises(CacheError, match="full"):
        add_many(catalog)
    (disk / "ballast").unlink()
    with catalog.transaction() as transaction:
        transaction.add_fact("after")
    assert knows(catalog, "after")
    catalog.checkpoint_if_large()
    catalog.close()


def test_on_a_read_only_disk_it_is_read(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    catalog = Catalog(disk / NAME).open()
    assert knows(catalog, "before")
    with pytest.raises(CacheError, match="read-only"), catalog.transaction():
        pass
    catalog.close()


def test_a_log_on_a_read_only_disk_is_not_ignored(disk: Path) -> None:
    opened = open_connections(disk / NAME, 1.0, with_others=False)
    opened.writer.execute("INSERT INTO fact VALUES ('in the log')")
    subprocess.run(["cp", "-a", disk, disk.parent / "copy"], check=True)
    for connection in opened.every:
        connection.close()
    subprocess.run(["cp", "-a", f"{disk.parent}/copy/.", disk], check=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    catalog = Catalog(disk / NAME).open()
    assert knows(catalog, "in the log")
    catalog.close()


def test_a_locked_catalogue_is_gone_without_until_it_is_opened_again(tmp_path: Path) -> None:
    add(tmp_path / NAME, "before")
    other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    catalog = Catalog(tmp_path / NAME)
    with pytest.raises(LockedOut, match="locked"):
        catalog.open()
    with pytest.raises(CacheError, match="locked"):
        knows(catalog, "before")
    with pytest.raises(CacheError, match="locked"), catalog.transaction():
        pass
    other.close()
    catalog.reopen()
    assert knows(catalog, "before")
    catalog.close()


def test_a_catalogue_whose_file_was_removed_takes_no_more_changes(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / NAME).open()
    (tmp_path / NAME).unlink()
    with pytest.raises(CacheError, match="removed"), catalog.transaction():
        pass
    catalog.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_a_file_that_may_not_be_written_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    add(tmp_path / NAME, "before")
    forbidden = tmp_path / f"{NAME}{suffix}"
    forbidden.touch()
    forbidden.chmod(0o400)
    result = subprocess.run(
        [*WITHOUT_PRIVILEGES, sys.executable, "-c", OPEN, tmp_path / NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == f"[Errno 13] Permission denied: '{forbidden}'\n"


def test_a_damaged_catalogue_that_another_uses_is_left_alone(settings) -> None:
    CacheStore.open(settings).close()
    (catalog,) = settings.directory.glob(f"*/{NAME}")
    damaged = b"\xff" * catalog.stat().st_size
    catalog.write_bytes(damaged)
    with owner(catalog.parent), pytest.raises(CacheError, match="another mount"):
        CacheStore.open(settings)
    assert catalog.read_bytes() == damaged
    CacheStore.open(settings).close()
    assert list(catalog.parent.glob("damaged-*"))


@contextmanager
def owner(folder: Path) -> Iterator[None]:
    """Somebody who uses the store."""
    with (folder / "owners" / "somebody").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_sharing_waits_for_a_checkpoint_and_then_nobody_uses_what_is_closed(
    tmp_path: Path,
) -> None:
    """SQLite crashes the process when a connection is closed in the middle of its work."""
    catalog = Catalog(tmp_path / NAME).open()
    add_many(catalog)
    assert catalog._connections is not None
    checkpointer = catalog._connections.checkpointer
    assert checkpointer is not None
    with catalog._checkpoint_lock:
        sharing = threading.Thread(target=catalog.share)
        sharing.start()
        while catalog._turns.lock.acquire(blocking=False):  # until it is in the middle of it
            catalog._turns.lock.release()
        for _ in range(100):
            checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    sharing.join()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        checkpointer.execute("SELECT 1")
    catalog.checkpoint_if_large()
    assert knows(catalog, f"{7:0100}")
    catalog.close()
