"""Errors of several tasks: whoever asked for one thing gets the one reason that it failed for."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the first error of a group instead of the group. A cancellation stays one."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = _first(group)
        if found is None:
            raise
        raise found from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if found is not None and not isinstance(found, trio.Cancelled):
            return found
    return None
