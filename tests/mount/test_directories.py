"""Watching what goes on below a directory, and whose jobs are whose."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20


@pytest.fixture
def tree(emulator: EmulatorProcess) -> EmulatorProcess:
    for path in ("d/a", "d/deep/b", "e/c"):
        file = emulator.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(2 * MIB))
    return emulator


def materialize(path: Path) -> None:
    os.setxattr(path, "user.ossfs.materialize", b"1")


def test_a_directory_is_watched_to_its_end(
    tree: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert mount.attribute("d", "state") == mount.attribute("", "state") == "remote"
    assert mount.attribute("d", "progress") == "0/0 parts 0.0%"
    tree.faults(hang="data")
    materialize(mount.point / "d")
    eventually(lambda: mount.attribute("d", "state") == "fetching")
    assert mount.attribute("", "state") == "fetching"
    assert mount.attribute("e", "state") == "remote"
    lists = tree.statistics()["requests"]
    status = json.loads(mount.attribute("d", "status"))
    assert (status["state"], status["jobs"]) == (
        "fetching",
        {"queued": 0, "running": 1, "paused": 0, "failed": 0},
    )
    assert tree.statistics()["requests"] == lists
    tree.faults()
    eventually(lambda: mount.attribute("d", "state") == "verified")
    assert mount.attribute("d", "progress") == "16/16 parts 100.0%"
    whole = json.loads(mount.attribute("", "status"))
    assert (whole["objects"], whole["bytes_present"], whole["size"]) == (2, 4 * MIB, 4 * MIB)
    with pytest.raises(OSError) as caught:
        mount.attribute("d", "error")
    assert caught.value.errno == errno.ENODATA


def test_why_a_directory_failed(tree: EmulatorProcess, mounts: Callable[..., Mount]) -> None:
    mount = mounts().start()
    tree.faults(fail_every=1, kinds=["get"], fail_status=403, fail_code="AccessDenied")
    materialize(mount.point / "d")
    eventually(lambda: mount.attribute("d", "state") == "failed")
    assert "AccessDenied" in mount.attribute("d", "error")
    assert json.loads(mount.attribute("", "status"))["jobs"]["failed"] == 2
    assert mount.log.read_text().count("materialize") == 2


@pytest.fixture
def prefixes(tree: EmulatorProcess, tmp_path: Path) -> Iterator[Callable[[str], Mount]]:
    """Mounts of parts of the bucket that share one cache directory."""
    with ExitStack() as stack:

        def make(prefix: str) -> Mount:
            mount = Mount(tree, tmp_path / f"at-{prefix}", source=f"oss://sample/{prefix}")
            mount.cache = tmp_path / "cache"
            stack.callback(mount.__exit__)
            return mount.start()

        yield make


def test_a_job_waits_for_a_mount_that_covers_it(
    tree: EmulatorProcess, prefixes: Callable[[str], Mount]
) -> None:
    tree.faults(hang="data")
    first = prefixes("d")
    materialize(first.point / "deep")
    first.stop()
    tree.faults()
    other = prefixes("e")
    materialize(other.point / "c")
    eventually(lambda: other.attribute("c", "state") == "verified")
    assert json.loads(other.attribute("", "status"))["jobs"] == {
        "queued": 0,
        "running": 0,
        "paused": 0,
        "failed": 0,
    }
    first.start()
    eventually(lambda: first.attribute("deep/b", "state") == "verified")
    assert first.attribute("a", "state") == "remote"


def test_a_job_that_one_mount_cancels_ends_in_the_other(
    tree: EmulatorProcess, prefixes: Callable[[str], Mount]
) -> None:
    tree.faults(hang="data")
    whole, part = prefixes(""), prefixes("d")
    materialize(whole.point / "d")
    eventually(lambda: whole.attribute("d", "state") == "fetching")
    os.setxattr(part.point, "user.ossfs.cancel", b"1")
    eventually(lambda: whole.attribute("d", "state") != "fetching")
    assert json.loads(whole.attribute("", "status"))["jobs"]["running"] == 0
