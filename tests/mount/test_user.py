"""An ordinary user, with the system's Python, mounts for himself and for nobody else.

The device here is root's alone, so the user gets one of his own mode in a private mount namespace.
What he runs must be readable for him: a copy of the package and of what it needs.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.machine import ANOTHER_PYTHON, needs_root
from support.users import NOBODY, PYTHON, is_same_python, readable_library, user_mounts_possible

pytestmark = [pytest.mark.fuse, needs_root]

USER, OTHER = NOBODY, 1  # fusermount3 wants them known by name: nobody and daemon

SCRIPT = """
as_user() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "$@"; }
as_other() { setpriv --reuid $OTHER_ID --regid $OTHER_ID --clear-groups "$@"; }
as_user $PROGRAM mount --endpoint "$URL" --region cn-hangzhou oss://sample "$PLACE/home/mnt"
trap 'as_user fusermount3 -u -z "$PLACE/home/mnt" 2>/dev/null || true' EXIT
as_user stat -c '%u %g %A' "$PLACE/home/mnt/file"
as_user cat "$PLACE/home/mnt/file"
as_user setfattr -n user.ossfs.materialize -v 1 "$PLACE/home/mnt/file"
$PROGRAM pin "$PLACE/home/mnt/file"
as_user getfattr --only-values -n user.ossfs.status "$PLACE/home/mnt/file" |
    grep -o '"pinned": true'
$PROGRAM materialize --output quiet "$PLACE/home/mnt/file"
$PROGRAM status "$PLACE/home/mnt/file" | tail -n +2
as_other $PROGRAM unpin "$PLACE/home/mnt/file" && echo "another user may"
as_user stat -c '%a' "$PLACE/home/.cache/ossfs-resume"
cat "$PLACE/home/mnt/file" 2>/dev/null && echo "root sees it"
as_other cat "$PLACE/home/mnt/file" 2>/dev/null && echo "another user sees it"
as_user $PROGRAM umount "$PLACE/home/mnt"
as_user ls "$PLACE/home/mnt"
trap - EXIT
"""


TABLE_SCRIPT = """
as_user() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "$@"; }
as_user mkdir "$PLACE/home/second"
as_user $PROGRAM mount --endpoint "$URL" --region cn-hangzhou oss://sample "$PLACE/home/mnt"
trap 'umount -l "$PLACE/home/mnt"' EXIT
umount /etc && mkdir "$PLACE/without" && mknod "$PLACE/without/mtab" c 0 0
mount -t overlay -o lowerdir="$PLACE/without:/etc" overlay /etc
set +e
as_user $PROGRAM mount --endpoint "$URL" --region cn-hangzhou oss://sample "$PLACE/home/second"
as_user $PROGRAM check --endpoint "$URL" --region cn-hangzhou oss://sample | grep mtab >&2
as_user $PROGRAM umount "$PLACE/home/mnt"
"""
"""A character device 0:0 hides a name of the layer below."""


def as_root(
    script: str, emulator: EmulatorProcess, place: Path
) -> subprocess.CompletedProcess[str]:
    """Run it where users may mount."""
    environment = emulator.environment | {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "PLACE": str(place),
        "PROGRAM": f"env PYTHONPATH={readable_library(place)} {PYTHON} -m ossfs_resume",
        "URL": emulator.url,
        "USER_ID": str(USER),
        "OTHER_ID": str(OTHER),
    }
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", user_mounts_possible(place) + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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


NAMELESS = 12345
"""A user that no container's user database knows."""

NAMELESS_SCRIPT = """
cd /
setpriv --reuid $NAMELESS --regid $NAMELESS --clear-groups prlimit --nproc=$THREADS \\
  env -i PATH="$PATH" $SETTINGS $PROGRAM mount --endpoint "$URL" --region cn-hangzhou $OPTIONS \\
  oss://sample "$PLACE/home/mnt"
"""


@pytest.fixture
def as_nameless(
    emulator: EmulatorProcess, place: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``mount`` with these settings of the environment, options and number of threads."""
    program = f"PYTHONPATH={readable_library(place)} {PYTHON} -m ossfs_resume"
    for path in (place / "home", place / "home/mnt"):
        os.chown(path, NAMELESS, NAMELESS)

    def run(
        settings: str, options: str = "", threads: int = 1000
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "PLACE": str(place),
            "PROGRAM": program,
            "URL": emulator.url,
            "NAMELESS": str(NAMELESS),
            "SETTINGS": settings.replace("{place}", str(place)),
            "OPTIONS": options.replace("{place}", str(place)),
            "THREADS": str(threads),
        }
        command = ["sh", "-c", NAMELESS_SCRIPT]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.skipif(not is_same_python(), reason=ANOTHER_PYTHON)
def test_what_a_user_lacks_is_told_in_one_line(
    as_nameless: Callable[..., subprocess.CompletedProcess[str]], place: Path
) -> None:
    """Neither an entry in the user database, nor a home, nor a look at somebody else's."""
    key = "OSS_ACCESS_KEY_ID=emulator OSS_ACCESS_KEY_SECRET=emulator-secret"
    foreign = place / "foreign"
    foreign.mkdir(mode=0o700)
    mine = "--cache-dir {place}/home/cache"
    cases = (
        (
            key,
            "",
            1000,
            "no home directory, HOME is not set: name a directory with --cache-dir",
        ),
        ("", mine, 1000, "no access key found (looked in"),
        ("HOME={place}/foreign", mine, 1000, "foreign/.ossutilconfig: Permission denied"),
        ("HOME={place}/foreign", mine + " --credentials ossutil", 1000, "--credentials ossutil: "),
        (f"{key} HOME=/", "", 1000, "may not be written by the user 12345; choose another with"),
        (f"{key} HOME={{place}}/home", "", 1, "raise the limit of processes"),
        (f"{key} HOME={{place}}/home", "", 3, "raise the limit of processes"),
    )
    for settings, options, threads, said in cases:
        result = as_nameless(settings, options, threads)
        assert result.returncode in (1, 2)
        [line] = result.stderr.splitlines()
        assert said in line
    passed_over = f"{key} HOME={{place}}/foreign XDG_CONFIG_HOME={{place}}/foreign"
    *_, line = as_nameless(passed_over, mine).stderr.splitlines()
    assert "fuse" in line  # it came as far as to the device, which is not his here


@pytest.mark.skipif(not is_same_python(), reason=ANOTHER_PYTHON)
def test_he_mounts_with_the_defaults_and_nobody_else_sees_it(
    emulator: EmulatorProcess, place: Path
) -> None:
    (emulator.directory / "file").write_bytes(b"content\n")
    result = as_root(SCRIPT, emulator, place)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{USER} {USER} -rw-r--r--",
        "content",
        '"pinned": true',
        "  verified: 8 B of 8 B here, 1 of 1 part, pinned",
        "  last job: done",
        "  #",
        "700",
    ]
    assert result.stderr.count("permission denied") == 1


@pytest.mark.skipif(not is_same_python(), reason=ANOTHER_PYTHON)
def test_where_there_is_no_mtab_he_is_told_before_he_cannot_unmount(
    emulator: EmulatorProcess, place: Path
) -> None:
    result = as_root(TABLE_SCRIPT, emulator, place)
    *_, mounted, checked, unmounted = result.stderr.splitlines()
    remedy = "as root: ln -sf /proc/self/mounts /etc/mtab"
    lack = "/etc/mtab does not exist, so fusermount3 cannot unmount"
    assert mounted == f"ossfs-resume: {lack}; {remedy}"
    assert lack in checked
    assert unmounted.startswith(f"ossfs-resume: cannot unmount {place}/home/mnt: ")
    assert unmounted.endswith(remedy)
