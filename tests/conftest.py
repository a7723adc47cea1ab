"""Fixtures for everybody."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.emulator import EmulatorProcess
from support.machine import (
    A_SYSTEM_LOG,
    NO_AUTOFS,
    NO_FIO,
    NO_LOOP_DEVICE,
    NO_MOUNT_TABLE,
    lacks_mount_table,
)
from support.slowest import slowest_first

# A slow machine is no failure, and the same commit has the same outcome every time; new examples
# are looked for by scripts/soak.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


EXPLAINED = (NO_LOOP_DEVICE, NO_MOUNT_TABLE, NO_AUTOFS, A_SYSTEM_LOG, NO_FIO)
"""Why a test with a real mount may be skipped everywhere."""


def pytest_configure() -> None:
    """A run in the background of a shell ignores SIGINT, and so would all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = slowest_first(items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("fuse") and lacks_mount_table():
        pytest.skip(NO_MOUNT_TABLE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ``CI`` is set a test with a real mount may not be left out: mounts are what is sold.

    Only what needs a loop device, or a part of the kernel that few have, may.
    """
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and os.environ.get("CI"):
        reason = report.longrepr[2]
        if item.get_closest_marker("fuse") and not reason.endswith(EXPLAINED):
            report.outcome = "failed"
            report.longrepr = f"a test with a real mount may not be left out here: {reason}"
    return report


@pytest.fixture(scope="session")
def _shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    directory = tmp_path_factory.mktemp("emulator") / "sample"
    with EmulatorProcess(directory, anonymous=True) as emulator:
        yield emulator


@pytest.fixture
def emulator(_shared_emulator: EmulatorProcess) -> EmulatorProcess:
    """An emulator with an empty bucket and no faults, which accepts unsigned requests as well.

    One process for all tests, as starting it takes half a second; one that was ended is replaced.
    """
    _shared_emulator.renew()
    return _shared_emulator


@pytest.fixture
def start_emulator(tmp_path: Path) -> Iterator[Callable[..., EmulatorProcess]]:
    """A function that starts an emulator of the test's own, over ``tmp_path / "bucket"``.

    It takes the keyword arguments of `EmulatorProcess`. For tests that end or configure it.
    """
    with ExitStack() as stack:

        def start(**options: object) -> EmulatorProcess:
            options = {"directory": tmp_path / "bucket"} | options
            return stack.enter_context(EmulatorProcess(**options))  # type: ignore[arg-type]

        yield start
