"""Settings: flag, then ``-o`` option, then environment, then TOML file, then default.

Which options there are says `option_table`; here each is taken from the first source that has it.
Every value arrives as text and is parsed by the option's own parser; an error names the option and
where the value came from.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ossfs_resume.errors import SettingsError
from ossfs_resume.option_table import (
    ACCESS_KEY_NAMES,
    BY_NAME,
    IGNORED_MOUNT_OPTIONS,
    OPTIONS,
    Option,
)
from ossfs_resume.oss.models import Credentials


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed value of every option; None where there is no default."""

    endpoint: str | None
    region: str | None
    addressing: str
    signature: str
    credentials: str
    credentials_process: str | None = field(repr=False)
    proxy: str | None
    ca_bundle: Path | None
    cache_dir: Path
    cache_size: int | None
    cache_free: int | float | None
    part_size: int
    request_size: int
    connections: int
    read_ahead: int
    bandwidth: float
    background_bandwidth: float
    request_payer: bool
    metadata_ttl: float
    negative_ttl: float
    timeout: float
    offline: bool
    uid: int
    gid: int
    umask: int
    allow_other: bool
    log_level: str
    log_format: str
    log_file: Path | None
    access_key: Credentials | None = None
    """From the file alone: command lines and mount options are visible to everybody."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to mount: a bucket, and the prefix below which its keys are shown."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"oss://{self.bucket}/{self.prefix}".rstrip("/")


def parse_source(text: str) -> Source:
    """``oss://bucket`` or ``oss://bucket/some/prefix``. Raises SettingsError."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme != "oss":
        raise SettingsError(f"{text!r} is not a bucket; write oss://BUCKET or oss://BUCKET/PREFIX")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise SettingsError(f"{text!r} names no bucket; write oss://BUCKET")
    return Source(bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else "")


CONFIG_WORD = "config"
"""Names the TOML file where there is no command line but ``-o``, as in fstab."""


def parse_mount_options(text: str, *, sloppy: bool = False) -> dict[str, str]:
    """The options of ``-o a,b=c``; what means nothing here is left out.

    What nobody knows is left out too if ``sloppy``, else it is a SettingsError.
    """
    chosen = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = item.partition("=")
        option = BY_NAME.get(name.replace("_", "-"))
        if option is not None:
            chosen[option.name] = value
        elif name == CONFIG_WORD:
            chosen[name] = value
        elif not sloppy and name not in IGNORED_MOUNT_OPTIONS and not name.startswith("x-"):
            raise SettingsError(f"-o {name}: no such option; see ossfs-resume mount --help")
    return chosen


def read_file(path: Path) -> dict[str, str]:
    """The options of a TOML file, and perhaps an access key, as text. Raises SettingsError."""
    try:
        document = tomllib.loads(path.read_text())
        is_public = bool(path.stat().st_mode & 0o077)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    for name in document:
        if name not in BY_NAME and name not in ACCESS_KEY_NAMES:
            raise SettingsError(f"{path}: no such option: {name}")
    if is_public and "access-key-secret" in document:
        raise SettingsError(f"{path} holds a secret that others may read: chmod 600 {path}")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in document.items()
    }


def default_file(environment: Mapping[str, str]) -> Path:
    """Where the configuration file is looked for unless one is named."""
    if os.geteuid() == 0:
        return Path("/etc/ossfs-resume/config.toml")
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "ossfs-resume/config.toml"


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """The system's cache directory for root, the user's own otherwise."""
    if os.geteuid() == 0:
        return Path("/var/cache/ossfs-resume")
    home = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "ossfs-resume"


def resolve(
    flags: Mapping[str, str],
    mount_options: Mapping[str, str],
    environment: Mapping[str, str],
    file: Mapping[str, str],
    file_name: str = "the configuration file",
) -> Options:
    """Take each option from the first source that has it. Raises SettingsError."""
    defaults = {
        "cache-dir": str(default_cache_dir(environment)),
        "uid": str(os.getuid()),
        "gid": str(os.getgid()),
    }
    values: dict[str, Any] = {}
    for option in OPTIONS:
        candidates = (
            (f"--{option.name}", flags.get(option.name)),
            (f"-o {option.name}", mount_options.get(option.name)),
            (option.environment, environment.get(option.environment) or None),
            (f"{file_name}: {option.name}", file.get(option.name)),
            ("", defaults.get(option.name, option.default)),
        )
        values[option.field] = _first(option, candidates)
    return Options(**values, access_key=_access_key(file, file_name))


def _access_key(file: Mapping[str, str], file_name: str) -> Credentials | None:
    key_id, secret, token = (file.get(name, "").strip() for name in ACCESS_KEY_NAMES)
    if bool(key_id) != bool(secret):
        raise SettingsError(f"{file_name}: access-key-id and access-key-secret belong together")
    key = Credentials(key_id, secret, token)
    if key.flaw:
        raise SettingsError(f"{file_name}: {key.flaw}")
    return key if key_id else None


def _first(option: Option, candidates: tuple[tuple[str, str | None], ...]) -> Any:
    for origin, text in candidates:
        if text is not None:
            try:
                return option.parse(text)
            except SettingsError as error:
                raise SettingsError(f"{origin}: {error}") from None
    return None
