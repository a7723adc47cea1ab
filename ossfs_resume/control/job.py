"""One accepted request to fetch a key, or everything below a prefix."""

from dataclasses import dataclass, field

import trio


@dataclass(eq=False, slots=True)
class Job:
    """One accepted request. ``path`` is a key, or a prefix that ends in ``/`` or is empty."""

    number: int
    path: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def is_prefix(self) -> bool:
        """Whether it names everything below a directory."""
        return is_prefix(self.path)

    def covers(self, key: str) -> bool:
        """Whether the object of this key is or will be fetched by this job."""
        return key.startswith(self.path) if self.is_prefix else key == self.path


def is_prefix(path: str) -> bool:
    """A job's path names a directory if it ends in ``/`` or is the whole bucket."""
    return not path or path.endswith("/")
