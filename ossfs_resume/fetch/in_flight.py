"""Who fetches which part, and in which order: claims, and the queue of what has not begun.

A part that nobody fetches yet is *claimed* by exactly one `Transfer`, which waits in the queue
until `transfers` lets it run. Claims and queue change only between two awaits of one task, so they
always agree.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.scheduler import Priority, Queue


class ClaimQueue:
    """``on_change`` is called when something was queued, or has become more urgent."""

    def __init__(self) -> None:
        self._queue: Queue[Transfer] = Queue()
        self.on_change: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<ClaimQueue {len(self)}>"

    def claim(
        self,
        download: Download,
        missing: Iterable[range],
        request_parts: int,
        priority: Priority,
        at_most: int | None = None,
    ) -> list[Transfer]:
        """Queue requests for those of the ``missing`` parts that no transfer covers yet."""
        free = scheduler.unclaimed(missing, download.claims.__contains__)
        # A list first: submitting changes the claims that the generator looks at.
        wanted = list(islice(scheduler.requests(free, request_parts), at_most))
        transfers = [self._submit(download, parts, priority) for parts in wanted]
        if transfers:
            self.on_change()
        return transfers

    def demand(self, download: Download, wanted: range, request_parts: int) -> Transfer:
        """Somebody waits for ``wanted``: claim what is free, pull forward what is queued.

        Returns the transfer that brings the first of them.
        """
        self.claim(download, [wanted], request_parts, Priority.DEMAND)
        is_changed = False
        for part in wanted:
            transfer = download.claims[part]
            if transfer.is_queued and transfer.priority is not Priority.DEMAND:
                self._promote(transfer, part)
                is_changed = True
        if is_changed:
            self.on_change()
        return download.claims[wanted.start]

    def drop(self, download: Download) -> None:
        """Nobody wants this object any more: only what runs may finish."""
        for transfer in set(download.claims.values()):
            if transfer.is_queued:
                self._drop(transfer)

    def abandon(self, transfers: Iterable[Transfer]) -> None:
        """End those background transfers that nobody waits for; what has arrived is kept."""
        for transfer in transfers:
            if transfer.done or transfer.waiters or transfer.priority is not Priority.BACKGROUND:
                continue
            if transfer.is_queued:
                self._drop(transfer)
            else:
                transfer.scope.cancel()

    # --- for those who let transfers run ---

    def pop(self, lowest: Priority) -> Transfer | None:
        """The next one that is at least as urgent as ``lowest``."""
        return self._queue.pop(lowest)

    def push(self, transfer: Transfer) -> None:
        """Queue a transfer, or queue it again; its parts are claimed."""
        self._queue.push(transfer, transfer.download, transfer.priority)

    def discard(self, transfer: Transfer) -> None:
        """Forget a transfer if it is queued; what it claimed it still claims."""
        self._queue.discard(transfer)

    def _drop(self, transfer: Transfer) -> None:
        """Forget a queued transfer; whoever waits for it looks again."""
        self.discard(transfer)
        transfer.done = True
        transfer.download.unclaim(transfer)
        transfer.wake()
        if transfer.place is not None:
            transfer.place.set()

    def _submit(self, download: Download, parts: range, priority: Priority) -> Transfer:
        transfer = Transfer(download, parts.start, parts.stop, priority)
        download.claim(transfer)
        self.push(transfer)
        return transfer

    def _promote(self, transfer: Transfer, part: int) -> None:
        """Let a queued transfer go first, from ``part`` on; what lies before keeps its place."""
        if part > transfer.first:
            tail = range(part, transfer.stop)
            transfer.stop = part
            self._submit(transfer.download, tail, Priority.DEMAND)
            transfer.wake()
        else:
            transfer.priority = Priority.DEMAND
            self.push(transfer)
