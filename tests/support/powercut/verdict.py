"""Opens the store on what a power cut left, as anybody would, and holds it to its promises."""

import shutil
from pathlib import Path

from ossfs_resume.cache import CacheStore, Entry
from support.powercut.disk import Image
from support.powercut.workload import VERSIONS, Promises, content, crc64, quiet_settings, write


def lay_out(image: Image, root: Path) -> None:
    """Make ``root`` a folder with exactly the files of ``image``."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, data in image.items():
        if data is None:
            (root / path).mkdir(mode=0o700)
        else:
            (root / path).write_bytes(data)


def judge(root: Path, promises: Promises) -> None:
    """Raise AssertionError if a byte is wrong, a promise broken, or the store does not go on."""
    store = CacheStore.open(quiet_settings(root))
    try:
        assert not list(root.glob("cache/bucket/damaged-*")), "the catalogue was moved aside"
        _judge_facts(store, promises)
        for version in VERSIONS:
            entry = store.acquire(version)
            assert not (entry.stock and entry.stock.row_id in promises.removed), "came back"
            _judge_parts(entry, promises.synced.get(version, set()))
            _finish(entry)
            store.release(entry)
    finally:
        store.close()
    _judge_finished(root)


def _judge_facts(store: CacheStore, promises: Promises) -> None:
    jobs = {job.number for job in store.notes.jobs()}
    assert promises.jobs <= jobs, "a job is lost"
    assert not promises.dead_jobs & jobs, "a job came back"
    assert not (promises.is_known and store.notes.is_new), "the store does not know its bucket"


def _judge_parts(entry: Entry, synced: set[int]) -> None:
    before = _present(entry)
    served = serve(entry)  # whatever is not what was stored becomes absent,
    entry.check(0, entry.part_count)  # and whatever cannot be read
    assert _present(entry) == served
    bad = before - served
    assert synced <= before, f"synced parts of {entry.version} are not in the catalogue"
    assert not synced & bad, f"synced parts of {entry.version} are bad"
    assert _present(entry) == serve(entry)


def serve(entry: Entry) -> set[int]:
    """The parts that the store gives out; each must have the object's bytes."""
    from ossfs_resume.errors import CacheError

    data, served = content(entry.version), set()
    for part in range(entry.part_count):
        start, stop = entry.geometry.span(part)
        try:
            got = entry.read(start, stop - start)
        except CacheError:
            continue
        assert got == data[start:stop], f"part {part} of {entry.version} is wrong"
        served.add(part)
    return served


def _finish(entry: Entry) -> None:
    """The download goes on to its end."""
    entry.expect_crc64(crc64(entry.version))
    for run in entry.missing(0, entry.part_count):
        write(entry, run.start, run.stop)
    assert entry.prove() is True
    assert len(serve(entry)) == entry.part_count


def _judge_finished(root: Path) -> None:
    store = CacheStore.open(quiet_settings(root))
    try:
        for version in VERSIONS:
            entry = store.acquire(version)
            assert entry.progress.is_complete
            assert entry.progress.is_verified
            assert entry.check(0, entry.part_count) == []
            assert store.cached_bytes([version]) == [version.size]
            store.release(entry)
    finally:
        store.close()


def _present(entry: Entry) -> set[int]:
    missing = {part for run in entry.missing(0, entry.part_count) for part in run}
    return set(range(entry.part_count)) - missing
