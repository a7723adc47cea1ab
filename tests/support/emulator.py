"""The emulator as a real process of its own, for tests of anything that talks to OSS."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import ossfs_resume

# Run from its file: the whole command line takes longer to import, and its start is not tested.
COMMAND = (
    sys.executable,
    "-P",
    str(Path(ossfs_resume.__file__).parent / "cli" / "emulate.py"),
)
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of one HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class EmulatorProcess:
    """``ossfs-resume emulate`` over ``directory``; use it as a context manager or call `stop`.

    The constructor returns once the endpoint listens. All methods block. With ``anonymous`` the
    endpoint accepts unsigned requests beside signed ones.
    """

    access_key_id = "emulator"
    access_key_secret = "emulator-secret"
    region = "cn-hangzhou"

    def __init__(
        self,
        directory: Path,
        *,
        bucket: str = "sample",
        anonymous: bool = False,
        port: int = 0,
        options: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.bucket = bucket
        self.port = port
        self._options = [*(["--anonymous"] if anonymous else []), *options]
        self.start()

    def start(self) -> None:
        """Start the process; after `stop` or `kill` it gets the same port again."""
        reader, writer = os.pipe()
        command = [*COMMAND, str(self.directory)]
        command += ["--bucket", self.bucket, "--port", str(self.port), "--ready-fd", str(writer)]
        command += ["--region", self.region, *self._options]
        self.process = subprocess.Popen(
            command,
            pass_fds=[writer],
            stdout=subprocess.DEVNULL,
            env=os.environ | self.environment,
        )
        os.close(writer)
        with os.fdopen(reader) as ready:
            line = ready.readline()
        if not line:
            raise RuntimeError(f"the emulator ended with status {self.process.wait()}")
        self.port = int(line)

    @property
    def url(self) -> str:
        """The endpoint, e.g. ``http://127.0.0.1:34567``; an IP address, hence path style."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that the endpoint's clients need as credentials."""
        return {
            "OSS_ACCESS_KEY_ID": self.access_key_id,
            "OSS_ACCESS_KEY_SECRET": self.access_key_secret,
        }

    def faults(self, **faults: object) -> None:
        """Set the faults in force, replacing all others; without arguments lift them.

        Names and values are those of `ossfs_resume.emulator.faults.Faults`.
        """
        answer = self.request("PUT", "/-/faults", body=json.dumps(faults).encode())
        if answer.status != 200:
            raise ValueError(answer.body.decode())

    def accounts(self, *accounts: Mapping[str, object]) -> None:
        """Accept these temporary keys, and no others, beside the account of the process.

        Names and values are those of `ossfs_resume.emulator.control.Accounts.issue`.
        """
        answer = self.request("PUT", "/-/accounts", body=json.dumps(accounts).encode())
        if answer.status != 204:
            raise ValueError(answer.body.decode())

    def statistics(self) -> dict[str, Any]:
        """``requests`` by kind, ``bytes`` in all, ``bytes_by_key``, ``open_streams``."""
        return json.loads(self.request("GET", "/-/statistics").body)

    def requests(self, kind: str = "") -> list[dict[str, Any]]:
        """The request log, oldest first, of one kind if given (get, head, list, put, delete)."""
        log = json.loads(self.request("GET", "/-/requests").body)
        return [record for record in log if kind in ("", record["kind"])]

    def reset(self) -> None:
        """Lift all faults, clear counters and log."""
        self.faults()
        self.request("POST", "/-/reset")

    def renew(self) -> None:
        """As it was at first: running, with an empty bucket, no faults and nothing counted."""
        if self.process.poll() is None and self.statistics()["open_streams"]:
            self.kill()  # it still counts what it sends to clients that are gone
        if self.process.poll() is not None:
            self.start()
        self.faults()
        self.accounts()
        self.reset()
        for path in self.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def target(self, key: str | bytes = "") -> str:
        """The request target of a key in path style, every byte but ASCII names encoded."""
        return f"/{self.bucket}/{quote(key, safe='')}"

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send one request whose target goes out untouched; unsigned unless headers say so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target, body=body or None, headers=dict(headers or {}))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def stop(self) -> int:
        """End the process as a user would and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End the process as a crash would."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
