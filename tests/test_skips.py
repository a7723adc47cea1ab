"""A test that is skipped gives one of few reasons, which those who run the tests know."""

import re
import subprocess
from pathlib import Path

import pytest

from support import machine

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "scripts/test-bare"

OF_EVERY_BARE_MACHINE = (
    machine.NO_AUTOFS,
    machine.NO_SYSTEMD,
    machine.NO_ORDINARY_USER,
    machine.A_SYSTEM_LOG,
)


def needless(log: Path, kind: str, *reasons: str) -> list[str]:
    """The lines at which `scripts/test-bare` takes offence."""
    lines = [f"SKIPPED [1] tests/test_x.py:1: {reason}" for reason in reasons]
    log.write_text("\n".join(["1 passed", *lines, ""]))
    command = [SCRIPT, "--needless_skips", log, kind]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not result.stderr
    return result.stdout.splitlines()


def test_every_reason_is_in_one_place_and_who_runs_them_asked_there() -> None:
    elsewhere = re.compile(r"""(?:\bskip\(|\breason=)f?["'].*|geteuid\(\).*""")
    places = (Path(__file__), Path(machine.__file__))
    found = [
        f"{path.name}: {text}"
        for path in TESTS.rglob("*.py")
        if path not in places
        for text in elsewhere.findall(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("kind", ["without-loop", "with-loop"])
def test_a_bare_machine_is_excused_for_what_it_lacks_and_no_more(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "log"
    assert needless(log, kind, *OF_EVERY_BARE_MACHINE) == []
    assert bool(needless(log, kind, machine.NO_LOOP_DEVICE)) == (kind == "with-loop")
    for reason in (machine.NO_DEVICE, "needs luck", f"{machine.NO_AUTOFS}, and luck"):
        [line] = needless(log, kind, reason)
        assert line.endswith(reason)
