"""The servers that hand out keys, in one: ECS metadata, STS, credentials URI; over real HTTP."""

import hmac
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

SESSION = "metadata-session-token"
ROLE = "reader-role"
_CREDENTIALS = "/latest/meta-data/ram/security-credentials/"


@dataclass(frozen=True)
class Asked:
    """One request: its parameters are those of query and form together."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]


@dataclass
class KeyServer:
    """Issues a new key for each request; use it as a context manager.

    ``lifetime_s`` of what it issues; ``secrets`` by access key id are what AssumeRole may be signed
    with; ``clock_offset_s`` sets its clock apart; ``fail`` answers everything with that status;
    ``drops`` is the method of requests that it ends the connection upon.
    """

    lifetime_s: float = 3600.0
    hardened: bool = True
    is_plain: bool = True
    role: str = ROLE
    fail: int = 0
    drops: str = ""
    clock_offset_s: float = 0.0
    secrets: dict[str, str] = field(default_factory=dict)
    on_issue: Callable[[list[dict[str, Any]]], None] = lambda keys: None
    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._serve(self)

            do_PUT = do_POST = do_GET

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(time.time() + owner.clock_offset_s, usegmt=True)

            def log_message(self, *_: Any) -> None:
                pass

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def all_secrets(self) -> list[str]:
        """Everything it issued that must appear nowhere."""
        return [key[name] for key in self.keys for name in ("access_key_secret", "security_token")]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        parts = urlsplit(handler.path)
        asked = Asked(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            dict(parse_qsl(body.decode())),
            {name.lower(): value for name, value in handler.headers.items()},
        )
        with self._lock:
            self.asked.append(asked)
            if asked.method == self.drops:
                handler.close_connection = True
                return
            status, answer = (self.fail, "{}") if self.fail else self._answer(asked)
        data = answer.encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, asked: Asked) -> tuple[int, str]:
        if asked.method == "POST":
            return self._sts(asked)
        if asked.path == "/latest/api/token":
            return (200, SESSION) if self.hardened and asked.method == "PUT" else (404, "")
        if asked.path.startswith(_CREDENTIALS):
            return self._metadata(asked)
        return 200, json.dumps({"Code": "Success", **self.issue()})

    def _metadata(self, asked: Asked) -> tuple[int, str]:
        if asked.headers.get("x-aliyun-ecs-metadata-token") != SESSION and not self.is_plain:
            return 403, "forbidden"
        name = asked.path.removeprefix(_CREDENTIALS)
        if not name:
            return (200, self.role) if self.role else (404, "")
        return 200, json.dumps({"Code": "Success", "LastUpdated": "now", **self.issue()})

    def _sts(self, asked: Asked) -> tuple[int, str]:
        parameters = asked.query | asked.form
        if parameters["Action"] == "AssumeRole":
            given = parameters.pop("Signature")
            secret = self.secrets.get(parameters["AccessKeyId"], "")
            text = rpc_text(asked.method, parameters)
            digest = hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")
            if b64encode(digest).decode() != given:
                said = f"Specified signature does not match; server string to sign is:{text}"
                return 400, json.dumps({"Code": "SignatureDoesNotMatch", "Message": said})
        return 200, json.dumps({"RequestId": "R", "Credentials": self.issue()})

    def issue(self) -> dict[str, str]:
        """A new key, as the metadata server writes it."""
        number = len(self.keys) + 1
        expires_at = time.time() + self.lifetime_s + self.clock_offset_s
        key = {
            "access_key_id": f"STS.{number}",
            "access_key_secret": f"issued-secret-{number}-0xFEED",
            "security_token": f"issued-token/{number}+==",
            "expires_at": expires_at,
        }
        self.keys.append(key)
        self.on_issue(self.keys)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expires_at))
        return {
            "AccessKeyId": key["access_key_id"],
            "AccessKeySecret": key["access_key_secret"],
            "SecurityToken": key["security_token"],
            "Expiration": f"{stamp}.{int(expires_at % 1 * 1000):03d}Z",
        }


def rpc_text(method: str, parameters: dict[str, str]) -> str:
    """What an RPC request signs, written from the documentation."""
    pairs = (f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(parameters.items()))
    return f"{method}&%2F&{quote('&'.join(pairs), safe='~')}"
