"""Where an object goes: from its key and the destination to the path of a file.

Whoever puts objects into a bucket chooses their keys. Nothing that a key says leads out of the
destination, and what no path can express is refused by name.
"""

import os
from hashlib import blake2b
from pathlib import Path

from ossfs_resume.errors import TargetError
from ossfs_resume.wording import quoted

PART_SUFFIX = ".ossfs-part"
"""Ends the name of what belongs to a download that is not complete."""

NAME_BYTES = 255
"""Longest name of a file (NAME_MAX of every usual file system)."""


def below(directory: Path, name: str, key: str) -> Path:
    """The file for ``name``, the rest of ``key`` below a prefix or its last component.

    Raises TargetError for what would not lie below ``directory``, or cannot be a file there.
    """
    parts = name.split("/")
    if not parts[-1]:
        raise TargetError(f"{quoted(key)} ends in '/': it stands for a directory, not for a file")
    for part in parts:
        _check(part, key)
    return directory.joinpath(*parts)


def _check(part: str, key: str) -> None:
    if part in ("", ".", ".."):
        raise TargetError(f"{quoted(key)} has the name {part!r} in it, which leads nowhere")
    if "\0" in part:
        raise TargetError(f"{quoted(key)} holds NUL, which no file name does")
    if len(os.fsencode(part)) > NAME_BYTES:
        raise TargetError(f"{quoted(key)} has a name of more than {NAME_BYTES} bytes in it")
    if part.endswith(PART_SUFFIX):
        raise TargetError(f"{quoted(key)} ends like what is not complete yet ({PART_SUFFIX})")


def part_folder(target: Path) -> Path:
    """The directory beside ``target`` for what has arrived of it; its name is never too long."""
    name = os.fsencode(target.name)
    if len(name) + len(PART_SUFFIX) > NAME_BYTES:
        name = _short(name)
    return target.with_name(os.fsdecode(name) + PART_SUFFIX)


def part_folder_in(directory: Path, target: Path) -> Path:
    """The same in a directory that serves many targets."""
    return directory / (os.fsdecode(_short(os.fsencode(os.path.abspath(target)))) + PART_SUFFIX)


def _short(name: bytes) -> bytes:
    """A name for a long one or a path: its end, and a hash of the whole."""

    end = name.rpartition(b"/")[2][-100:]
    return end + b"-" + blake2b(name, digest_size=12).hexdigest().encode()
