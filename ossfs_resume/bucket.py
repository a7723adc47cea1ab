"""A bucket for Python programs: where it is, and with which access key."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from ossfs_resume.config import Options, Source, resolve
from ossfs_resume.errors import SettingsError
from ossfs_resume.origin import origin_credentials, origin_settings
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials import CredentialsProvider, StaticCredentials
from ossfs_resume.oss.models import Credentials

FindCredentials = Callable[[], Credentials]
"""Called, in a thread, before a request is signed; may be asked for a key that is good by then."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket. An empty ``region`` is taken from the endpoint, and an empty ``endpoint`` is that
    of the region; what is None or empty of the rest is found as `ossfs-resume get` finds it.

    ``endpoint`` is a URL or a host, without the bucket's name. ``credentials`` is an access key, or
    a function that returns one. ``signature`` is v4, v1 or anonymous; ``addressing`` auto, virtual,
    path or cname. ``timeout`` is in seconds without progress, 0 waits for the network.
    """

    endpoint: str
    name: str
    region: str = ""
    credentials: Credentials | FindCredentials | None = field(default=None, repr=False)
    signature: str = "v4"
    addressing: str = "auto"
    proxy: str = ""
    ca_bundle: str | os.PathLike[str] | None = None
    timeout: float = 60.0

    @classmethod
    def of(cls, bucket: "Bucket | Any") -> "Bucket":
        """One of these, or what an ``oss2.Bucket`` says. Raises SettingsError."""
        return bucket if isinstance(bucket, cls) else _from_oss2(bucket)

    @asynccontextmanager
    async def open(self, connections: int) -> AsyncIterator[OssClient]:
        """A client of so many data connections. Raises SettingsError, OriginError."""
        options = self._options(connections)
        settings = await trio.to_thread.run_sync(origin_settings, Source(self.name, ""), options)
        async with settings.open(await self._provider(options, settings)) as client:
            yield client

    def _options(self, connections: int) -> Options:
        chosen = {
            "endpoint": self.endpoint,
            "region": self.region,
            "signature": self.signature,
            "addressing": self.addressing,
            "proxy": self.proxy,
            "ca-bundle": "" if self.ca_bundle is None else str(Path(self.ca_bundle)),
            "timeout": f"{self.timeout:g}",
            "connections": str(connections),
            "cache-dir": "/nonexistent",  # never used, but a user without a home has no default
        }
        return resolve({name: text for name, text in chosen.items() if text}, {}, os.environ, {})

    async def _provider(self, options: Options, settings: Any) -> CredentialsProvider:
        if self.credentials is None:
            return await origin_credentials(options, settings)
        if isinstance(self.credentials, Credentials):
            return StaticCredentials(self.credentials)
        return _Called(self.credentials)


@dataclass(frozen=True, slots=True)
class _Called:
    """The key that a function of the caller's returns."""

    find: FindCredentials
    origin: str = "the caller"

    def fresh(self) -> tuple[Credentials | None] | None:
        return None

    async def current(self) -> Credentials | None:
        return await trio.to_thread.run_sync(self.find)

    def refused(self, credentials: Credentials) -> bool:
        return False


def _from_oss2(bucket: Any) -> Bucket:
    """By what it has, so that oss2 need not be there."""
    kind = type(bucket).__name__
    if not all(hasattr(bucket, name) for name in ("auth", "endpoint", "bucket_name")):
        raise SettingsError(f"a {kind} is no bucket: give an ossfs_resume.Bucket or an oss2.Bucket")
    if kind.startswith("Crypto"):
        raise SettingsError("an oss2.CryptoBucket decrypts what it reads, which is not done here")
    version = bucket.auth.auth_version() if hasattr(bucket.auth, "auth_version") else ""
    is_anonymous = type(bucket.auth).__name__ == "AnonymousAuth"
    url, proxies = bucket._make_url, bucket.proxies or {}
    return Bucket(
        bucket.endpoint,
        bucket.bucket_name,
        bucket.region or "",
        None if is_anonymous else lambda: _key_of(bucket),
        "anonymous" if is_anonymous else "v4" if version == "v4" else "v1",
        "cname" if url.is_cname else "path" if url.is_path_style else "auto",
        proxies.get(bucket.endpoint.partition(":")[0], ""),
    )


def _key_of(bucket: Any) -> Credentials:
    """Asked anew each time, for whoever renews a key gives the bucket another ``auth``."""
    auth = bucket.auth
    auth = getattr(auth, "_StsAuth__auth", auth)
    found = auth.credentials_provider.get_credentials()
    return Credentials(
        found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token() or ""
    )
