"""Which stores of a cache directory, and which of their objects, a command is about."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from ossfs_resume.cache import workbench
from ossfs_resume.cache.failure import DamagedCatalog
from ossfs_resume.cache.records import EntryRecord
from ossfs_resume.cache.workbench import Workbench
from ossfs_resume.cli.options import gather
from ossfs_resume.config import parse_source
from ossfs_resume.errors import CacheError


def cache_directory(cache_dir: str | None, config: str | None) -> Path:
    """The one that the options name. Raises SettingsError."""
    return gather({"cache_dir": cache_dir}, config, ()).cache_dir


def identities(directory: Path, source: str | None) -> list[str]:
    """The stores of a bucket, or all. Raises SettingsError, or CacheError if there is none."""
    found = workbench.identities(directory)
    if source is None:
        return found
    bucket = parse_source(source).bucket
    of_bucket = [identity for identity in found if identity.rpartition("+")[2] == bucket]
    if not of_bucket:
        raise CacheError(f"{directory} has nothing of the bucket {bucket}")
    return of_bucket


def benches(source: str | None, cache_dir: str | None, config: str | None) -> Iterator[Workbench]:
    """The stores of a bucket, or all, each open until the next one. Raises as `identities`;
    CacheError if one cannot be opened."""
    directory = cache_directory(cache_dir, config)
    for identity in identities(directory, source):
        with workbench.opened(directory, identity) as bench:
            yield bench


def path_in(source: str | None) -> str:
    """The key, or what keys start with, that follows the bucket; empty for all of it."""
    return source.partition("://")[2].partition("/")[2] if source else ""


def _paths(path: str) -> Sequence[str]:
    """A path without a final slash may be a key, or a directory, or both."""
    return (path,) if not path or path.endswith("/") else (path, path + "/")


def below(bench: Workbench, path: str) -> Iterator[EntryRecord]:
    """What is cached of a key, or of a directory, or of both."""
    for one in _paths(path):
        for record in bench.keeper.records(one):
            if record.row.bytes_present or record.allocated:
                yield record


def evict(bench: Workbench, path: str) -> int:
    """How many objects were removed; says on stderr how many were not."""
    evicted = sum(map(bench.keeper.evict_below, _paths(path)))
    if kept := sum(1 for _ in below(bench, path)):
        what = "object stays: it is" if kept == 1 else "objects stay: they are"
        click.echo(f"{bench.identity}: {kept} {what} pinned, or in use by a mount", err=True)
    return evicted


def count(directory: Path, identity: str) -> int:
    """How many objects a store has, as far as anybody can know."""
    with suppress(DamagedCatalog), workbench.opened(directory, identity) as bench:
        return sum(1 for _ in below(bench, ""))
    return 0
