"""Every option once: name, help, parser, default, and the environment variable that gives it.

The command line, ``-o``, the environment and the TOML file are all read through this table, so that
they cannot differ. A new option is a line here and a field of `config.Options`; a secret is never
one, since command lines and mount options are visible to everybody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ossfs_resume.option_parsers import (
    choice,
    disk_space,
    free_space,
    group,
    integer,
    part_size,
    path,
    permissions,
    rate,
    request_size,
    switch,
    user,
)
from ossfs_resume.quantities import parse_seconds, parse_size


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
        Option("endpoint", "OSS endpoint; default: from the region", metavar="URL",
               environment="OSS_ENDPOINT"),
        Option("region", "OSS region; default: from the endpoint", metavar="NAME",
               environment="OSS_REGION"),
        Option("addressing", "auto, virtual, path or cname",
               choice("auto", "virtual", "path", "cname"), "auto", "STYLE"),
        Option("signature", "v4, v1 (old private clouds) or anonymous (public buckets)",
               choice("v4", "v1", "anonymous"), "v4", "VERSION"),
        Option("credentials", "where the access key comes from: auto, or one source: systemd,"
               " options, oss-env, env, oidc, ossutil, aliyun, shared, ecs, uri or process",
               default="auto", metavar="NAME"),
        Option("credentials-process", "shell command that prints an access key as JSON",
               metavar="COMMAND"),
        Option("proxy", "HTTP proxy, or none; default: from https_proxy, http_proxy and no_proxy",
               metavar="URL"),
        Option("ca-bundle", "PEM file with further certificates to trust", path, metavar="FILE"),
        Option("request-payer", "pay for requests to a bucket whose owner does not", switch,
               "false", is_switch=True),
        Option("allow-empty", "mount a prefix below which there is no key", switch, "false",
               is_switch=True),
    ),
    "The cache": (
        Option("cache-dir", "where parts are kept; default: /var/cache/ossfs-resume for root,"
               " ~/.cache/ossfs-resume for others", path, None, "DIR", "OSSFS_CACHE_DIR"),
        Option("cache-size", "most the cache may take on its disk; default: unlimited",
               disk_space, metavar="SIZE"),
        Option("cache-free", "what the cache leaves free of its disk; default: 10%, at most 10GiB",
               free_space, metavar="SIZE|%"),
        Option("part-size", "unit of resume: a power of two from 64KiB", part_size, "256KiB",
               "SIZE"),
        Option("offline", "send no request: show and read what the cache has", switch, "false",
               is_switch=True),
    ),
    "Downloads": (
        Option("request-size", "largest ranged request", request_size, "4MiB", "SIZE"),
        Option("connections", "parallel ranged requests", integer(1, 1000), "32", "N"),
        Option("read-ahead", "bytes fetched ahead of a sequential reader", parse_size, "128MiB",
               "SIZE"),
        Option("bandwidth", "bytes per second of all downloads; 0 for no limit", rate, "0", "RATE"),
        Option("background-bandwidth", "bytes per second of downloads that nobody waits for", rate,
               "0", "RATE"),
        Option("timeout", "a reader's patience without progress; 0 waits for the network",
               parse_seconds, "60", "SECONDS"),
    ),
    "Names and permissions": (
        Option("metadata-ttl", "how long listings are believed", parse_seconds, "60", "SECONDS"),
        Option("negative-ttl", "how long a missing name is believed", parse_seconds, "5",
               "SECONDS"),
        Option("uid", "owner of all files, by number or name; default: the mounting user", user,
               metavar="USER"),
        Option("gid", "group of all files, by number or name; default: the mounting user's", group,
               metavar="GROUP"),
        Option("umask", "permission bits taken away", permissions, "0022", "MODE"),
        Option("file-mode", "permissions of files, before the umask; 0755 to run programs",
               permissions, "0644", "MODE"),
        Option("dir-mode", "permissions of directories, before the umask", permissions, "0755",
               "MODE"),
        Option("control-group", "whose members may start downloads and pin (with --allow-other):"
               " the group of all files, which it may set attributes of", group, metavar="GROUP"),
        Option("allow-other", "let other users see the mount", switch, "false", is_switch=True),
        Option("noexec", "let no program on the mount be run", switch, "false", is_switch=True),
    ),
    "The log": (
        Option("log-level", "debug, info, warning or error",
               choice("debug", "info", "warning", "error"), "info", "LEVEL"),
        Option("log-format", "text or json", choice("text", "json"), "text", "FORMAT"),
        Option("log-file", "append the log to this file; default: stderr, or the system's journal",
               path, metavar="FILE"),
    ),
}  # fmt: skip
"""By the headings that help shows them under."""

UNITS = """\
SIZE is a number of bytes, or one with K, M, G, T or P (64KiB, 8M, 1.5GiB: all of 1024); RATE is a
SIZE for each second. SECONDS are a number, or one with s, m or h. MODE is octal."""

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
