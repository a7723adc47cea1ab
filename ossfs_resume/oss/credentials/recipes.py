"""What a source of credentials amounts to: a key as it stands, or what must be done to get one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.models import Credentials
from ossfs_resume.quantities import parse_digits

SESSION_NAME = "ossfs-resume"
METADATA_URL = "http://100.100.100.200"
PROCESS_S = 60.0
"""The official tools' patience with an external program."""

_ADDRESS_TEXT = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9:_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Keys:
    """A key as it stands."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Role:
    """A RAM role and the STS endpoint to ask for it. STS wants ``duration_s`` of at least 900."""

    arn: str
    sts_url: str
    session_name: str = SESSION_NAME
    duration_s: int = 3600
    policy: str = ""
    external_id: str = ""


@dataclass(frozen=True, slots=True)
class RamRole:
    """AssumeRole with the key that ``source`` gives."""

    role: Role
    source: "Recipe"


@dataclass(frozen=True, slots=True)
class OidcRole:
    """AssumeRoleWithOIDC with the token in a file, which is read anew each time."""

    role: Role
    provider_arn: str
    token_file: str


@dataclass(frozen=True, slots=True)
class EcsRole:
    """The RAM role of this ECS instance; ``name`` empty: ask which. ``plain_allowed``: without a
    session token if the metadata server gives none."""

    name: str = ""
    url: str = METADATA_URL
    plain_allowed: bool = True


@dataclass(frozen=True, slots=True)
class Uri:
    """A server that answers with a key; its address may hold a secret."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Process:
    """A program that prints a key; its arguments may hold a secret."""

    arguments: tuple[str, ...] = field(repr=False)
    timeout_s: float = PROCESS_S


Recipe: TypeAlias = Keys | RamRole | OidcRole | EcsRole | Uri | Process


def keys(where: str, key_id: str, secret: str, token: str = "") -> Keys | None:
    """A key if both halves are there, None if neither is. Raises SettingsError."""
    key_id, secret, token = key_id.strip(), secret.strip(), token.strip()
    if not key_id and not secret:
        return None
    if not key_id or not secret:
        missing = "access key secret" if key_id else "access key id"
        raise SettingsError(f"{where}: the {missing} is missing")
    credentials = Credentials(key_id, secret, token)
    if credentials.flaw:
        raise SettingsError(f"{where}: {credentials.flaw}")
    return Keys(credentials)


def lifetime(text: str, where: str) -> int:
    """Seconds for which a role is wanted, an hour unless it is said. Raises SettingsError."""
    try:
        return parse_digits(text or "0") or 3600
    except ValueError:
        raise SettingsError(f"{where} is not a number of seconds") from None


def sts_url(environment: Mapping[str, str], region: str = "", *, vpc: bool = False) -> str:
    """The STS endpoint of a region; ``OSSFS_STS_ENDPOINT`` names that of a private cloud."""
    if given := environment.get("OSSFS_STS_ENDPOINT", "").strip():
        return server_url(given if "://" in given else f"https://{given}", "OSSFS_STS_ENDPOINT")
    region = region or environment.get("ALIBABA_CLOUD_STS_REGION", "").strip()
    vpc = vpc or is_true(environment.get("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", ""))
    host = f"{'sts-vpc' if vpc else 'sts'}.{region}" if region else "sts"
    return server_url(f"https://{host}.aliyuncs.com", f"the STS region {region!r}")


def ecs_role(environment: Mapping[str, str], name: str = "") -> EcsRole:
    """The role of this instance; ``OSSFS_ECS_METADATA_URL`` replaces the well-known address."""
    url = environment.get("OSSFS_ECS_METADATA_URL", "").strip() or METADATA_URL
    url = server_url(url.rstrip("/"), "OSSFS_ECS_METADATA_URL")
    disabled = is_true(environment.get("ALIBABA_CLOUD_IMDSV1_DISABLED", ""))
    return EcsRole(name.strip(), url, plain_allowed=not disabled)


def server_url(text: str, where: str) -> str:
    """``text`` if it is the address of a server. Raises SettingsError, which does not repeat it."""
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in ("http", "https") and parts.port != 0
        is_right = is_right and _HOST.fullmatch(parts.hostname or "") is not None
    except ValueError:
        is_right = False
    if not is_right or not _ADDRESS_TEXT.fullmatch(text):
        raise SettingsError(f"{where}: not the address of a server, which is http[s]://HOST[:PORT]")
    return text


def is_true(text: str) -> bool:
    """How the official tools read a switch."""
    return text.strip().lower() in ("true", "1")
