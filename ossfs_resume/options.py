"""Every option once: name, help, parser, default, and the environment variable that gives it.

The command line, ``-o``, the environment and the TOML file are all read through this table, so that
they cannot differ. A new option is a line here and a field of `config.Options`; a secret is never
one, since command lines and mount options are visible to everybody.

From the text of an option to its value; every error says what would have been right.

Which option it was and where its text came from is added by who knows it (`config`).
"""

import grp
import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ossfs_resume.errors import SettingsError
from ossfs_resume.quantities import parse_digits, parse_seconds, parse_size

PART_SIZE_SMALLEST = 64 * 1024
REQUEST_SIZE_LARGEST = 1 << 30

NO_WORKING_DIRECTORY = "the working directory has been removed; write a path that begins with /"

_OCTAL = re.compile(r"(0o)?[0-7]{1,6}")
_PERCENTAGE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,20})?)%")


def choice(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise SettingsError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def parse(text: str) -> int:
        try:
            value = parse_digits(text)
        except ValueError:
            raise SettingsError(f"{text!r} is not a whole number") from None
        if not lowest <= value <= highest:
            raise SettingsError(f"{text} is not between {lowest} and {highest}")
        return value

    return parse


def permissions(text: str) -> int:
    """Permission bits as chmod takes them."""
    if not _OCTAL.fullmatch(text):
        raise SettingsError(f"{text!r} is not an octal number such as 022")
    value = int(text, 8)
    if value > 0o777:
        raise SettingsError(f"{text} is not between 0 and 777")
    return value


def _identity(kind: str, find: Callable[[str], int]) -> Callable[[str], int]:
    number = integer(0, 2**32 - 2)  # the last one means "leave it alone" to the kernel

    def parse(text: str) -> int:
        if text.isdigit():
            return number(text)
        try:
            return find(text)
        except (KeyError, ValueError):
            raise SettingsError(f"there is no {kind} {text!r}") from None

    return parse


user = _identity("user", lambda name: pwd.getpwnam(name).pw_uid)
"""A user by number or by name."""

group = _identity("group", lambda name: grp.getgrnam(name).gr_gid)
"""A group by number or by name."""


def part_size(text: str) -> int:
    """A power of two."""
    size = request_size(text)
    if size & (size - 1):
        raise SettingsError(f"{text} is not a power of two of at least 64KiB")
    return size


def request_size(text: str) -> int:
    """A size of one part at least, and of what fits into memory."""
    size = parse_size(text)
    if not PART_SIZE_SMALLEST <= size <= REQUEST_SIZE_LARGEST:
        raise SettingsError(f"{text} is not between 64KiB and 1GiB")
    return size


def disk_space(text: str) -> int:
    """Bytes of a disk. A few of them are never what somebody means who gives no unit."""
    size = parse_size(text)
    if 0 < size < 1 << 20 and text.strip().isdigit():
        raise SettingsError(f"{size} bytes? Write {size}GiB, or whatever unit is meant")
    return size


def free_space(text: str) -> int | float:
    """Bytes as a whole number, a percentage as a fraction from 0 to 1."""
    if match := _PERCENTAGE.fullmatch(text.strip()):
        return float(match[1]) / 100
    if "%" in text:
        raise SettingsError(f"{text!r} is not a percentage from 0% to below 100%")
    size = parse_size(text)
    if 0 < size < 1 << 20 and text.strip().isdigit():
        raise SettingsError(f"{size} bytes? Write {size}GiB or {size}%")
    return size


def path(text: str) -> Path:
    """Absolute: a mount in the background leaves the directory that it was started in."""
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise SettingsError(f"{text}: no home directory is known for that")
    try:
        return Path(os.path.abspath(expanded))
    except FileNotFoundError:
        raise SettingsError(f"{text}: {NO_WORKING_DIRECTORY}") from None


def rate(text: str) -> float:
    """Bytes a second, with or without ``/s``."""
    return float(parse_size(text.removesuffix("/s")))


def switch(text: str) -> bool:
    """On or off; the name alone means on."""
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

    @property
    def is_octal(self) -> bool:
        """Whether its digits are those of permissions."""
        return self.parse is permissions


GROUPS = {
    "The bucket": (
        Option("endpoint", "OSS endpoint; default: from ~/.ossutilconfig, else from the region",
               metavar="URL", environment="OSS_ENDPOINT"),
        Option("region", "OSS region; default: from the endpoint, else from ~/.ossutilconfig",
               metavar="NAME", environment="OSS_REGION"),
        Option("addressing", "where requests name the bucket: auto, virtual, path or cname (for a"
               " custom domain)",
               choice("auto", "virtual", "path", "cname"), "auto", "STYLE"),
        Option("signature", "v4, v1 (for old private clouds) or anonymous (for public buckets)",
               choice("v4", "v1", "anonymous"), "v4", "VERSION"),
        Option("credentials", "where the access key comes from: auto, or only from systemd,"
               " options, oss-env, env, oidc, ossutil, aliyun, shared, ecs, uri or process",
               default="auto", metavar="NAME"),
        Option("credentials-process", "shell command that prints an access key as JSON",
               metavar="COMMAND"),
        Option("proxy", "HTTP proxy; default: from https_proxy, http_proxy and no_proxy",
               metavar="URL|none"),
        Option("ca-bundle", "PEM file with further certificates to trust", path, metavar="FILE"),
        Option("request-payer", "pay for the requests, for buckets whose owner does not", switch,
               "false", is_switch=True),
        Option("allow-empty", "mount a prefix even if there is no key below it", switch, "false",
               is_switch=True),
    ),
    "The cache": (
        Option("cache-dir", "where parts are kept, on a local disk; default:"
               " /var/cache/ossfs-resume for root, ~/.cache/ossfs-resume for others",
               path, None, "DIR", "OSSFS_CACHE_DIR"),
        Option("cache-size", "the most that the cache may occupy; default: unlimited",
               disk_space, metavar="SIZE"),
        Option("cache-free", "what the cache leaves free on its disk; default: 10%, at most 10GiB",
               free_space, metavar="SIZE|%"),
        Option("part-size", "unit of resume: a power of two from 64KiB", part_size, "256KiB",
               "SIZE"),
        Option("offline", "send no requests: show and read what is cached", switch, "false",
               is_switch=True),
    ),
    "Downloads": (
        Option("request-size", "largest ranged request", request_size, "4MiB", "SIZE"),
        Option("connections", "parallel ranged requests", integer(1, 1000), "32", "N"),
        Option("read-ahead", "bytes fetched ahead of a sequential reader", parse_size, "128MiB",
               "SIZE"),
        Option("bandwidth", "limit for all downloads; 0: no limit", rate, "0", "RATE"),
        Option("background-bandwidth", "limit for downloads that nobody waits for; 0: no limit",
               rate, "0", "RATE"),
        Option("timeout", "how long a reader waits without progress; 0: until the network is back",
               parse_seconds, "60", "SECONDS"),
    ),
    "Names and permissions": (
        Option("metadata-ttl", "how long a listing is trusted", parse_seconds, "60", "SECONDS"),
        Option("negative-ttl", "how long a name is taken to be missing", parse_seconds, "5",
               "SECONDS"),
        Option("uid", "owner of all files, by number or name; default: the mounting user", user,
               metavar="USER"),
        Option("gid", "group of all files, by number or name; default: the mounting user's", group,
               metavar="GROUP"),
        Option("umask", "permission bits that are removed", permissions, "0022", "MODE"),
        Option("file-mode", "permissions of files, before the umask; 0755 to run programs",
               permissions, "0644", "MODE"),
        Option("dir-mode", "permissions of directories, before the umask", permissions, "0755",
               "MODE"),
        Option("control-group", "group whose members may start downloads and pin (with"
               " --allow-other); it becomes the group of all files", group, metavar="GROUP"),
        Option("allow-other", "let other users read", switch, "false", is_switch=True),
        Option("noexec", "let nobody run programs from the mount", switch, "false", is_switch=True),
    ),
    "The log": (
        Option("log-level", "debug, info, warning or error",
               choice("debug", "info", "warning", "error"), "info", "LEVEL"),
        Option("log-format", "text or json", choice("text", "json"), "text", "FORMAT"),
        Option("log-file", "append the log to this file; default: stderr in the foreground, else"
               " the system log", path, metavar="FILE"),
    ),
}  # fmt: skip
"""By the headings that help shows them under."""

UNITS = """\
SIZE is a number of bytes, or has a unit: 64KiB, 8M, 1.5GiB; K, M, G, T and P are powers of 1024.
RATE is a SIZE per second. SECONDS is a number, or has a unit: 90s, 5m, 1h. MODE is octal."""

OPTIONS = tuple(option for options in GROUPS.values() for option in options)

BY_NAME = {option.name: option for option in OPTIONS}

ACCESS_KEY_NAMES = ("access-key-id", "access-key-secret", "session-token")
"""What the file may hold beside the options."""

IGNORED_MOUNT_OPTIONS = frozenset(
    "async atime auto big_writes comment default_permissions defaults dev diratime dirsync exec"
    " fsname group iversion kernel_cache lazytime loud mand _netdev noatime noauto nodev nodiratime"
    " nofail noiversion nolazytime nomand nonempty norelatime nostrictatime nosuid nosymfollow"
    " nouser nousers owner relatime ro rw silent strictatime subtype suid sync user users".split()
)
"""What fstab and mount(8) may pass along. ``ro`` too: the mount refuses every write by itself,
and the kernel's own flag would refuse the setfattr that starts a download as well. Links lead to
nowhere outside of the mount, whether or not they are followed."""

_SELINUX = "labels of SELinux are not supported; leave it out"

REFUSED_MOUNT_OPTIONS = {
    "allow_root": "root alone cannot be let in; use allow_other, or leave it out",
    "remount": "options cannot be changed while it is mounted; unmount it and mount it again",
    "bind": "mount it once, then bind that place to the other",
    **dict.fromkeys(("context", "fscontext", "defcontext", "rootcontext"), _SELINUX),
}
"""What would mean something that is not so, and why."""
