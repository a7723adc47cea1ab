"""An ordinary user, with the system's Python, mounts for himself and for nobody else.

The device here is root's alone, so the user gets one of his own mode in a private mount namespace.
What he runs must be readable for him: a copy of the package and of what it needs.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.users import NOBODY, PYTHON, is_same_python, readable_library, user_mounts_possible

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to become somebody else"),
]

USER, OTHER = NOBODY, 1  # fusermount3 wants them known by name: nobody and daemon

SCRIPT = """
as_user() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "$@"; }
as_other() { setpriv --reuid $OTHER_ID --regid $OTHER_ID --clear-groups "$@"; }
as_user $PROGRAM mount --endpoint "$URL" --region cn-hangzhou oss://sample "$PLACE/home/mnt"
trap 'as_user fusermount3 -u -z "$PLACE/home/mnt" 2>/dev/null || true' EXIT
as_user stat -c '%u %g %A' "$PLACE/home/mnt/file"
as_user cat "$PLACE/home/mnt/file"
as_user setfattr -n user.ossfs.materialize -v 1 "$PLACE/home/mnt/file"
as_user stat -c '%a' "$PLACE/home/.cache/ossfs-resume"
cat "$PLACE/home/mnt/file" 2>/dev/null && echo "root sees it"
as_other cat "$PLACE/home/mnt/file" 2>/dev/null && echo "another user sees it"
as_user $PROGRAM umount "$PLACE/home/mnt"
as_user ls "$PLACE/home/mnt"
trap - EXIT
"""


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own are root's."""
    place = Path(f"/var/tmp/ossfs-resume-user-test-{os.getpid()}")
    place.mkdir(mode=0o755)
    (place / "home").mkdir()
    (place / "home/mnt").mkdir()
    for path in (place / "home", place / "home/mnt"):
        os.chown(path, USER, USER)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(not is_same_python(), reason="the system's Python is of another version")
def test_he_mounts_with_the_defaults_and_nobody_else_sees_it(
    emulator: EmulatorProcess, place: Path
) -> None:
    (emulator.directory / "file").write_bytes(b"content\n")
    environment = emulator.environment | {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "PLACE": str(place),
        "PROGRAM": f"env PYTHONPATH={readable_library(place)} {PYTHON} -m ossfs_resume",
        "URL": emulator.url,
        "USER_ID": str(USER),
        "OTHER_ID": str(OTHER),
    }
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", user_mounts_possible(place) + SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{USER} {USER} -rw-r--r--", "content", "700"]
