"""What a mount in the background takes over from whoever started it."""

import subprocess
import sys

import pytest

SCRIPT = """
import os
from ossfs_resume.cli.background import close_inherited_descriptors
if {is_ours}:
    os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}}
else:
    os.environ |= {{"LISTEN_PID": "1", "LISTEN_FDS": "2"}}
for number in (3, 4, 5, 100):
    os.dup2(0, number)
close_inherited_descriptors()
kept = []
for number in range(200):
    try:
        os.fstat(number)
    except OSError:
        continue
    kept.append(number)
print(kept)
"""


@pytest.mark.parametrize(("is_ours", "kept"), [(True, [0, 1, 2, 3, 4]), (False, [0, 1, 2])])
def test_descriptors_that_systemd_hands_over_are_kept(is_ours: bool, kept: list[int]) -> None:
    command = [sys.executable, "-c", SCRIPT.format(is_ours=is_ours)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"{kept}\n"
