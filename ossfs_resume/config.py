"""Settings: flag, then ``-o`` option, then environment, then TOML file, then default.

Which options there are says `options`; here each is taken from the first source that has it.
Every value arrives as text and is parsed by the option's own parser; an error names the option and
where the value came from.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ossfs_resume.errors import SettingsError
from ossfs_resume.options import (
    ACCESS_KEY_NAMES,
    BY_NAME,
    IGNORED_MOUNT_OPTIONS,
    OPTIONS,
    REFUSED_MOUNT_OPTIONS,
    Option,
)
from ossfs_resume.oss.credentials.files import home_directory
from ossfs_resume.oss.models import Credentials
from ossfs_resume.wording import did_you_mean

_MOUNT_OPTION = re.compile(r"""(?:\\.|"[^"]*"|[^,\\"]|["\\])+""")
"""Up to a comma that is neither escaped nor quoted; a lonely quote or backslash is itself."""


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
    file_mode: int
    dir_mode: int
    control_group: int | None
    allow_other: bool
    allow_empty: bool
    noexec: bool
    log_level: str
    log_format: str
    log_file: Path | None
    access_key: Credentials | None = None
    """From the file alone: command lines and mount options are visible to everybody."""

    @property
    def is_anonymous(self) -> bool:
        """Whether no key is sent at all."""
        return self.signature == "anonymous"


@dataclass(frozen=True, slots=True)
class Source:
    """What to mount: a bucket, and the prefix below which its keys are shown."""

    bucket: str
    prefix: str

    @property
    def key(self) -> str:
        """The object that has the directory's name."""
        return self.prefix.removesuffix("/")

    @property
    def parent(self) -> "Source":
        """The directory that shows this one."""
        return Source(self.bucket, self.key[: self.key.rfind("/") + 1])

    def __str__(self) -> str:
        text = f"oss://{self.bucket}/{self.prefix}"
        return text if self.prefix == "/" or text.endswith("//") else text.removesuffix("/")


def parse_source(text: str) -> Source:
    """``oss://bucket`` or ``oss://bucket/some/prefix``. Raises SettingsError.

    Exactly the keys that begin so are meant: ``oss://b//`` those that begin with a slash, and
    ``oss://b/x//`` those with an empty name in them.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme != "oss":
        raise SettingsError(f"{text!r} is not a bucket; {_meant_source(text)}")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise SettingsError(f"{text!r} names no bucket; write oss://BUCKET")
    if _DOMAIN_OF_OSS in bucket:
        raise SettingsError(f"{text!r} names a bucket's domain; {_meant_source(text)}")
    return Source(bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/")


_DOMAIN_OF_OSS = ".aliyuncs.com"
_ALMOST_A_SOURCE = re.compile(
    r"(?:(?:oss|https?):/*)?([a-z0-9][a-z0-9-]{1,61}[a-z0-9])"
    r"(?:\.([a-z0-9.-]+\.aliyuncs\.com))?(/[^?#]*)?",
    re.IGNORECASE,
)
"""As other programs name it, or the console shows it."""


def _meant_source(text: str) -> str:
    found = _ALMOST_A_SOURCE.fullmatch(text)
    if found is None:
        return "write oss://BUCKET or oss://BUCKET/PREFIX"
    bucket, endpoint, path = found.groups()
    meant = f"oss://{bucket.lower()}{path or ''}"
    return f"did you mean {meant}" + (f" --endpoint {endpoint}?" if endpoint else "?")


CONFIG_WORD = "config"
"""Names the TOML file where there is no command line but ``-o``, as in fstab."""


def parse_mount_options(text: str, *, sloppy: bool = False) -> dict[str, str]:
    r"""The options of ``-o a,b=c``; what means nothing here is left out.

    A comma that belongs to a value is written ``\\,`` or between double quotes. What nobody knows
    is left out too if ``sloppy``, else it is a SettingsError.
    """
    chosen = {}
    for item in filter(None, (piece.strip() for piece in _MOUNT_OPTION.findall(text))):
        name, has_value, value = item.partition("=")
        option = BY_NAME.get(name.replace("_", "-"))
        if option is None and name == CONFIG_WORD:
            chosen[name] = _unescaped(value)
        elif option is None:
            _check_ignored(name, sloppy=sloppy)
        elif has_value or option.is_switch:
            chosen[option.name] = _unescaped(value) if has_value else "true"
        else:
            raise SettingsError(f"-o {name}: no value is given; write {name}={option.metavar}")
    return chosen


def _check_ignored(name: str, *, sloppy: bool) -> None:
    if name in REFUSED_MOUNT_OPTIONS:
        raise SettingsError(f"-o {name}: {REFUSED_MOUNT_OPTIONS[name]}")
    is_known = name in IGNORED_MOUNT_OPTIONS or name.lower().startswith("x-")
    if not is_known and not sloppy:
        meant = _suggestion(name, [*BY_NAME, CONFIG_WORD, *IGNORED_MOUNT_OPTIONS])
        raise SettingsError(f"-o {name}: no such option; {meant}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or "see ossfs-resume mount --help"


def _unescaped(value: str) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = value[1:-1]
    return re.sub(r"\\([,\\])", r"\1", value)


def read_file(path: Path) -> dict[str, str]:
    """The options of a TOML file, and perhaps an access key, as text. Raises SettingsError.

    ``_`` may stand for ``-`` in their names.
    """
    try:
        text = path.read_text("utf-8-sig")  # some editors begin a text with a mark
        is_public = bool(path.stat().st_mode & 0o077)
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of 5000 digits
        raise SettingsError(f"{path} is not a TOML file: {error}") from error
    values: dict[str, str] = {}
    for written, value in document.items():
        name = written.replace("_", "-")
        if name not in BY_NAME and name not in ACCESS_KEY_NAMES:
            meant = _suggestion(name, [*BY_NAME, *ACCESS_KEY_NAMES])
            raise SettingsError(f"{path}: no such option: {written}; {meant}")
        if name in values:
            raise SettingsError(f"{path}: {name} is there twice")
        values[name] = _as_text(f"{path}: {written}", BY_NAME.get(name), value, text)
    if is_public and "access-key-secret" in values:
        raise SettingsError(f"{path} holds a secret that others may read: chmod 600 {path}")
    return values


def _as_text(where: str, option: Option | None, value: object, text: str) -> str:
    """What would stand on a command line for a value of TOML."""
    is_switch = option is not None and option.is_switch
    if isinstance(value, bool) and is_switch:
        return str(value).lower()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SettingsError(f"{where}: a text or a number is wanted")
    if option is None or not option.is_octal or isinstance(value, str):
        return str(value)
    # 0o077 is 63 by now. Whoever wrote 77, which is another number, has meant the same.
    name = option.name.replace("-", "[-_]")
    if value > 0 and not re.search(rf"""^\s*["']?{name}["']?\s*=\s*0o""", text, re.MULTILINE):
        raise SettingsError(f'{where}: write "0{value}" or 0o{value}, an octal number')
    return f"{value:o}" if isinstance(value, int) else str(value)


def default_file(environment: Mapping[str, str]) -> Path:
    """Where the configuration file is looked for unless one is named. Raises SettingsError."""
    if os.geteuid() == 0:
        return Path("/etc/ossfs-resume/config.toml")
    above = environment.get("XDG_CONFIG_HOME") or home_directory(environment) / ".config"
    return Path(above) / "ossfs-resume/config.toml"


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """The system's cache directory for root, the user's own otherwise. Raises SettingsError."""
    if os.geteuid() == 0:
        return Path("/var/cache/ossfs-resume")
    try:
        above = environment.get("XDG_CACHE_HOME") or home_directory(environment) / ".cache"
    except SettingsError as error:
        raise SettingsError(f"{error}: name a directory with --cache-dir") from None
    return Path(above) / "ossfs-resume"


def resolve(
    flags: Mapping[str, str],
    mount_options: Mapping[str, str],
    environment: Mapping[str, str],
    file: Mapping[str, str],
    file_name: str = "the configuration file",
) -> Options:
    """Take each option from the first source that has it. Raises SettingsError."""
    defaults: dict[str, Callable[[], object]] = {
        "cache-dir": lambda: default_cache_dir(environment),
        "uid": os.getuid,
        "gid": os.getgid,
    }
    values: dict[str, Any] = {}
    for option in OPTIONS:
        candidates = (
            (f"--{option.name}", flags.get(option.name)),
            (f"-o {option.name}", mount_options.get(option.name)),
            (option.environment, environment.get(option.environment, "").strip() or None),
            (f"{file_name}: {option.name}", file.get(option.name)),
        )
        default = defaults.get(option.name, lambda option=option: option.default)
        values[option.field] = _first(option, candidates, default)
    return Options(**values, access_key=_access_key(file, file_name))


def _access_key(file: Mapping[str, str], file_name: str) -> Credentials | None:
    key_id, secret, token = (file.get(name, "").strip() for name in ACCESS_KEY_NAMES)
    if bool(key_id) != bool(secret):
        raise SettingsError(f"{file_name}: access-key-id and access-key-secret belong together")
    key = Credentials(key_id, secret, token)
    if key.flaw:
        raise SettingsError(f"{file_name}: {key.flaw}")
    return key if key_id else None


def _first(
    option: Option,
    candidates: tuple[tuple[str, str | None], ...],
    default: Callable[[], object],
) -> Any:
    """The value of the first source that has one. An empty text is none, and nobody means it, but
    in the environment, where it is the custom to unset a variable so."""
    for origin, text in candidates:
        if text is not None:
            try:
                if not text.strip() or "\0" in text:
                    raise SettingsError("no value is given" if not text.strip() else "it holds NUL")
                return option.parse(text)
            except SettingsError as error:
                raise SettingsError(f"{origin}: {error}") from None
    value = default()
    return None if value is None else option.parse(str(value))
