"""Commands of ours, forked from a process that has imported them already.

To import the package and what it needs takes several times as long as all else that a mount does
at its start, and the tests mount many hundreds of times. What is forked here is a process like any
other, with the environment, the directory and the standard descriptors that it is given; only its
command line in /proc is the launcher's. So whoever looks at that, or sets what Python or the loader
reads at its start, runs the program itself.

Invariant: the launcher has one thread and nothing open but its channel, so nothing is inherited.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress

_STARTUP_VARIABLES = ("LD_", "PYTHON", "MALLOC_", "GLIBC_")
_MESSAGE_BYTES = 1 << 18
TIMEOUT_S = 60.0


def run(
    arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run ``ossfs-resume ARGUMENTS`` to its end and to the end of its output.

    ``environment`` comes on top of ours. Raises subprocess.TimeoutExpired, having killed it.
    """
    if any(name.startswith(_STARTUP_VARIABLES) for name in environment):
        return subprocess.run(
            [sys.executable, "-m", "ossfs_resume", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    with ExitStack() as stack:
        message = {"arguments": [*arguments], "environment": os.environ | environment}
        outputs = _send(stack, message | {"directory": os.getcwd()})
        status, out, err = _read_all(arguments, outputs, timeout_s)
    return subprocess.CompletedProcess(arguments, int(status.split()[1]), out, err)


class Running:
    """A command that runs; ``pid`` may be killed. `end` returns how it ended and what it said."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._stack = ExitStack()
        message = {"arguments": [*arguments], "environment": os.environ | environment}
        self._outputs = _send(self._stack, message | {"directory": os.getcwd()})
        self._status = _read_until(self._outputs[0], b" ")
        self._said = b""
        self.pid = int(self._status)

    def line(self) -> str:
        """The next line on stderr, once it is there."""
        line = _read_until(self._outputs[2], b"\n")
        self._said += line
        return line.decode()

    def kill(self) -> None:
        """Kill it -9, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and that of its output."""
        with self._stack:
            begun = (self._status, b"", self._said)
            status, out, err = _read_all(self._arguments, self._outputs, timeout_s, begun)
        return subprocess.CompletedProcess(self._arguments, int(status.split()[1]), out, err)


def _send(stack: ExitStack, message: object) -> list[int]:
    """Ask for a process; its status, standard output and standard error can be read from these."""
    pipes = [os.pipe() for _ in range(3)]
    for reader, _ in pipes:
        stack.callback(os.close, reader)
    writers = [writer for _, writer in pipes]
    try:
        socket.send_fds(_channel(), [json.dumps(message).encode()], writers)
    finally:
        for writer in writers:
            os.close(writer)
    return [reader for reader, _ in pipes]


def _read_until(descriptor: int, end: bytes) -> bytes:
    text = b""
    while not text.endswith(end) and (one := os.read(descriptor, 1)):
        text += one
    return text


def _read_all(
    arguments: Sequence[str],
    outputs: list[int],
    timeout_s: float,
    begun: Sequence[bytes] = (b"", b"", b""),
) -> Iterator[str]:
    texts = dict(zip(outputs, begun, strict=True))
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for output in outputs:
            selector.register(output, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready:
                os.kill(int(texts[outputs[0]].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout_s)
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                texts[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
    return (text.decode() for text in texts.values())


_launchers: dict[int, socket.socket] = {}
"""By process: a fork of ours does not share its parent's."""


def _channel() -> socket.socket:
    if os.getpid() not in _launchers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptor = theirs.fileno()
            command = [sys.executable, "-P", __file__, str(descriptor)]
            process = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL)
        process.returncode = 0  # it ends with us, and nobody waits for it
        _launchers[os.getpid()] = ours
    return _launchers[os.getpid()]


def _serve(channel: socket.socket) -> None:
    import gc

    import ossfs_resume.app
    import ossfs_resume.checkup
    import ossfs_resume.cli.cache
    import ossfs_resume.cli.check
    import ossfs_resume.cli.get
    import ossfs_resume.cli.get_run
    import ossfs_resume.cli.materialize
    import ossfs_resume.cli.mount
    import ossfs_resume.cli.serving
    import ossfs_resume.cli.status
    import ossfs_resume.cli.umount
    import ossfs_resume.cli.verbs
    import ossfs_resume.cli.warming  # noqa: F401

    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those below
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            _report_one(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _report_one(message: dict[str, object], descriptors: list[int]) -> None:
    """Fork once more, for only a parent learns how a process ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status, *outputs = descriptors
    child = os.fork()
    if child == 0:
        _become(message, outputs)
    os.write(status, f"{child} ".encode())
    for output in outputs:
        os.close(output)
    _, how = os.waitpid(child, 0)
    os.write(status, str(os.waitstatus_to_exitcode(how)).encode())
    os._exit(0)


def _become(message: dict, outputs: list[int]) -> None:  # type: ignore[type-arg]
    for descriptor, output in enumerate(outputs, 1):
        os.dup2(output, descriptor)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    os.chdir(message["directory"])
    os.environ.clear()
    os.environ.update(message["environment"])
    sys.argv[:] = ["ossfs-resume", *message["arguments"]]
    from ossfs_resume.cli import main

    status: object = 1
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
