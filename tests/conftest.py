"""Fixtures for everybody."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.emulator import EmulatorProcess

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
