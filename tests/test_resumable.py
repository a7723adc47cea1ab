"""`resumable_download`, `aio.download`: the scenarios of the official SDK's own tests, and ours."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

import ossfs_resume
from ossfs_resume import Bucket, Credentials, aio, errors, resumable_download
from ossfs_resume.download.report import Outcome
from support.emulator import EmulatorProcess
from support.get import MIB, kept_bytes
from support.resume import fetched, make_object
from support.waiting import eventually

SIZE = 16 * MIB


class Interrupted(Exception):
    """What a callback raises."""


@pytest.fixture
def bucket(emulator: EmulatorProcess) -> Bucket:
    """Ours."""
    key = Credentials(emulator.access_key_id, emulator.access_key_secret)
    return Bucket(emulator.url, emulator.bucket, emulator.region, key)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the object goes."""
    return tmp_path / "place" / "target"


def stopping_at(count: int) -> Callable[[int, int], None]:
    """A callback that ends the download once ``count`` bytes are here."""

    def progress(consumed: int, total: int) -> None:
        if consumed >= count:
            raise Interrupted

    return progress


def settled(emulator: EmulatorProcess) -> None:
    """Once nothing is sent any more, count from nothing."""
    emulator.faults()
    eventually(lambda: emulator.statistics()["open_streams"] == 0)
    emulator.reset()


def test_import_costs_nothing_before_it_is_used() -> None:
    script = "import sys, ossfs_resume; print([n for n in sys.modules if n.startswith('ossfs_')])"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
        "['ossfs_resume']\n"
    )
    assert all(getattr(ossfs_resume, name) for name in ossfs_resume.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ossfs_resume.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("size", [0, 1, MIB, SIZE])
def test_progress_is_counted(
    emulator: EmulatorProcess, bucket: Bucket, target: Path, size: int
) -> None:
    data = make_object(emulator, size)
    told: list[tuple[int, int]] = []
    result = resumable_download(
        bucket, "object", target, progress_callback=lambda *now: told.append(now)
    )
    assert (result.outcome, result.size, result.resumed) == (Outcome.DOWNLOADED, size, 0)
    assert target.read_bytes() == data
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}


def test_interrupted_again_and_again(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    kept = 0
    for quarter in (1, 2, 3):
        emulator.faults(total_bytes_per_s=8 * MIB)
        with pytest.raises(Interrupted):
            resumable_download(
                bucket, "object", target, progress_callback=stopping_at(quarter * SIZE // 4)
            )
        assert not target.exists()
        settled(emulator)
        assert kept_bytes(target) >= max(kept, quarter * SIZE // 4)
        kept = kept_bytes(target)
    told: list[int] = []
    result = resumable_download(
        bucket, "object", target, progress_callback=lambda now, _: told.append(now)
    )
    assert result.resumed == kept
    assert told[0] in (0, kept)
    assert fetched(emulator) == SIZE - kept
    assert target.read_bytes() == data


def test_the_source_changes_between_parts(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    make_object(emulator, SIZE)
    emulator.faults(total_bytes_per_s=8 * MIB)
    with pytest.raises(Interrupted):
        resumable_download(bucket, "object", target, progress_callback=stopping_at(SIZE // 2))
    settled(emulator)
    (emulator.directory / "object").write_bytes(data := os.urandom(SIZE - 3))
    assert resumable_download(bucket, "object", target).resumed == 0
    assert target.read_bytes() == data


def test_a_target_that_exists_is_replaced_at_the_end(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    target.parent.mkdir()
    target.write_bytes(b"old")
    seen: set[bytes] = set()
    resumable_download(
        bucket, "object", target, progress_callback=lambda now, total: seen.add(target.read_bytes())
    )
    assert seen <= {b"old", data}
    assert target.read_bytes() == data


def test_what_is_below_the_threshold_is_had_in_one_go(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    emulator.faults(total_bytes_per_s=8 * MIB)
    resumable_download(
        bucket,
        "object",
        target,
        multiget_threshold=SIZE,
        part_size=MIB,
        num_threads=3,
        progress_callback=lambda now, _: kept_bytes(target) and pytest.fail("it is kept"),
    )
    assert target.read_bytes() == data
    assert len(emulator.requests("get")) == SIZE // MIB


@pytest.mark.parametrize("place", ["/dev/shm", ""])
def test_what_has_arrived_may_be_elsewhere(
    emulator: EmulatorProcess, bucket: Bucket, target: Path, tmp_path: Path, place: str
) -> None:
    """On the same file system it is renamed, on another one copied."""
    data = make_object(emulator, SIZE)
    state = Path(place or tmp_path) / f"state-{os.getpid()}"
    emulator.faults(total_bytes_per_s=8 * MIB)
    try:
        with pytest.raises(Interrupted):
            resumable_download(
                bucket, "object", target, store=state, progress_callback=stopping_at(SIZE // 2)
            )
        settled(emulator)
        assert not os.listdir(target.parent)
        assert len(os.listdir(state)) == 1
        result = resumable_download(bucket, "object", target, store=str(state))
        assert result.resumed >= SIZE // 2
        assert target.read_bytes() == data
        assert os.listdir(target.parent) == ["target"]
        assert not os.listdir(state)
    finally:
        state.rmdir()


def test_threads_that_download_to_the_same_file_share_it(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    results = []

    def run() -> None:
        results.append(resumable_download(bucket, "object", target).outcome)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([Outcome.DOWNLOADED, *[Outcome.HERE] * 3])
    assert target.read_bytes() == data
    assert fetched(emulator) == SIZE


def test_errors_say_what_was_wrong(
    emulator: EmulatorProcess, bucket: Bucket, target: Path, tmp_path: Path
) -> None:
    make_object(emulator, 1000)
    with pytest.raises(errors.NotFound, match=r"^oss://sample/nothing: NoSuchKey"):
        resumable_download(bucket, "nothing", target)
    with pytest.raises(errors.TargetError, match="it is a directory"):
        resumable_download(bucket, "object", tmp_path)
    with pytest.raises(errors.SettingsError, match="num_threads: 0"):
        resumable_download(bucket, "object", target, num_threads=0)
    with pytest.raises(errors.SettingsError, match="part_size"):
        resumable_download(bucket, "object", target, part_size=1)
    with pytest.raises(errors.SettingsError, match="store"):
        resumable_download(bucket, "object", target, store=7)
    with pytest.raises(errors.SettingsError, match="is no bucket"):
        resumable_download("bucket", "object", target)
    wrong = Bucket(emulator.url, "sample", "cn-hangzhou", Credentials("nobody", "secret"))
    with pytest.raises(errors.AccessDenied):
        resumable_download(wrong, "object", target)
    emulator.faults(crc64_off_by=1)
    with pytest.raises(errors.CorruptObject):
        resumable_download(bucket, "object", target)
    assert not target.exists()


async def test_with_trio_it_is_awaited(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, 1000)
    with pytest.raises(RuntimeError, match=r"await aio\.download"):
        resumable_download(bucket, "object", target)
    await aio.download(bucket, "object", target)
    assert await trio.Path(target).read_bytes() == data


async def test_it_may_be_cancelled_at_any_moment(
    emulator: EmulatorProcess, bucket: Bucket, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    await trio.to_thread.run_sync(partial(emulator.faults, total_bytes_per_s=8 * MIB))
    for count in (0, 1, SIZE // 2):
        with trio.CancelScope() as scope:
            await aio.download(
                bucket,
                "object",
                target,
                progress_callback=lambda now, _, count=count: now >= count and scope.cancel(),  # type: ignore[misc]
            )
        assert scope.cancelled_caught
    await trio.to_thread.run_sync(settled, emulator)
    result = await aio.download(bucket, "object", target)
    assert result.resumed >= SIZE // 2
    assert await trio.Path(target).read_bytes() == data


@pytest.mark.peers
def test_a_bucket_of_oss2(emulator: EmulatorProcess, tmp_path: Path) -> None:
    oss2 = pytest.importorskip("oss2")
    data = make_object(emulator, SIZE)
    key = (emulator.access_key_id, emulator.access_key_secret)
    provider = oss2.credentials.StaticCredentialsProvider(*key)
    region = {"region": emulator.region}
    for number, auth in enumerate((oss2.AuthV4(*key), oss2.ProviderAuthV4(provider))):
        theirs = oss2.Bucket(auth, emulator.url, emulator.bucket, **region)
        store = oss2.ResumableDownloadStore(root=str(tmp_path), dir="state")
        target = tmp_path / str(number)
        resumable_download(theirs, "object", str(target), store=store, num_threads=4)
        assert target.read_bytes() == data
    anonymous = oss2.Bucket(oss2.AnonymousAuth(), emulator.url, emulator.bucket)
    resumable_download(anonymous, "object", tmp_path / "anonymous")
    assert (tmp_path / "anonymous").read_bytes() == data
    session = oss2.StsAuth(*key, "", auth_version="v4")
    assert Bucket.of(oss2.Bucket(session, emulator.url, "sample", **region)).signature == "v4"
    old = Bucket.of(oss2.Bucket(oss2.Auth(*key), "oss-cn-beijing.aliyuncs.com", "sample"))
    assert (old.signature, old.endpoint) == ("v1", "http://oss-cn-beijing.aliyuncs.com")
