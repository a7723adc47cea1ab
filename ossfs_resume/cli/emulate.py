"""``ossfs-resume emulate``: an OSS endpoint over a directory, for trying and testing."""

import errno
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ossfs_resume.errors import SettingsError
from ossfs_resume.quantities import parse_size
from ossfs_resume.wording import quoted

if TYPE_CHECKING:
    from ossfs_resume.emulator.faults import Faults
    from ossfs_resume.emulator.server import Settings
    from ossfs_resume.emulator.signature import Account

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_DEFAULT_KEY_ID = "emulator"
_DEFAULT_SECRET = "emulator-secret"


@click.command()
@click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--bucket", default="", help="Bucket name; default: the directory's, or 'sample'.")
@click.option("--region", default="cn-hangzhou", show_default=True, help="Region of the bucket.")
@click.option(
    "--access-key-id",
    envvar="OSS_ACCESS_KEY_ID",
    default=_DEFAULT_KEY_ID,
    show_default=True,
    help="Access key whose signatures are accepted.",
)
@click.option(
    "--access-key-secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the secret; default: $OSS_ACCESS_KEY_SECRET, else 'emulator-secret'.",
)
@click.option("--anonymous", is_flag=True, help="Accept unsigned requests as well.")
@click.option("--allow-v1", is_flag=True, help="Accept signatures of version 1 as well.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=VALUE",
    help="A fault to simulate, such as latency_ms=30 or fail_every=5; may be repeated.",
)
@click.option("--versioned", is_flag=True, help="Keep old versions of objects that are replaced.")
@click.option("--invent-keys", default=0, metavar="N", help="Add N objects below invented/.")
@click.option(
    "--invent-object",
    "invented",
    multiple=True,
    metavar="KEY=SIZE",
    help="Add an object of this size, whose content is its own offsets; may be repeated.",
)
@click.option("--ready-fd", type=int, help="Write the port to this descriptor once it listens.")
def emulate(
    directory: Path,
    host: str,
    port: int,
    bucket: str,
    region: str,
    access_key_id: str,
    access_key_secret_file: Path | None,
    anonymous: bool,
    allow_v1: bool,
    faults: tuple[str, ...],
    versioned: bool,
    invent_keys: int,
    invented: tuple[str, ...],
    ready_fd: int | None,
) -> None:
    """Serve DIR as an OSS bucket until Ctrl-C."""
    try:
        from ossfs_resume.emulator.object_facts import Inventions
        from ossfs_resume.emulator.server import Settings, serve
        from ossfs_resume.emulator.signature import Account
    except ImportError as error:
        raise click.ClickException(
            f"the emulator needs {error.name}: pip install '.[emulator]' in the checkout"
        ) from error
    secret = _secret(access_key_secret_file)
    token = os.environ.get("OSS_SESSION_TOKEN", "").strip()
    settings = Settings(
        directory=directory,
        bucket=_bucket_name(bucket, directory),
        account=Account(
            access_key_id,
            secret,
            region,
            security_token=token,
            anonymous=anonymous,
            allows_v1=allow_v1,
        ),
        host=host,
        port=port,
        faults=_parse_faults(faults),
        versioned=versioned,
        inventions=Inventions(invent_keys, dict(map(_invented, invented))),
    )
    try:
        status = serve(settings, _announce(settings, ready_fd))
    except OSError as error:
        raise click.ClickException(_refused(directory, host, port, error)) from error
    sys.exit(status)


def _refused(directory: Path, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken; choose another with --port"
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"cannot serve {quoted(directory)} on {host}:{port}: {why}"


def _secret(path: Path | None) -> str:
    secret = path.read_text() if path else os.environ.get("OSS_ACCESS_KEY_SECRET", "")
    return secret.strip() or _DEFAULT_SECRET


def _bucket_name(given: str, directory: Path) -> str:
    if given and not _BUCKET_NAME.fullmatch(given):
        raise click.BadParameter(f"{given!r} is no bucket name", param_hint="--bucket")
    name = given or directory.resolve().name
    return name if _BUCKET_NAME.fullmatch(name) else "sample"


def _invented(text: str) -> tuple[bytes, int]:
    key, _, size = text.rpartition("=")
    try:
        return key.encode(), parse_size(size)
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--invent-object") from error


def _parse_faults(settings: tuple[str, ...]) -> "Faults":
    """Read NAME=VALUE, the value as JSON or, failing that, as text."""
    from ossfs_resume.emulator.faults import Faults

    pairs = [setting.partition("=") for setting in settings]
    try:
        return Faults.from_json({name: _value(name, text) for name, _, text in pairs})
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error


def _value(name: str, text: str) -> object:
    if name in ("kinds", "mischief"):
        return text.split(",")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _announce(settings: "Settings", ready_fd: int | None) -> Callable[[int], None]:
    """Return what says on standard output that the endpoint listens, and how to mount it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host

    def announce(port: int) -> None:
        url = f"http://{host}:{port}"
        source = f"oss://{settings.bucket}"
        command = f"ossfs-resume mount --endpoint {url} --region {settings.account.region}"
        print(
            f"{url} serves {source}; to mount it: {_credentials(settings.account)}"
            f"{command} {source} MOUNTPOINT",
            flush=True,
        )
        if ready_fd is not None:
            os.write(ready_fd, b"%d\n" % port)
            os.close(ready_fd)

    return announce


def _credentials(account: "Account") -> str:
    """What must stand before the command; a secret that is not the well-known one stays hidden."""
    if account.access_key_secret != _DEFAULT_SECRET:
        return ""
    return f"OSS_ACCESS_KEY_ID={account.access_key_id} OSS_ACCESS_KEY_SECRET={_DEFAULT_SECRET} "


if __name__ == "__main__":
    emulate()
