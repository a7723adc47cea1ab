"""Taking turns at a database: many changes in one commit, and time for those who ask.

In company, with a rollback journal, a commit keeps every reader of every process out from its first
flush to its last: SQLite takes the exclusive lock before it flushes the journal. And who waits
looks again after ever longer pauses, at last of 100 ms. So, on a disk that takes 80 ms for a flush,
two processes whose commits followed each other at once kept questions out for seconds, all that
wait for questions with them (opening a file, what others have fetched), and each other as well.

Hence, in company only:

- Who waits for another process looks every few milliseconds (`insist`).
- Before its commit a writer pauses, while all may ask, and other writers of this process add what
  they have to its transaction. None of them returns before the commit; if it fails, each is told.
- After its commit it leaves other processes the time to begin.

A pause is a part of what the last commit took: next to nothing where flushes take no time.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ossfs_resume.cache.failure import is_locked
from ossfs_resume.cache.schema import PATIENCE_S

_LOOK_S = 0.003
_PAUSE_SHARE, _LONGEST_PAUSE_S = 4, 0.05
_GAP_SHARE = 4
"""How much of such a pause the gap between two commits is: several looks of another process."""


def insist(connection: sqlite3.Connection, statement: str, patience_s: float = PATIENCE_S) -> None:
    """Execute ``statement``, as soon as no other process is in the way. Raises sqlite3.Error."""
    deadline = time.monotonic() + patience_s
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while not _is_done(connection, statement, deadline):
            time.sleep(_LOOK_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")


def _is_done(connection: sqlite3.Connection, statement: str, deadline: float) -> bool:
    try:
        connection.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        if not is_locked(error) or time.monotonic() >= deadline:
            raise
        return False
    return True


def _is_undone(writer: sqlite3.Connection) -> bool:
    """Undo what one has added; False if SQLite has undone all of it, or cannot."""
    with suppress(sqlite3.Error):
        writer.execute("ROLLBACK TO joined")
        writer.execute("RELEASE joined")
        return True
    return False


class _Group:
    """A transaction that others may still join, until it ``is_over``."""

    def __init__(self, writer: sqlite3.Connection, *, is_durable: bool) -> None:
        self.writer = writer
        self.is_durable = is_durable
        self.is_over = False
        self.error: BaseException | None = None


class Turns:
    """Of the writers of this process. ``lock`` is held while one of them works, and during a
    commit; not while a transaction waits for others to join."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._group: _Group | None = None
        self._counting, self._durable_in_line = threading.Lock(), 0
        self._is_full = False
        self._pause_s = self._ended_at = 0.0

    def begin_anew(self) -> None:
        """The connection is a new one."""
        self._is_full = False

    @contextmanager
    def nobody_writing(self) -> Iterator[None]:
        """Hold ``lock`` while there is no transaction."""
        with self.lock:
            self._changed.wait_for(lambda: self._group is None)
            yield

    @contextmanager
    def transaction(
        self,
        require: Callable[[], tuple[sqlite3.Connection, bool]],
        *,
        durable: bool,
        patience_s: float | None,
    ) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or nothing if it raises.

        ``require`` gives the connection, and whether it is in company. Raises sqlite3.Error, or
        TimeoutError if the turn did not come within ``patience_s`` seconds.
        """
        deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
        self._enter(durable=durable, patience_s=patience_s)
        try:
            if durable and self._group is not None and not self._group.is_durable:
                self._changed.wait_for(lambda: self._group is None)
            if self._group is not None:
                yield from self._join(self._group)
            else:
                yield from self._lead(*require(), durable, None if patience_s is None else deadline)
        finally:
            self.lock.release()

    def _enter(self, *, durable: bool, patience_s: float | None) -> None:
        self._count(durable)
        try:
            if not self.lock.acquire(timeout=-1 if patience_s is None else patience_s):
                raise TimeoutError(f"others have been changing it for {patience_s:g} seconds")
        finally:
            self._count(-durable)

    def _count(self, durable: int) -> None:
        with self._counting:
            self._durable_in_line += durable

    def _lead(
        self,
        writer: sqlite3.Connection,
        is_shared: bool,
        durable: bool,
        deadline: float | None,
    ) -> Iterator[sqlite3.Connection]:
        group = _Group(writer, is_durable=durable or (is_shared and self._durable_in_line > 0))
        self._begin(group, is_shared=is_shared, deadline=deadline)
        try:
            yield writer
            if is_shared:
                self._let_others_join(group)
            self._commit(group)
        except BaseException as error:
            group.error = error
            raise
        finally:
            self._group, group.is_over = None, True
            self._changed.notify_all()
            if writer.in_transaction:
                writer.execute("ROLLBACK")

    def _begin(self, group: _Group, *, is_shared: bool, deadline: float | None) -> None:
        writer = group.writer
        if group.is_durable != self._is_full:
            writer.execute(f"PRAGMA synchronous = {'FULL' if group.is_durable else 'NORMAL'}")
            self._is_full = group.is_durable
        if not is_shared:
            writer.execute("BEGIN IMMEDIATE")
            return
        gap = self._ended_at + self._pause_s / _GAP_SHARE - time.monotonic()
        if gap > 0:
            time.sleep(gap)
        left = PATIENCE_S if deadline is None else deadline - time.monotonic()
        insist(writer, "BEGIN IMMEDIATE", left)

    def _let_others_join(self, group: _Group) -> None:
        self._group = group
        deadline = time.monotonic() + self._pause_s
        while (left := deadline - time.monotonic()) > 0:
            self._changed.wait(left)
        if group.error is not None:
            raise group.error

    def _commit(self, group: _Group) -> None:
        began = time.monotonic()
        group.writer.execute("COMMIT")
        self._ended_at = time.monotonic()
        self._pause_s = min((self._ended_at - began) / _PAUSE_SHARE, _LONGEST_PAUSE_S)

    def _join(self, group: _Group) -> Iterator[sqlite3.Connection]:
        writer = group.writer
        if group.error is not None:  # there is no transaction to join
            raise group.error.with_traceback(None)
        writer.execute("SAVEPOINT joined")
        try:
            yield writer
            writer.execute("RELEASE joined")
        except BaseException as error:
            if not _is_undone(writer):
                group.error = error
            raise
        self._changed.wait_for(lambda: group.is_over)
        if group.error is not None:
            raise group.error.with_traceback(None)
