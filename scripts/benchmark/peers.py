"""The contestants: how each mounts the bucket, in the foreground, as its manual recommends.

Each keeps what it reads, if it can: that is what we are for. One that is not installed is left out,
and named. Add one by adding a function that gives its command.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from origin import BUCKET

KEY_ID, SECRET, REGION = "benchmark", "benchmark-secret", "cn-hangzhou"

_PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""What pip installed comes first."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one mount goes: the origin's address and certificate, and fresh folders."""

    url: str
    certificate: Path
    point: Path
    cache: Path
    settings: Path


@dataclass(frozen=True, slots=True)
class Command:
    """What to run; it stays in the foreground until it is unmounted."""

    words: Sequence[object]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """A mount program. ``keeps`` says whether a later mount finds what this one read."""

    name: str
    program: str
    command: Callable[[Place], Command]
    keeps: bool = True

    @property
    def is_installed(self) -> bool:
        return shutil.which(self.program, path=_PATH) is not None


def _ours(place: Place) -> Command:
    words = [sys.executable, "-m", "ossfs_resume", "mount", "-f", "--endpoint", place.url]
    words += ["--region", REGION, "--cache-dir", place.cache, "--ca-bundle", place.certificate]
    words += ["--log-level", "warning", f"oss://{BUCKET}", place.point]
    keys = {"OSS_ACCESS_KEY_ID": KEY_ID, "OSS_ACCESS_KEY_SECRET": SECRET}
    return Command(words, keys)


def _rclone(place: Place) -> Command:
    settings = place.settings / "rclone.conf"
    settings.write_text(
        f"[origin]\ntype = s3\nprovider = Other\nendpoint = {place.url}\nforce_path_style = true\n"
        f"access_key_id = {KEY_ID}\nsecret_access_key = {SECRET}\n"
    )
    words = ["rclone", "--config", settings, "mount", f"origin:{BUCKET}", place.point]
    words += ["--vfs-cache-mode", "full", "--cache-dir", place.cache]
    return Command([*words, "--read-only", "--ca-cert", place.certificate])


def _s3fs_options(place: Place, program: str) -> Command:
    secret = place.settings / f"passwd-{program}"
    secret.write_text(f"{KEY_ID}:{SECRET}\n")
    secret.chmod(0o600)
    options = f"url={place.url},use_cache={place.cache},passwd_file={secret},ro"
    options += ",no_check_certificate,ssl_verify_hostname=0,use_path_request_style"
    return Command([program, BUCKET, place.point, "-f", "-o", options])


def _ossfs2(place: Place, *, with_cache: bool) -> Command:
    settings = place.settings / "ossfs2.conf"
    lines = [f"--oss_endpoint={place.url}", f"--oss_bucket={BUCKET}", "--ro=true"]
    lines += [f"--oss_access_key_id={KEY_ID}", f"--oss_access_key_secret={SECRET}"]
    if with_cache:
        lines += [f"--disk_data_cache_dir={place.cache}", "--disk_data_cache_size=16384"]
    settings.write_text("\n".join(lines) + "\n")
    return Command(["ossfs2", "mount", place.point, "-f", "-c", settings])


def _mountpoint(place: Place) -> Command:
    words = ["mount-s3", BUCKET, place.point, "--foreground", "--read-only"]
    words += ["--endpoint-url", place.url, "--force-path-style", "--region", "us-east-1"]
    keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    return Command([*words, "--cache", place.cache], keys)


OURS = Peer("ossfs-resume", sys.executable, _ours)

PEERS = (
    OURS,
    Peer("rclone", "rclone", _rclone),
    Peer("s3fs", "s3fs", lambda place: _s3fs_options(place, "s3fs")),
    Peer("ossfs", "ossfs", lambda place: _s3fs_options(place, "ossfs")),
    Peer("ossfs2", "ossfs2", lambda place: _ossfs2(place, with_cache=False), keeps=False),
    Peer("ossfs2 with cache", "ossfs2", lambda place: _ossfs2(place, with_cache=True)),
    Peer("mount-s3", "mount-s3", _mountpoint),
)
LEFT_OUT = "gcsfuse speaks neither dialect of this origin"


def environment(command: Command) -> dict[str, str]:
    """Without proxies, and without other certificates than the origin's."""
    unwanted = ("proxy", "ca_bundle", "ssl_cert")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.lower() for word in unwanted)
    }
    return {**kept, "PATH": _PATH, **command.environment}
