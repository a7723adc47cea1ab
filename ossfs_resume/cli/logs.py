"""Where the log goes and what a line looks like.

The event loop logs, and must not wait for a pipe that nobody empties or a log disk that hangs. So a
thread writes the lines. Whoever logs waits for it as long as it gets on, so that a line is there
when what it tells of is over; once it does not, nobody waits, lines are kept up to a number, and
those that are lost are counted and told.
"""

import errno
import json
import logging
import logging.handlers
import os
import stat
import threading
import time
from collections import deque
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from ossfs_resume.cli.lines import printable
from ossfs_resume.errors import SettingsError
from ossfs_resume.wording import counted, quoted, reason

SYSTEM_LOG = Path("/dev/log")

FIELDS = ("key", "first", "stop", "bytes", "seconds", "status", "code", "request_id", "ec")
"""What a JSON line may hold beside its text: a range is ``[first, stop)``, in bytes."""

PACKAGE = "ossfs_resume"

PATIENCE_S = 0.2
"""How long whoever logs waits for a line to be written, before the log counts as stuck."""

MOST_LINES = 10_000
END_PATIENCE_S = 2.0

log = logging.getLogger(__name__)


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message, fields, and the traceback if there is one."""
        fields = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            if (value := getattr(record, name, None)) is not None:
                fields[name] = value
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class LineFormatter(logging.Formatter):
    """One line of text a record, whatever names it tells of; a traceback follows on its own."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """In UTC, ISO 8601."""
        return _utc(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return printable(super().formatMessage(record))


class PrivateFile(logging.FileHandler):
    """A file that nobody else may read, if it is made here: names and addresses stand in it."""

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_append_to
        )

    def reopen(self) -> None:
        """Go on in a new file of the same name. Raises OSError, and goes on in the old one."""
        former = self.setStream(self._open())
        if former is not None:
            with suppress(OSError):
                former.close()


def _append_to(path: str, _flags: int) -> int:
    """A descriptor of the file. Raises OSError, also for a link that somebody else has laid."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    with suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask
        return descriptor
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EACCES, "it is a link of another user")
    # Without waiting for whoever reads it, if it is a pipe with a name.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


class Spool(logging.Handler):
    """Writes through ``target`` in a thread of its own, which begins with the first line: the
    process may fork until then. ``chosen_level`` is what the user asked for."""

    def __init__(self, target: logging.Handler, chosen_level: int) -> None:
        super().__init__()
        self.chosen_level = chosen_level
        self._target = target
        self._changed = threading.Condition()
        self._lines: deque[logging.LogRecord] = deque()
        self._thread: threading.Thread | None = None
        self._is_writing = self._is_stuck = self._is_closed = self._shall_reopen = False
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over, and wait a moment for it to be written."""
        record.msg, record.args = record.getMessage(), None
        with self._changed:
            if self._is_closed or len(self._lines) >= MOST_LINES:
                self._lost += 1
                return
            self._lines.append(record)
            self._begin()
            may_wait = self._thread not in (None, threading.current_thread())
            if may_wait and not self._is_stuck:
                self._is_stuck = not self._changed.wait_for(self._is_done, PATIENCE_S)

    def reopen(self) -> None:
        """Begin a new file before the next line. Never waits."""
        with self._changed:
            self._shall_reopen = True
            self._begin()

    def close(self) -> None:
        """Wait, at most two seconds, until all is written."""
        with self._changed:
            if self._thread is None:
                while self._lines:
                    self._target.handle(self._lines.popleft())
            self._changed.wait_for(self._is_done, END_PATIENCE_S)
            self._is_closed = True
            self._changed.notify_all()
            if self._is_done():
                self._target.close()
        super().close()

    def _is_done(self) -> bool:
        return not (self._lines or self._is_writing or self._shall_reopen)

    def _begin(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._write, name="log", daemon=True)
            with suppress(RuntimeError):  # no thread is to be had: the next line tries again
                thread.start()
                self._thread = thread
        self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                if not self._lines:
                    self._is_stuck = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._is_done() or self._is_closed)
                if self._is_done():
                    return
                lines, self._lines = list(self._lines), deque()
                lost, self._lost = self._lost, 0
                shall_reopen, self._shall_reopen = self._shall_reopen, False
                self._is_writing = True
            if shall_reopen:
                self._reopen_target()
            for record in lines:
                self._target.handle(record)
            if lost:
                self._tell(f"{counted(lost, 'line')} lost: the log could not be written")

    def _reopen_target(self) -> None:
        if isinstance(self._target, PrivateFile):
            try:
                self._target.reopen()
                self._tell("the log was opened anew", logging.INFO)
            except OSError as error:
                self._tell(f"cannot open the log anew: {reason(error)}")

    def _tell(self, text: str, level: int = logging.WARNING) -> None:
        """From the thread itself, which nobody else could serve."""
        if log.isEnabledFor(level):
            self._target.handle(log.makeRecord(log.name, level, __file__, 0, text, (), None))


def configure(level: str, log_format: str, file: Path | None, *, background: bool) -> None:
    """Send the package's log to ``file``, else to stderr, else to the system's log.

    Raises SettingsError if the file cannot be written.
    """
    handler = _handler(file, background=background)
    handler.setFormatter(JsonFormatter() if log_format == "json" else _text(handler))
    root = logging.getLogger()
    for former in _spools():
        former.close()
    root.handlers = [Spool(handler, logging.getLevelNamesMapping()[level.upper()])]
    root.setLevel(logging.WARNING)
    logging.getLogger(PACKAGE).setLevel(level.upper())


def goes_nowhere(file: Path | None) -> bool:
    """Whether nobody would keep what a mount in the background logs."""
    return file is None and not SYSTEM_LOG.exists()


def reopen() -> None:
    """Go on in a new file of the same name, after the old one was moved away: for SIGHUP. Does
    nothing for another log than a file. Never waits for a disk."""
    for spool in _spools():
        spool.reopen()


def toggle_debug() -> None:
    """Log everything, or again what ``--log-level`` says (info if that is debug): for SIGUSR2."""
    ours = logging.getLogger(PACKAGE)
    was_debug = ours.level == logging.DEBUG
    for spool in _spools():
        chosen = max(spool.chosen_level, logging.INFO)
        ours.setLevel(logging.INFO)
        level = chosen if was_debug else logging.DEBUG
        log.info("the log level is %s now", logging.getLevelName(level).lower())
        ours.setLevel(level)


def _spools() -> list[Spool]:
    return [one for one in logging.getLogger().handlers if isinstance(one, Spool)]


def _handler(file: Path | None, *, background: bool) -> logging.Handler:
    if file is not None:
        try:
            return PrivateFile(file)
        except OSError as error:
            raise SettingsError(f"--log-file {quoted(file)}: {error.strerror}") from error
    if not background:
        return logging.StreamHandler()
    if SYSTEM_LOG.exists():
        return logging.handlers.SysLogHandler(str(SYSTEM_LOG), facility="daemon")
    return logging.StreamHandler()


def _text(handler: logging.Handler) -> logging.Formatter:
    if isinstance(handler, logging.handlers.SysLogHandler):
        return LineFormatter("ossfs-resume[%(process)d]: %(message)s")
    return LineFormatter("%(asctime)s %(levelname)-7s %(message)s")
