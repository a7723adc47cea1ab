"""Access keys from the environment."""

import pytest

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import StaticCredentials, from_environment
from ossfs_resume.oss.models import Credentials

OSS = {"OSS_ACCESS_KEY_ID": "a", "OSS_ACCESS_KEY_SECRET": "b"}
FAMILY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "c", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "d"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (OSS, Credentials("a", "b")),
        (OSS | {"OSS_SESSION_TOKEN": "t"}, Credentials("a", "b", "t")),
        (OSS | {"OSS_SESSION_TOKEN": " "}, Credentials("a", "b")),
        (FAMILY | {"ALIBABA_CLOUD_SECURITY_TOKEN": "t"}, Credentials("c", "d", "t")),
        (FAMILY | OSS, Credentials("a", "b")),
        (OSS | {"OSS_ACCESS_KEY_ID": " a\n"}, Credentials("a", "b")),
        (FAMILY | {"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": " "}, Credentials("c", "d")),
    ],
)
async def test_the_first_complete_family_wins(
    environment: dict[str, str], expected: Credentials
) -> None:
    assert await from_environment(environment).current() == expected


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"),
        ({"OSS_ACCESS_KEY_ID": "a"}, "OSS_ACCESS_KEY_SECRET is not"),
        ({"OSS_ACCESS_KEY_SECRET": "a"} | FAMILY, "OSS_ACCESS_KEY_ID is not"),
        ({"ALIBABA_CLOUD_ACCESS_KEY_ID": "a"}, "ALIBABA_CLOUD_ACCESS_KEY_SECRET is not"),
    ],
)
def test_half_a_key_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment(environment)


async def test_anonymous_access_has_no_key() -> None:
    assert await StaticCredentials(None).current() is None
