"""Which ranged requests to send for the parts that somebody wants."""

from collections.abc import Callable, Iterable, Iterator


def unclaimed(missing: Iterable[range], is_claimed: Callable[[int], bool]) -> Iterator[range]:
    """The runs of ``missing`` parts that no request, queued or running, covers yet."""
    for run in missing:
        start = None
        for part in run:
            if is_claimed(part):
                if start is not None:
                    yield range(start, part)
                start = None
            elif start is None:
                start = part
        if start is not None:
            yield range(start, run.stop)


def requests(runs: Iterable[range], request_parts: int) -> Iterator[range]:
    """Cut runs into requests of at most ``request_parts`` parts that end at multiples of it.

    Cuts at fixed places keep the requests of successive windows apart without remainders.
    """
    for run in runs:
        start = run.start
        while start < run.stop:
            stop = min((start // request_parts + 1) * request_parts, run.stop)
            yield range(start, stop)
            start = stop


def parts_in(size_bytes: int, part_size: int) -> int:
    """How many parts a request of about this size has; one at least."""
    return max(size_bytes // part_size, 1)
