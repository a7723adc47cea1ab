"""Settings: flag, then ``-o`` option, then environment, then TOML file, then default.

Each option stands once in `OPTIONS`; the command line, ``-o``, the environment and the TOML file
are all read through that table, so that they cannot differ. Every value arrives as text and is
parsed by the option's own parser, whose error names the option and where the value came from.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.models import Credentials
from ossfs_resume.quantities import parse_seconds, parse_size

PART_SIZE_SMALLEST = 64 * 1024


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise SettingsError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def _integer(lowest: int, highest: int, base: int = 10) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text, base)
        except ValueError:
            raise SettingsError(f"{text!r} is not a whole number") from None
        if not lowest <= value <= highest:
            raise SettingsError(
                f"{text} is not between {lowest:o} and {highest:o}"
                if base == 8
                else f"{text} is not between {lowest} and {highest}"
            )
        return value

    return parse


def _part_size(text: str) -> int:
    size = parse_size(text)
    if size < PART_SIZE_SMALLEST or size & (size - 1):
        raise SettingsError(f"{text} is not a power of two of at least 64KiB")
    return size


def _free_space(text: str) -> int | float:
    """Bytes as a whole number, a percentage as a fraction from 0 to 1."""
    number, percent, rest = text.strip().partition("%")
    if not percent:
        return parse_size(text)
    try:
        fraction = float(number) / 100
    except ValueError:
        raise SettingsError(f"{text!r} is neither a size nor a percentage") from None
    if rest or not 0 <= fraction < 1:
        raise SettingsError(f"{text!r} is not a percentage from 0% to below 100%")
    return fraction


def _request_size(text: str) -> int:
    size = parse_size(text)
    if size < PART_SIZE_SMALLEST:
        raise SettingsError(f"{text} is less than 64KiB")
    return size


def _path(text: str) -> Path:
    """Absolute: a mount in the background leaves the directory that it was started in."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def _rate(text: str) -> float:
    return float(parse_size(text.removesuffix("/s")))


def _switch(text: str) -> bool:
    if text.lower() in ("", "1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise SettingsError(f"{text!r} is neither true nor false")


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``parse`` turns its text into a value or raises SettingsError."""

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: str | None = None
    metavar: str = "TEXT"
    environment: str = ""
    is_switch: bool = False

    @property
    def field(self) -> str:
        """Its name as an attribute of `Options`."""
        return self.name.replace("-", "_")


OPTIONS = (
    Option("endpoint", "OSS endpoint; default: from the region", metavar="URL",
           environment="OSS_ENDPOINT"),
    Option("region", "OSS region; default: from the endpoint", metavar="NAME",
           environment="OSS_REGION"),
    Option("addressing", "auto, virtual, path or cname",
           _choice("auto", "virtual", "path", "cname"), "auto", "STYLE"),
    Option("signature", "v4, v1 (old private clouds) or anonymous (public buckets)",
           _choice("v4", "v1", "anonymous"), "v4", "VERSION"),
    Option("credentials", "where the access key comes from: auto, or the name of one source"
           " (options, oss-env, env, oidc, ossutil, aliyun, shared, ecs, uri, process)",
           default="auto", metavar="NAME"),
    Option("credentials-process", "shell command that prints an access key as JSON",
           metavar="COMMAND"),
    Option("proxy", "HTTP proxy, or none; default: from https_proxy, http_proxy and no_proxy",
           metavar="URL"),
    Option("ca-bundle", "PEM file with further certificates to trust", _path, metavar="FILE"),
    Option("cache-dir", "where parts are kept", _path, None, "DIR", "OSSFS_CACHE_DIR"),
    Option("cache-size", "most the cache may take on its disk; default: unlimited", parse_size,
           metavar="SIZE"),
    Option("cache-free", "what the cache leaves free of its disk; default: 10%, at most 10GiB",
           _free_space, metavar="SIZE|%"),
    Option("part-size", "unit of resume: a power of two from 64KiB", _part_size, "256KiB", "SIZE"),
    Option("request-size", "largest ranged request", _request_size, "8MiB", "SIZE"),
    Option("connections", "parallel ranged requests", _integer(1, 1000), "32", "N"),
    Option("read-ahead", "bytes fetched ahead of a sequential reader", parse_size, "128MiB",
           "SIZE"),
    Option("bandwidth", "bytes per second of all downloads; 0 for no limit", _rate, "0", "RATE"),
    Option("background-bandwidth", "bytes per second of downloads that nobody waits for", _rate,
           "0", "RATE"),
    Option("request-payer", "pay for requests to a bucket whose owner does not", _switch, "false",
           is_switch=True),
    Option("metadata-ttl", "how long listings are believed", parse_seconds, "60", "SECONDS"),
    Option("negative-ttl", "how long a missing name is believed", parse_seconds, "5", "SECONDS"),
    Option("timeout", "a reader's patience without progress; 0 waits for the network",
           parse_seconds, "60", "SECONDS"),
    Option("offline", "send no request: show and read what the cache has", _switch, "false",
           is_switch=True),
    Option("uid", "owner of all files; default: the mounting user", _integer(0, 2**32 - 2),
           metavar="UID"),
    Option("gid", "group of all files; default: the mounting user's", _integer(0, 2**32 - 2),
           metavar="GID"),
    Option("umask", "permission bits taken away", _integer(0, 0o777, 8), "0022", "MODE"),
    Option("allow-other", "let other users see the mount", _switch, "false", is_switch=True),
    Option("log-level", "debug, info, warning or error",
           _choice("debug", "info", "warning", "error"), "info", "LEVEL"),
    Option("log-format", "text or json", _choice("text", "json"), "text", "FORMAT"),
    Option("log-file", "append the log to this file; default: stderr, or the system's journal",
           _path, metavar="FILE"),
)  # fmt: skip

_BY_NAME = {option.name: option for option in OPTIONS}

ACCESS_KEY_NAMES = ("access-key-id", "access-key-secret", "session-token")
"""What the file may hold beside the options."""

IGNORED_MOUNT_OPTIONS = frozenset(
    "async atime auto default_permissions defaults dev diratime exec group loud _netdev noatime"
    " noauto nodev nodiratime noexec nofail nosuid nouser owner relatime ro rw silent strictatime"
    " suid sync user users".split()
)
"""What fstab and mount(8) may pass along. ``ro`` too: the mount refuses every write by itself,
and the kernel's own flag would refuse the setfattr that starts a download as well."""


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


def parse_mount_options(text: str) -> dict[str, str]:
    """The options of ``-o a,b=c``; what means nothing here is left out. Raises SettingsError."""
    chosen = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = item.partition("=")
        option = _BY_NAME.get(name.replace("_", "-"))
        if option is not None:
            chosen[option.name] = value
        elif name not in IGNORED_MOUNT_OPTIONS and not name.startswith("x-"):
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
        if name not in _BY_NAME and name not in ACCESS_KEY_NAMES:
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
    return Credentials(key_id, secret, token) if key_id else None


def _first(option: Option, candidates: tuple[tuple[str, str | None], ...]) -> Any:
    for origin, text in candidates:
        if text is not None:
            try:
                return option.parse(text)
            except SettingsError as error:
                raise SettingsError(f"{origin}: {error}") from None
    return None
