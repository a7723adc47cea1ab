"""The check, where a command line cannot arrange it."""

from dataclasses import replace
from math import inf

import pytest

from ossfs_resume import checkup
from ossfs_resume.checkup import Outcome, Step
from ossfs_resume.config import parse_source, resolve
from ossfs_resume.origin import origin_settings


async def test_a_program_that_takes_its_time_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its patience is that of a mount, however little another step may take."""
    hurried = [replace(one, seconds=0.0 if one.seconds < inf else inf) for one in checkup.PLAN]
    monkeypatch.setattr(checkup, "PLAN", hurried)
    program = """sleep 0.1; echo '{"AccessKeyId": "slow", "AccessKeySecret": "s"}'"""
    flags = {"endpoint": "http://127.0.0.1:1", "region": "r", "credentials": "process"}
    options = resolve(flags | {"credentials-process": program}, {}, {}, {})
    source = parse_source("oss://sample")
    steps: list[Step] = []
    await checkup.check(source, options, origin_settings(source, options), steps.append)
    [key] = [step for step in steps if step.name == "credentials"]
    assert (key.outcome, key.text[:8]) == (Outcome.OK, "key slow")
