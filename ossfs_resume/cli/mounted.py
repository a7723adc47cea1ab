"""Mounts, asked by their extended attributes.

Each mount is asked by a process of its own, forked for that. As root it becomes the user who made
the mount, for whom alone the mount answers unless it is for all; and where a mount hangs, the
kernel holds that process and not the command, which goes on, says so, and can be interrupted.

Invariants: what is asked is that very mount (by its number, at every question), so no attribute is
ever set on what lies beneath one that was unmounted; and nothing of it is kept open between two
questions, so nobody is kept from unmounting it.
"""

import errno
import json
import os
import select
import signal
import socket
import struct
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from ossfs_resume.cli.places import Place
from ossfs_resume.errors import InUse, MountError, NoSpace, OssfsError
from ossfs_resume.fuse import health
from ossfs_resume.fuse.health import Health
from ossfs_resume.fuse.mounts import Mount, mounts
from ossfs_resume.wording import lower_first, quoted

PATIENCE_S = 5.0
"""After so long without an answer the mount itself is asked whether it answers at all."""

MANY_NAMES = 20

PREFIX = "user.ossfs."
_LENGTH = struct.Struct("!I")
_NOT_THERE = -1
"""In place of an errno: the path leads to another mount by now."""

_WORDS = {
    errno.EACCES: "permission denied: only users who may write the file, by default its owner, may"
    " do that (see --uid and --control-group of mount)",
    errno.EBUSY: "it is open or pinned",
    errno.ENOSPC: "the cache has no room for it",
    errno.ENODATA: "the mount does not know this; it is of another version of ossfs-resume",
}


class Mounted:
    """One mount. Every question raises MountError if the mount is dead, hangs or is gone."""

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self._is_waiting = False
        self._channel, theirs = socket.socketpair()
        # An interrupt of the child before it ignores them would be handled as the command's own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _serve(mount, self._channel, theirs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def set(self, place: Place, verb: str) -> None:
        """Perform a verb. Raises OssfsError with the reason, which names the path."""
        number, _ = self._ask("set", place.path, verb)
        if number == errno.EBUSY and verb != "evict":
            text = "it is part of a directory's download; name the directory"
            raise InUse(f"{quoted(place.name)}: {text}")
        if number:
            raise self._error(place, number)

    def get(self, place: Place, name: str) -> bytes | None:
        """The value of an attribute; None if it has none. Raises OssfsError."""
        number, value = self._ask("get", place.path, name)
        if number == errno.ENODATA:
            return None
        if number:
            raise self._error(place, number)
        return value.encode("utf-8", "surrogateescape")

    def list(self, directory: str, most: int) -> None:
        """Have the mount know the names of a directory, or the first ``most`` of them; whatever
        keeps it from that will be told of the names themselves."""
        self._ask("list", directory, str(most))

    def close(self) -> None:
        """End the process that asks, wherever the kernel holds it."""
        self._channel.close()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, os.WNOHANG)

    def _ask(self, what: str, path: str, name: str) -> tuple[int, str]:
        """An errno, or 0, and a value. After a failure or an interrupt there are no more answers,
        for the late one would be taken for the next."""
        try:
            if self._is_waiting:
                raise MountError(f"{self._name} has not answered before")
            self._is_waiting = True
            _send(self._channel, (what, path, name))
            while not select.select([self._channel], [], [], PATIENCE_S)[0]:
                self._require_life()
            number, value = _receive(self._channel)
            self._is_waiting = False
        except (EOFError, OSError) as error:
            raise MountError(f"the process that asks {self._name} was ended") from error
        return number, value

    def _require_life(self) -> None:
        """The origin may be slow, the mount may not."""
        if health.ask(self.mount) in (Health.HANGS, Health.DEAD):
            point = quoted(self.mount.mountpoint)
            raise MountError(
                f"{self._name} does not answer; to detach it: ossfs-resume umount --lazy {point}"
            )

    @property
    def _name(self) -> str:
        return f"the mount at {quoted(self.mount.mountpoint)}"

    def _error(self, place: Place, number: int) -> OssfsError:
        point = quoted(self.mount.mountpoint)
        if number in (errno.ENOTCONN, errno.ECONNABORTED):
            again = f"ossfs-resume mount {quoted(self.mount.source)} {point}"
            return MountError(
                f"{quoted(place.name)}: {self._name} is dead; mount it again: {again}"
            )
        if number == _NOT_THERE or self.mount not in mounts():
            return MountError(f"{quoted(place.name)}: {point} is not mounted any more")
        kind = {errno.EBUSY: InUse, errno.ENOSPC: NoSpace}.get(number, MountError)
        words = _WORDS.get(number, lower_first(os.strerror(number)))
        return kind(f"{quoted(place.name)}: {words}")


class MountedAll:
    """The mounts of several places, each asked by one process."""

    def __init__(self) -> None:
        self._mounted: dict[Mount, Mounted] = {}

    def at(self, place: Place) -> Mounted:
        """The one that a place lies on."""
        return self.of(place.mount)

    def of(self, mount: Mount) -> Mounted:
        """The one of the mount table."""
        if mount not in self._mounted:
            self._mounted[mount] = Mounted(mount)
        return self._mounted[mount]

    def prepare(self, places: Iterable[Place]) -> None:
        """Where many names of one directory will be asked, list it, a thousand names a request:
        each alone would cost the mount two. At most as many requests as there are names."""
        in_directory = Counter((place.mount, os.path.dirname(place.path)) for place in places)
        for (mount, directory), count in in_directory.items():
            if count >= MANY_NAMES:
                with suppress(OssfsError):
                    self.of(mount).list(directory, count * 1000)

    def close(self) -> None:
        """End all processes."""
        for mounted in self._mounted.values():
            mounted.close()


@contextmanager
def asked() -> Iterator[MountedAll]:
    """Mounts that can be asked until the block ends."""
    mounted = MountedAll()
    try:
        yield mounted
    finally:
        mounted.close()


# --- the process that asks ---


def _serve(mount: Mount, not_ours: socket.socket, channel: socket.socket) -> NoReturn:
    try:
        not_ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides what an interrupt means
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        _become_user_of(mount)
        while True:
            _send(channel, _answer(mount, *_receive(channel)))
    except BaseException:
        os._exit(0)  # the command has ended


def _become_user_of(mount: Mount) -> None:
    if os.geteuid() == 0 and mount.user_id and not mount.allows_others:
        os.setgroups([])
        os.setresgid(mount.group_id, mount.group_id, mount.group_id)
        os.setresuid(mount.user_id, mount.user_id, mount.user_id)


def _answer(mount: Mount, what: str, path: str, name: str) -> tuple[int, str]:
    try:
        descriptor = os.open(path, os.O_PATH)
        try:
            told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
            if f"mnt_id:\t{mount.mount_id}\n" not in told:
                return _NOT_THERE, ""
            link = f"/proc/self/fd/{descriptor}"
            if what == "get":
                value = os.getxattr(link, PREFIX + name)
                return 0, value.decode("utf-8", "surrogateescape")
            if what == "set":
                os.setxattr(link, PREFIX + name, b"1")
            else:
                with os.scandir(link) as entries:
                    deque(islice(entries, int(name)), maxlen=0)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno or errno.EIO, ""
    return 0, ""


def _send(channel: socket.socket, message: object) -> None:
    text = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(text)) + text)


def _receive(channel: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    return json.loads(_exactly(channel, length))


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = channel.recv(length, socket.MSG_WAITALL)
    if len(data) != length:
        raise EOFError("the other process has ended")
    return data
