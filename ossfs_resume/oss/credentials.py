"""Where access keys come from.

A provider is asked before every attempt at every request, so keys that rotate are picked up without
further ado; one whose keys expire fetches new ones in ``current`` before they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.models import Credentials

_FAMILIES = (
    ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
    (
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ),
)


class CredentialsProvider(Protocol):
    """Anything that knows the access key to use now."""

    async def current(self) -> Credentials | None:
        """The key to sign with; None to sign nothing (anonymous access).

        Raises SettingsError if there is none, TransientError if it could not be fetched now.
        """

    def refused(self, credentials: Credentials) -> bool:
        """Told that the origin takes ``credentials`` for expired.

        True if ``current`` may now return others, so that one more attempt makes sense.
        """


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """The same key for ever, or anonymous access."""

    credentials: Credentials | None

    async def current(self) -> Credentials | None:
        return self.credentials

    def refused(self, credentials: Credentials) -> bool:
        return False


def from_environment(environment: Mapping[str, str]) -> StaticCredentials:
    """The key in ``OSS_*`` variables or else in ``ALIBABA_CLOUD_*`` variables.

    These are the names that the official SDKs read. Surrounding white space is dropped.
    Raises SettingsError if there is no key or only half of one.
    """
    for id_name, secret_name, token_name in _FAMILIES:
        key_id, secret, token = (
            environment.get(name, "").strip() for name in (id_name, secret_name, token_name)
        )
        if bool(key_id) != bool(secret):
            given, missing = (id_name, secret_name) if key_id else (secret_name, id_name)
            raise SettingsError(f"{given} is set but {missing} is not: set both or none")
        if key_id:
            return StaticCredentials(Credentials(key_id, secret, token))
    raise SettingsError(
        "no credentials: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, "
        "or use --signature anonymous for a public bucket"
    )
