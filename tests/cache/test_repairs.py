"""What another process repairs is heard of by those who trust it."""

from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion, workbench
from ossfs_resume.cache.check import check
from ossfs_resume.cache.transaction import KEPT_REPAIRS
from support.waiting import eventually

Parts = Any  # of conftest.py


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.01)


def repair(settings: CacheSettings) -> None:
    with workbench.opened(settings.directory, settings.identity) as bench:
        assert check(bench, repair=True).problems


def test_bytes_that_were_trusted_are_checked_again_and_their_users_told(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    told: list[ObjectVersion] = []
    store.keeper.listen(bad=told.extend)
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 4)
    store.commit()
    parts.damage(parts.data_file(settings.directory), parts.SIZE + 7)
    assert not entry.unchecked(0, 4)
    repair(settings)
    eventually(lambda: told)
    assert told == [entry.version]
    assert entry.unchecked(0, 4)
    assert entry.check(0, 4) == [1]
    assert entry.missing(0, 4) == [range(1, 2)]
    parts.write(entry, 1, 2)
    store.release(entry)
    store.close()
    reopened = CacheStore.open(settings)
    assert reopened.acquire(parts.version(4)).check(0, 4) == []
    reopened.close()


def test_a_closed_entry_is_trusted_no_more(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    told: list[ObjectVersion] = []
    store.keeper.listen(bad=told.extend)
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 4)
    store.release(entry)
    store.commit()
    store.sync()
    parts.damage(parts.data_file(settings.directory), 5)
    repair(settings)
    eventually(lambda: told)
    again = store.acquire(parts.version(4))
    assert again is not entry
    assert again.check(0, 4) == []
    assert again.missing(0, 4) == [range(1)]
    assert again.read(parts.SIZE, parts.SIZE) == parts.content(again.geometry, 1)
    store.release(again)


def test_what_was_found_before_is_not_heard_and_little_is_kept(
    settings: CacheSettings, parts: Parts
) -> None:
    CacheStore.open(settings).close()
    versions = [parts.version(1, key=f"{number}") for number in range(KEPT_REPAIRS + 5)]
    with (
        workbench.opened(settings.directory, settings.identity) as bench,
        bench.catalog.transaction() as transaction,
    ):
        for version in versions:
            transaction.announce_repair(version)
    store = CacheStore.open(settings)
    told: list[ObjectVersion] = []
    store.keeper.listen(bad=told.extend)
    assert list(store._catalog.repairs(0).values()) == versions[5:]
    with store._catalog.transaction() as transaction:
        transaction.announce_repair(versions[0])
    eventually(lambda: told)
    store.close()
    assert told == [versions[0]]
