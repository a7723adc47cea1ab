"""What the documentation says to type is right: its Python runs, its options and commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.cli import PURPOSES
from ossfs_resume.options import OPTIONS
from support.emulator import EmulatorProcess

ROOT = Path(__file__).parent.parent
MIGRATION = ROOT / "docs/migration.md"
SCRIPTS = sorted(set(re.findall(r"`(scripts/[a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text())))
SNIPPETS = re.findall(r"^```python\n(.*?)^```", MIGRATION.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_in_the_documentation_downloads(
    emulator: EmulatorProcess, tmp_path: Path, snippet: str
) -> None:
    content = os.urandom(1 << 20)
    (emulator.directory / "dataset").mkdir()
    (emulator.directory / "dataset/terabytes.tar").write_bytes(content)
    for written, here in {
        "https://oss-cn-hangzhou.aliyuncs.com": emulator.url,
        "my-bucket": emulator.bucket,
        '"ID"': repr(emulator.access_key_id),
        '"SECRET"': repr(emulator.access_key_secret),
    }.items():
        snippet = snippet.replace(written, here)
    environment = os.environ | emulator.environment | {"OSS_REGION": emulator.region}
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "terabytes.tar").read_bytes() == content


def test_the_readme_knows_every_option_and_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [one.name for one in OPTIONS if f"`--{one.name}" not in text] == []
    assert [one for one in PURPOSES if f"`{one}`" not in text and f"e {one} " not in text] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_of_a_script_is_its_usage_and_nothing_else(script: str) -> None:
    result = subprocess.run(
        [ROOT / script, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("sage: ") == 1
    assert not re.search("^Install(ing|ed)|^Preparing", result.stdout, re.MULTILINE)
