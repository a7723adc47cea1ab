"""Which source the key comes from: the first that has one, or the one that was chosen.

What a service was given for itself alone comes first. The order is otherwise that of the official
tools, with OSS's own names first; the ECS metadata server, which
must be asked to know whether it is there, comes after everything that a look at this machine tells.
The choice is made once. What the chosen source says (a profile, for instance) is read again
whenever a new key is needed, never for each request.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from ossfs_resume.errors import (
    AccessDenied,
    OriginError,
    OriginTimeout,
    SettingsError,
    Unreachable,
)
from ossfs_resume.oss.credentials import aliyun_cli, environment, files, ossutil, shared_file
from ossfs_resume.oss.credentials.fetching import Fetcher
from ossfs_resume.oss.credentials.provider import StaticCredentials
from ossfs_resume.oss.credentials.recipes import EcsRole, Keys, Process, Recipe, keys
from ossfs_resume.oss.credentials.rotating import RotatingCredentials
from ossfs_resume.oss.credentials.sts import Issued
from ossfs_resume.oss.models import Credentials

SERVICE_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""Where systemd shows a service its credentials, and nobody else (systemd.exec(5))."""
SERVICE_FILES = ("oss-access-key-id", "oss-access-key-secret", "oss-session-token")
log = logging.getLogger(__name__)

PROCESS_S = 15.0
"""ossfs's patience with its external program."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where sources look. ``keys`` stood in the options file; ``process`` is a shell command."""

    environment: Mapping[str, str] = field(repr=False)
    keys: Credentials | None = None
    process: str = field(default="", repr=False)
    directory: Path = field(default_factory=files.working_directory)
    """From where relative paths are meant; a background process works in ``/``."""

    @property
    def home(self) -> Path:
        """The user's own directory. Raises Unreadable if there is none."""
        return files.home_directory(self.environment)

    @property
    def ossutil_file(self) -> Path:
        """ossutil's own, for keys and for where a bucket is."""
        return self.home / ".ossutilconfig"


class Source(NamedTuple):
    """A source by name; ``find`` returns None if it is not there and raises SettingsError; it
    blocks. ``fixed``: what it says cannot change while the process lives."""

    name: str
    where: Callable[[Surroundings], str]
    find: Callable[[Surroundings], Recipe | None]
    fixed: bool = False


Provider = StaticCredentials | RotatingCredentials


async def find_credentials(
    surroundings: Surroundings, fetcher: Fetcher, chosen: str = ""
) -> Provider:
    """The provider of the first source that has a key, or of the one named ``chosen``.

    Raises SettingsError if there is none, or if a source is there but makes no sense.
    """
    if chosen and chosen not in NAMES:
        raise SettingsError(f"--credentials: {chosen!r} is none of auto, {', '.join(NAMES)}")
    looked: list[str] = []
    trouble: list[str] = []
    for source in SOURCES:
        if chosen not in ("", source.name):
            continue
        try:
            recipe = await trio.to_thread.run_sync(source.find, surroundings)
        except files.Unreadable as error:
            if chosen:
                raise SettingsError(f"--credentials {chosen}: {error}") from None
            log.debug("no credentials: %s", error)
            trouble.append(str(error))
            continue
        looked.append(source.where(surroundings))
        if recipe is None:
            continue
        provider = _provider(source, recipe, surroundings, fetcher)
        if chosen or not isinstance(recipe, EcsRole) or source.name != "ecs" or recipe.name:
            return provider
        try:
            await provider.current()
            return provider
        except (Unreachable, OriginTimeout):
            pass  # not an ECS instance: only asking can tell
        except OriginError as error:
            trouble.append(str(error))
    if chosen:
        raise SettingsError(f"--credentials {chosen}: no credentials in {looked[0]}")
    text = "; ".join(
        (
            f"no access key found (looked in {', '.join(dict.fromkeys(looked))})",
            "set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or use --signature anonymous for a"
            " public bucket",
            *dict.fromkeys(trouble),
        )
    )
    raise SettingsError(text)


def _provider(
    source: Source, recipe: Recipe, surroundings: Surroundings, fetcher: Fetcher
) -> Provider:
    origin = source.where(surroundings)
    if source.fixed and isinstance(recipe, Keys):
        return StaticCredentials(recipe.credentials, origin)
    how = type(recipe).__name__
    return RotatingCredentials(partial(_issue, source, surroundings, fetcher), f"{origin} ({how})")


async def _issue(source: Source, surroundings: Surroundings, fetcher: Fetcher) -> Issued:
    try:
        recipe = await trio.to_thread.run_sync(source.find, surroundings)
    except SettingsError as error:
        raise AccessDenied(str(error)) from None
    if recipe is None:
        raise AccessDenied(f"no credentials any more in {source.where(surroundings)}")
    return await fetcher.issue(recipe)


def _in_file(
    name: str,
    path: Callable[[Surroundings], Path],
    parse: Callable[[str, Mapping[str, str], str], Recipe | None],
) -> Source:
    find = partial(_read_recipe, path, parse)
    return Source(name, lambda surroundings: str(path(surroundings)), find)


def _read_recipe(
    path: Callable[[Surroundings], Path],
    parse: Callable[[str, Mapping[str, str], str], Recipe | None],
    surroundings: Surroundings,
) -> Recipe | None:
    file = path(surroundings)
    text = files.read(file)
    return None if text is None else parse(text, surroundings.environment, str(file))


def _in_environment(
    name: str,
    where: str,
    find: Callable[[Mapping[str, str]], Recipe | None],
    *,
    fixed: bool = False,
) -> Source:
    return Source(name, lambda _: where, lambda s: find(s.environment), fixed)


def _shared(surroundings: Surroundings) -> Path:
    if given := _named_file(surroundings):
        return surroundings.directory / given
    return surroundings.home / ".alibabacloud/credentials"


def _named_file(surroundings: Surroundings) -> str:
    return surroundings.environment.get("ALIBABA_CLOUD_CREDENTIALS_FILE", "").strip()


def _find_shared(surroundings: Surroundings) -> Recipe | None:
    """A file that was named is one that has to be readable."""
    try:
        return _read_recipe(_shared, shared_file.parse, surroundings)
    except files.Unreadable as error:
        if not _named_file(surroundings):
            raise
        raise SettingsError(f"ALIBABA_CLOUD_CREDENTIALS_FILE: {error}") from None


def _process(surroundings: Surroundings) -> Process | None:
    command = surroundings.process
    return Process(("/bin/sh", "-c", command), PROCESS_S) if command else None


def _service(surroundings: Surroundings) -> Recipe | None:
    """What the unit's LoadCredential= gave; units have other credentials as well."""
    directory = surroundings.environment.get(SERVICE_DIRECTORY)
    if not directory:
        return None
    return keys(directory, *(files.read(Path(directory, name)) or "" for name in SERVICE_FILES))


SOURCES = (
    Source("systemd", lambda _: f"${SERVICE_DIRECTORY}", _service),
    Source(
        "options",
        lambda _: "the options file",
        lambda s: Keys(s.keys) if s.keys else None,
        fixed=True,
    ),
    _in_environment("oss-env", "OSS_ACCESS_KEY_ID", environment.oss_keys, fixed=True),
    _in_environment(
        "env", "ALIBABA_CLOUD_ACCESS_KEY_ID", environment.alibaba_cloud_keys, fixed=True
    ),
    _in_environment("oidc", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", environment.oidc),
    _in_file("ossutil", lambda s: s.ossutil_file, ossutil.parse),
    _in_file("aliyun", lambda s: s.home / ".aliyun/config.json", aliyun_cli.parse),
    Source("shared", lambda s: str(_shared(s)), _find_shared),
    _in_environment("ecs", "the ECS metadata server", environment.ecs),
    _in_environment("uri", "ALIBABA_CLOUD_CREDENTIALS_URI", environment.uri),
    Source("process", lambda _: "--credentials-process", _process),
)
NAMES = tuple(source.name for source in SOURCES)
