"""What ``get`` is told to download: addresses of objects, and lists of them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ossfs_resume.errors import SettingsError
from ossfs_resume.wording import quoted, reason


@dataclass(frozen=True, slots=True)
class Sources:
    """All of one bucket. ``names`` are below the prefix ``base``."""

    bucket: str
    keys: Sequence[str]
    base: str = ""
    names: Sequence[str] = ()

    @property
    def are_many(self) -> bool:
        """Whether the destination has to be a directory."""
        return len(self.keys) > 1 or bool(self.names)


def parse_sources(sources: Sequence[str], from_file: str | None, *, is_recursive: bool) -> Sources:
    """Raises SettingsError."""
    lines = [] if from_file is None else list(_lines(from_file))
    names = [line for line in lines if not line.startswith("oss://")]
    found = [_split(source) for source in sources]
    found += [_split(line) for line in lines if line.startswith("oss://")]
    if not found:
        raise SettingsError("no source is given: write oss://BUCKET/KEY")
    bucket = found[0][0]
    if any(other != bucket for other, _ in found):
        raise SettingsError("the sources are of several buckets: give one command for each")
    if names:
        if len(found) != 1 or is_recursive:
            raise SettingsError("names in --from-file are below one SOURCE, without --recursive")
        return Sources(bucket, [], found[0][1], names)
    for _, key in found:
        if not is_recursive and (not key or key.endswith("/")):
            raise SettingsError(f"oss://{bucket}/{key} is no object: give --recursive for a prefix")
    return Sources(bucket, [key for _, key in found])


def _split(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if not separator or scheme != "oss" or not bucket:
        raise SettingsError(f"{quoted(text)} is not an object; write oss://BUCKET/KEY")
    return bucket, key


def _lines(path: str) -> Iterator[str]:
    try:
        if path == "-":
            text = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                text = file.read()
    except OSError as error:
        raise SettingsError(f"--from-file: {reason(error)}") from error
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        if line := line.removesuffix("\r"):
            yield line
