"""Whether two listings showed the same names, without keeping either."""

from hashlib import blake2b


class NamesDigest:
    """The names of a listing in their order, page by page: all at once they may be 100 MB."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._is_empty = True

    def add(self, names: list[bytes]) -> None:
        """The names that follow."""
        if names:
            self._hash.update(b"/".join(names if self._is_empty else [b"", *names]))
            self._is_empty = False

    def value(self) -> bytes:
        """Of all names so far, however they were divided."""
        return self._hash.digest()
