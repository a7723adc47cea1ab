"""What one process claims, another sees, for exactly as long as it is true."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.part_locks import NAME, Claims

ONE = ObjectVersion("one", "etag", 1 << 40)
OTHER = ObjectVersion("other", "etag", 1 << 40)

HOLDER = """
import sys, time
from pathlib import Path
from ossfs_resume.cache.part_locks import Claims
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.models import ObjectVersion
path = Path(sys.argv[1])
claims = Claims(lambda: Directory.at(path))
assert claims.take(ObjectVersion("one", "etag", 1 << 40), range(10, 20))
print("claimed", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


def test_a_claim_is_exclusive_to_the_part(path: Path) -> None:
    mine, others = Claims(lambda: Directory.at(path)), Claims(lambda: Directory.at(path))
    assert mine.take(ONE, range(10, 20))
    assert not others.take(ONE, range(19, 30))
    assert others.take(ONE, range(20, 30))
    assert others.take(OTHER, range(10, 20))
    assert mine.take(ONE, range(10, 12))
    mine.release(ONE, range(10, 20))
    assert others.take(ONE, range(10, 20))


def test_owners_see_each_other_and_no_ghosts(path: Path) -> None:
    mine = Claims(lambda: Directory.at(path))
    assert not mine.has_others()
    others = Claims(lambda: Directory.at(path))
    assert mine.has_others()
    assert others.has_others()
    others.close()
    assert not mine.has_others()


def test_claims_die_with_their_process(path: Path) -> None:
    mine = Claims(lambda: Directory.at(path))
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        assert not mine.take(ONE, range(15, 16))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert mine.take(ONE, range(15, 16))
    assert not mine.has_others()


def test_without_a_file_everybody_is_alone(tmp_path: Path) -> None:
    claims = Claims(lambda: Directory.at(tmp_path / "missing"))
    assert claims.take(ONE, range(10))
    assert not claims.has_others()
    claims.release(ONE, range(10))
    claims.close()


def test_the_file_is_private(path: Path) -> None:
    Claims(lambda: Directory.at(path)).close()
    assert os.stat(path / NAME).st_mode & 0o777 == 0o600
