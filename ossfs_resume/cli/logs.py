"""Where the log goes and what a line looks like."""

import json
import logging
import logging.handlers
import time
from pathlib import Path

from ossfs_resume.cli.lines import printable
from ossfs_resume.errors import SettingsError

SYSTEM_LOG = Path("/dev/log")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message, and the traceback if there is one."""
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class LineFormatter(logging.Formatter):
    """One line of text a record, whatever names it tells of; a traceback follows on its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return printable(super().formatMessage(record))


def configure(level: str, log_format: str, file: Path | None, *, background: bool) -> None:
    """Send the package's log to ``file``, else to stderr, else to the system's log.

    Raises SettingsError if the file cannot be written.
    """
    handler = _handler(file, background=background)
    handler.setFormatter(JsonFormatter() if log_format == "json" else _text(handler))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("ossfs_resume").setLevel(level.upper())


def _handler(file: Path | None, *, background: bool) -> logging.Handler:
    if file is not None:
        try:
            return logging.FileHandler(file)
        except OSError as error:
            raise SettingsError(f"--log-file {file}: {error.strerror}") from error
    if not background:
        return logging.StreamHandler()
    if SYSTEM_LOG.exists():
        return logging.handlers.SysLogHandler(str(SYSTEM_LOG), facility="daemon")
    return logging.StreamHandler()


def _text(handler: logging.Handler) -> logging.Formatter:
    if isinstance(handler, logging.handlers.SysLogHandler):
        return LineFormatter("ossfs-resume[%(process)d]: %(message)s")
    return LineFormatter("%(asctime)s %(levelname)-7s %(message)s")
