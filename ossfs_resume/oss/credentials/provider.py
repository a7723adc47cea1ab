"""What the client needs of whoever knows the access key."""

from dataclasses import dataclass
from typing import Protocol

from ossfs_resume.oss.models import Credentials


class CredentialsProvider(Protocol):
    """Anything that knows the access key to use now; asked before every attempt at a request."""

    @property
    def origin(self) -> str:
        """Where keys come from, for messages."""

    def fresh(self) -> tuple[Credentials | None] | None:
        """What `current` would return if that needs nobody to be asked, else None. Any event loop
        may ask."""

    async def current(self) -> Credentials | None:
        """The key to sign with; None to sign nothing (anonymous access).

        Raises SettingsError if there is none, OriginError if it could not be fetched now.
        """

    def refused(self, credentials: Credentials) -> bool:
        """Told that the origin takes ``credentials`` for expired.

        True if ``current`` may now return others, so that one more attempt makes sense.
        """


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """The same key for ever, or anonymous access; ``origin`` names where it came from."""

    credentials: Credentials | None
    origin: str = "the caller"

    def fresh(self) -> tuple[Credentials | None] | None:
        return (self.credentials,)

    async def current(self) -> Credentials | None:
        return self.credentials

    def refused(self, credentials: Credentials) -> bool:
        return False
