"""mount(8), fstab and umount(8) as a system's boot uses them.

mount(8) looks for helpers in /sbin alone. Ours are put there, and everything is mounted, in a
namespace of the test's own, so each test is a script for a shell in it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.machine import NO_AUTOFS, NO_SETFATTR, needs_root

pytestmark = [
    pytest.mark.fuse,
    needs_root,
]

HELPER = Path(sys.executable).with_name("mount.ossfs-resume")

BEFORE = """
set -eu
mount -t overlay -o "lowerdir=$PLACE/sbin:/sbin" overlay "$(realpath /sbin)"
cd "$PLACE"
"""


@pytest.fixture
def place(tmp_path: Path, emulator: EmulatorProcess) -> Path:
    """With the helpers in ``sbin``, a mount point, and options for -o in ``options``."""
    (emulator.directory / "file").write_bytes(b"content\n")
    (tmp_path / "sbin").mkdir()
    for name in ("mount.ossfs-resume", "mount.fuse.ossfs-resume"):
        (tmp_path / "sbin" / name).symlink_to(HELPER)
    (tmp_path / "mnt").mkdir()
    return tmp_path


def options(emulator: EmulatorProcess, place: Path) -> str:
    words = {
        "endpoint": emulator.url,
        "region": emulator.region,
        "cache-dir": place / "cache",
        "cache-free": 0,
        "log-file": place / "log",
    }
    return ",".join(f"{name}={value}" for name, value in words.items())


def tell(
    place: Path, emulator: EmulatorProcess, story: str, key: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script; whatever it leaves running or mounted ends with its namespaces."""
    environment = {
        "PATH": os.environ["PATH"],
        "PLACE": str(place),
        "OPTIONS": options(emulator, place),
    }
    return subprocess.run(
        [*"unshare --mount --pid --fork --kill-child --mount-proc sh -c".split(), BEFORE + story],
        env=environment | (emulator.environment if key is None else key),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", ["ossfs-resume", "fuse.ossfs-resume"])
def test_mount_and_umount(place: Path, emulator: EmulatorProcess, kind: str) -> None:
    story = f"""
        mount -t {kind} -o "$OPTIONS,ro,_netdev,nofail" oss://sample mnt
        cat mnt/file
        findmnt -n -o SOURCE,FSTYPE mnt
        umount mnt
        ls mnt
    """
    result = tell(place, emulator, story)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [["content"], ["oss://sample", "fuse.ossfs-resume"]]


def test_a_line_of_fstab_with_the_key_in_a_file(place: Path, emulator: EmulatorProcess) -> None:
    key = place / "key.toml"
    key.write_text(
        f'access-key-id = "{emulator.access_key_id}"\n'
        f'access-key-secret = "{emulator.access_key_secret}"\n'
    )
    key.chmod(0o600)
    words = "ro,noauto,user,_netdev,nofail,x-systemd.automount,x-systemd.requires=a.service"
    line = f"oss://sample {place}/mnt ossfs-resume {words},config={key},"
    (place / "fstab").write_text(f"{line}{options(emulator, place)} 0 0\n")
    story = """
        mount -T fstab "$PLACE/mnt"
        cat mnt/file
        umount mnt
    """
    result = tell(place, emulator, story, key={})
    assert result.returncode == 0, result.stderr
    assert result.stdout == "content\n"


def test_over_a_mount_point_that_is_one_already(place: Path, emulator: EmulatorProcess) -> None:
    """As ``docker -v DIR:DIR:rshared`` gives it to a container; but not twice over our own."""
    story = """
        mount --bind mnt mnt
        mount -t ossfs-resume -o "$OPTIONS" oss://sample mnt
        cat mnt/file
        mount -t ossfs-resume -o "$OPTIONS" oss://sample mnt || echo "status $?"
        umount mnt
        mountpoint mnt
    """
    result = tell(place, emulator, story)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "content\nstatus 32\nmnt is a mountpoint\n"
    assert "is already a mount point (of oss://sample)" in result.stderr


def test_what_cannot_be_mounted_is_told_as_mount_does(
    place: Path, emulator: EmulatorProcess
) -> None:
    story = """
        mount -t ossfs-resume -o "$OPTIONS" oss://absent mnt || echo "status $?"
        mount -t ossfs-resume -o "$OPTIONS,nonsense" oss://sample mnt || echo "status $?"
        mount -t ossfs-resume -o "$OPTIONS" sample mnt || echo "status $?"
    """
    result = tell(place, emulator, story)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["status 32", "status 1", "status 1"]
    assert "nonsense: no such option" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(shutil.which("setfattr") is None, reason=NO_SETFATTR)
def test_the_flags_of_mount(place: Path, emulator: EmulatorProcess) -> None:
    """Fake: nothing is mounted. Sloppy: unknown words are no matter. No mtab. Verbose."""
    story = """
        mount -f -v -t ossfs-resume -o "$OPTIONS" oss://sample mnt
        mountpoint -q mnt || echo "nothing"
        mount -n -s -v -r -t ossfs-resume -o "$OPTIONS,nonsense" oss://sample mnt
        setfattr -n user.ossfs.materialize -v 1 mnt/file
    """
    result = tell(place, emulator, story)
    assert result.returncode == 0, result.stderr
    assert "oss://sample is to be mounted on " in result.stdout
    assert "\nnothing\n" in result.stdout
    assert "oss://sample is mounted on " in result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["oss://b"], ["oss://b", "/mnt", "more"], ["oss://b", "/mnt", "-q"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = subprocess.run([HELPER, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "usage: mount.ossfs-resume oss://" in result.stderr


AUTOMOUNTER = """
import fcntl, os, struct, subprocess, sys
reader, writer = os.pipe()
os.setpgid(0, 0)
words = f"fd={writer},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
subprocess.run(["mount", "-i", "-t", "autofs", "-o", words, "auto", "mnt"],
               pass_fds=[writer], check=True)
os.close(writer)
covered = os.open("mnt", os.O_RDONLY | os.O_DIRECTORY)
visitor = subprocess.Popen(["cat", "mnt/file"], process_group=0)
_version, _kind, token = struct.unpack_from("iiI", os.read(reader, 4096))
subprocess.run(["mount", "-t", "ossfs-resume", "-o", os.environ["OPTIONS"], "oss://sample", "mnt"],
               check=True)
fcntl.ioctl(covered, 0x9360, token)  # AUTOFS_IOC_READY
visitor.wait()
"""


@pytest.mark.skipif("\tautofs\n" not in Path("/proc/filesystems").read_text(), reason=NO_AUTOFS)
def test_below_an_automount_point(place: Path, emulator: EmulatorProcess) -> None:
    """As with ``x-systemd.automount``: the mount is made because somebody waits for a name in it.

    Who is not of the automounter's process group waits as well, for as long as that takes.
    """
    (place / "automounter.py").write_text(AUTOMOUNTER)
    result = tell(place, emulator, f"{sys.executable} automounter.py\numount mnt\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "content\n"
