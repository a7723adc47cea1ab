"""An ordinary user mounts through fusermount3 and is told what root alone could do."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.machine import ANOTHER_PYTHON, needs_root
from support.users import NOBODY, PYTHON, is_same_python, readable_library, user_mounts_possible

pytestmark = [
    pytest.mark.fuse,
    needs_root,
    pytest.mark.skipif(not is_same_python(), reason=ANOTHER_PYTHON),
]

# The mounts of a private namespace are seen only inside, so the whole story is told by a script.
STORY = """
import json, os, subprocess, sys, time
script, mnt = sys.argv[1:]
def mounted():
    return any(mnt in line for line in open("/proc/self/mountinfo"))
def watched(pid):
    file = "/proc/{}/task/{}/children"
    tasks = os.listdir(f"/proc/{pid}/task")
    children = [one for task in tasks for one in open(file.format(pid, task)).read().split()]
    return any("/watcher.py" in open(f"/proc/{one}/cmdline").read() for one in children)
def serve(*arguments):
    command = [sys.executable, script, mnt, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
facts = {}
process = serve()
facts["ready"] = bool(process.stdout.readline())
facts["content"] = open(mnt + "/small.txt").read()
os.setxattr(mnt + "/small.txt", "user.ossfs.materialize", b"1")
process.terminate()
facts["stopped"] = [process.wait(30), mounted()]
facts["log"] = process.stderr.read()
process = serve()
process.stdout.readline()
subprocess.run(["fusermount3", "-u", mnt], check=True)
facts["unmounted"] = [process.wait(30), mounted()]
process = serve("--deaf")
process.stdout.readline()
code = "import os, sys; os.pread(os.open(sys.argv[1], os.O_RDONLY), 1, 0)"
command = [sys.executable, "-c", code, mnt + "/stalled.bin"]
reader = subprocess.Popen(command, stderr=subprocess.DEVNULL)
os.getxattr(mnt, "user.ossfs.stalled.1")
subprocess.run(["fusermount3", "-u", "-z", mnt], check=True)
other = serve()
other.stdout.readline()
process.terminate()
facts["unmounted while it waits"] = [process.wait(30), reader.wait(30) != 0, mounted()]
facts["what came after"] = open(mnt + "/small.txt").read()
other.terminate()
other.wait(30)
process = serve()
process.stdout.readline()
process.kill()
process.wait()
process = serve()
facts["again"] = bool(process.stdout.readline()) and os.path.exists(mnt + "/small.txt")
process.terminate()
facts["stopped again"] = [process.wait(30), mounted()]
process = serve("--leak")
child = json.loads(process.stdout.readline())["child"]
deadline = time.monotonic() + 30
while not watched(process.pid) and time.monotonic() < deadline:
    time.sleep(0.01)
process.kill()
while mounted() and time.monotonic() < deadline:
    time.sleep(0.1)
facts["lingering"] = mounted()
os.kill(child, 9)
process.wait()
process = serve("--allow-other")
facts["allow_other"] = [process.wait(30), process.stderr.read()]
print(json.dumps(facts))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "mnt").mkdir()
        os.chown(folder / "mnt", NOBODY, NOBODY)
        yield folder


def test_a_user_mounts_stops_unmounts_and_recovers(folder: Path) -> None:
    (folder / "story.py").write_text(STORY)
    identity = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
    shutil.copy(Path(__file__).with_name("memory_mount.py"), folder)
    story = f"{PYTHON} {folder}/story.py {folder}/memory_mount.py {folder}/mnt"
    result = subprocess.run(
        ["unshare", "-m", "sh", "-ec", user_mounts_possible(folder) + f"{identity} {story}"],
        capture_output=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(readable_library(folder)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert result.returncode == 0, result.stderr.decode()
    facts = json.loads(result.stdout)
    assert facts["ready"]
    assert facts["content"] == "hello\n"
    assert facts["stopped"] == [0, False]
    assert "read-ahead" not in facts["log"]  # root alone could change it
    assert facts["unmounted"] == [0, False]
    assert facts["unmounted while it waits"] == [0, True, True]
    assert facts["what came after"] == "hello\n"
    assert facts["again"]
    assert facts["stopped again"] == [0, False]
    assert facts["lingering"] is False
    assert facts["allow_other"][0] == 1
    assert "user_allow_other" in facts["allow_other"][1]
