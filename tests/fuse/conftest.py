"""Shared by the tests of the FUSE adapter: a tree in memory, and real mounts of it."""

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType

import pytest

from ossfs_resume.errors import MountError
from ossfs_resume.fuse.attributes import Ownership
from ossfs_resume.fuse.invalidation import Invalidator
from ossfs_resume.fuse.mounts import detach, mount_at
from ossfs_resume.fuse.operations import Operations, OperationsSettings
from support.machine import NO_DEVICE
from support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("memory_mount.py")


@pytest.fixture(scope="session")
def memory() -> ModuleType:
    """The module ``memory_mount``."""
    spec = importlib.util.spec_from_file_location("memory_mount", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["memory_mount"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def operations(memory: ModuleType) -> Operations:
    tree = memory.MemoryTree()
    settings = OperationsSettings(Ownership(1000, 1001))
    return Operations(tree, memory.MemoryVerbs(tree), settings, Invalidator())


class MountedProcess:
    """A process that serves the tree in memory on ``path``."""

    def __init__(self, path: Path, *arguments: str, environment: dict[str, str] | None = None):
        self.path = path
        self.log = path.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(path), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            )

    def wait_ready(self) -> dict[str, int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        report: dict[str, int] = json.loads(line)
        return report

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    @property
    def is_mounted(self) -> bool:
        return mount_at(str(self.path)) is not None

    def wait_unmounted(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether the mount goes away; the kernel signals changes of the mount table."""
        with open("/proc/self/mountinfo", "rb") as table:
            poll = select.poll()
            poll.register(table, select.POLLPRI | select.POLLERR)
            while self.is_mounted:
                if not poll.poll(timeout_s * 1000):
                    return False
        return True

    def clean_up(self) -> None:
        if self.is_mounted:
            with suppress(MountError):
                detach(str(self.path))
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        while self.is_mounted:
            detach(str(self.path))


class Mounts:
    """Starts mounts, each below its own directory, and takes them all down at the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def path(self, name: str = "mnt") -> Path:
        path = self._folder / name
        with suppress(OSError):  # a dead mount answers ENOTCONN
            path.mkdir(exist_ok=True)
        return path

    def start(
        self, *arguments: str, name: str = "mnt", environment: dict[str, str] | None = None
    ) -> MountedProcess:
        mounted = MountedProcess(self.path(name), *arguments, environment=environment)
        self._stack.callback(mounted.clean_up)
        return mounted

    def ready(self, *arguments: str, environment: dict[str, str] | None = None) -> MountedProcess:
        mounted = self.start(*arguments, environment=environment)
        mounted.wait_ready()
        return mounted

    def child(self, code: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python process that uses a mount and may have to be killed."""
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture(scope="session")
def mounts_in() -> type[Mounts]:
    """For mounts that several tests share: the class to make with a folder and a stack."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip(NO_DEVICE)
    return Mounts


@pytest.fixture
def mounts(tmp_path: Path, mounts_in: type[Mounts]) -> Iterator[Mounts]:
    with ExitStack() as stack:
        yield mounts_in(tmp_path, stack)
