"""A bucket, and mounts of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount


@pytest.fixture(scope="session")
def _strict_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    directory = tmp_path_factory.mktemp("emulator") / "bucket"
    with EmulatorProcess(directory) as emulator:
        yield emulator


@pytest.fixture
def emulator(_strict_emulator: EmulatorProcess) -> EmulatorProcess:
    """As everywhere, but every request must be signed."""
    _strict_emulator.renew()
    return _strict_emulator


@pytest.fixture
def mounts(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Callable[..., Mount]]:
    """Make mounts that are gone after the test; each gets options, all share one cache."""
    with ExitStack() as stack:

        def make(**options: Any) -> Mount:
            mount = Mount(emulator, tmp_path, **options)
            stack.callback(mount.__exit__)
            return mount

        yield make


@pytest.fixture
def mount(mounts: Callable[..., Mount]) -> Mount:
    """A mount with the defaults, mounted."""
    return mounts().start()
