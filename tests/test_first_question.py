"""The first question, where a command line cannot arrange it."""

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.config import parse_source
from ossfs_resume.errors import MountError, OriginTimeout
from ossfs_resume.first_question import await_key
from ossfs_resume.oss.credentials.provider import RotatingCredentials
from ossfs_resume.oss.credentials.sts import Issued


@pytest.mark.parametrize(("seconds", "is_final"), [(1, False), (15, True)])
async def test_a_source_of_keys_that_does_not_answer(
    autojump_clock: MockClock, seconds: int, is_final: bool
) -> None:
    """One that has little patience, as the metadata server has, is asked again by the question."""

    async def fetch() -> Issued:
        await trio.sleep(seconds)
        raise OriginTimeout("no key")

    outcome = None
    try:
        await await_key(RotatingCredentials(fetch, "there"), parse_source("oss://sample"))
    except MountError as error:
        outcome = str(error)
    assert outcome == ("oss://sample: no key" if is_final else None)
