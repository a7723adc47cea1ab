"""What all directories of one tree have in common."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.metadata_requests import Origin
from ossfs_resume.vfs.metadata_store import MetadataStore
from ossfs_resume.vfs.models import TreeSettings
from ossfs_resume.vfs.nodes import FileNode, Node, doubt

log = logging.getLogger(__name__)

NANOSECONDS = 1_000_000_000

MAX_HIDDEN_NAMED = 1000
"""Hidden keys named in the log, each once; more are only counted,"""

MAX_HIDDEN_COUNTED = 100_000
"""up to here: a bucket may have millions, and an origin may invent more."""


class HiddenKeys:
    """The keys that no path can express: counted, and named in the log once."""

    def __init__(self) -> None:
        self._keys: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, keys: list[str]) -> None:
        """These keys were left out of a listing."""
        for key in keys:
            number = hash(key)
            if number in self._keys or len(self._keys) >= MAX_HIDDEN_COUNTED:
                continue
            if len(self._keys) < MAX_HIDDEN_NAMED:
                log.warning("no path can express the key %r: it is hidden", key)
            self._keys.add(number)


@dataclass(slots=True)
class Shared:
    """The services that directories use, and their counters.

    ``wall_clock`` gives Unix seconds. ``on_doubt`` is told the inodes that the kernel knows and
    whose names may lead elsewhere by now; it must not block.
    """

    table: InodeTable
    origin: Origin
    settings: TreeSettings
    wall_clock: Callable[[], float]
    on_doubt: Callable[[int], None]
    memory: MetadataStore = field(default_factory=MetadataStore)
    hidden: HiddenKeys = field(default_factory=HiddenKeys)
    lookups: int = 0
    lookups_without_request: int = 0

    def now_ns(self) -> int:
        """The wall clock in Unix nanoseconds."""
        return int(self.wall_clock() * NANOSECONDS)

    def doubt(self, node: Node) -> None:
        """Ask before the name of ``node`` is taken for it again, and have the kernel ask us."""
        doubt(node)
        if node.lookups:
            self.on_doubt(node.inode)

    def replace(self, old: Node | None, new: Node | None, asked_at: float) -> None:
        """A request of ``asked_at`` found ``new`` (None: nothing) where ``old`` was known.

        An object that a directory displaced may be confirmed under its shadow's name by the same
        request; a request that was sent later knows better. Neither is superseded by this one.
        """
        if old is None or old is new:
            return
        if old.confirmed_at >= asked_at:
            return
        if isinstance(old, FileNode):
            old.supersede()
        self.doubt(old)
