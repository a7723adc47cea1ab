"""One accepted request to fetch a key, or everything below a prefix."""

from dataclasses import dataclass, field

import trio

from ossfs_resume.vfs.names import is_prefix


@dataclass(eq=False, slots=True)
class Job:
    """One accepted request. ``path`` is a key, or a prefix that ends in ``/`` or is empty."""

    number: int
    path: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    fetching: set[str] = field(default_factory=set)
    """The keys whose objects it is fetching at this moment."""
    failed: int = 0
    """How many objects it gave up."""

    @property
    def is_prefix(self) -> bool:
        """Whether it names everything below a directory."""
        return is_prefix(self.path)

    def covers(self, key: str) -> bool:
        """Whether the object of this key, or all below this prefix, is fetched by this job."""
        return key.startswith(self.path) if self.is_prefix else key == self.path

    def concerns(self, prefix: str) -> bool:
        """Whether it fetches anything below this prefix."""
        return self.path.startswith(prefix) or self.covers(prefix)

    def is_fetching_below(self, prefix: str) -> bool:
        """Whether it is fetching an object below this prefix at this moment."""
        return any(key.startswith(prefix) for key in self.fetching)
