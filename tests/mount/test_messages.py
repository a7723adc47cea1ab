"""Each cause of trouble has its own line with the remedy, at the mount and for a reader."""

import errno
import os
import re
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse


@pytest.mark.parametrize(
    ("status", "code", "said", "remedy"),
    [
        (400, "PublicEndpointForbidden", "", "--addressing cname, or use the -internal endpoint"),
        (403, "SecondLevelDomainForbidden", "", "--addressing virtual or cname"),
        (403, "PermanentRedirect", "", "use the bucket's own region"),
        (
            403,
            "AccessDenied",
            "The bucket you are attempting to access must be addressed using the specified"
            " endpoint. Please send all future requests to this endpoint.",
            "correct --endpoint or --region",
        ),
        (403, "TransferAccelerationDisabled", "", "turn transfer acceleration on"),
        (403, "UserDisable", "", "account and billing pages"),
        (403, "InvalidAccessKeyId", "", "the key from OSS_ACCESS_KEY_ID is unknown or disabled"),
        (
            403,
            "SignatureDoesNotMatch",
            "",
            "check the secret of the key from OSS_ACCESS_KEY_ID",
        ),
        (403, "SecurityTokenExpired", "", "supply a new one"),
        (403, "InvalidSecurityToken", "", "supply a new one"),
        (404, "NoSuchBucket", "", "check the bucket's name"),
    ],
)
def test_refusals_at_the_mount(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    status: int,
    code: str,
    said: str,
    remedy: str,
) -> None:
    emulator.faults(fail_every=1, fail_status=status, fail_code=code, fail_message=said or "No.")
    mount = mounts()
    result = mount.run()
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"ossfs-resume: oss://sample: {code}: ")
    assert remedy in line
    assert "request id" in line
    assert not os.path.ismount(mount.point)


def test_a_clock_that_is_wrong_is_corrected(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "x").write_bytes(b"content")
    emulator.faults(clock_ahead_s=7200)
    mount = mounts().start()
    assert (mount.point / "x").read_bytes() == b"content"
    assert re.search(r"clock is wrong by -7(19|20)\d s; set it", mount.log.read_text())


def test_a_clock_that_cannot_be_corrected_is_told(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    emulator.faults(fail_every=1, fail_status=403, fail_code="RequestTimeTooSkewed")
    result = mounts().run()
    assert result.returncode == 1
    assert "set this machine's clock" in result.stderr


@pytest.mark.parametrize(
    ("status", "code", "number"),
    [
        (403, "AccessDenied", errno.EACCES),
        (403, "InvalidAccessKeyId", errno.EACCES),
        (403, "InvalidObjectState", errno.EIO),
        (403, "UserDisable", errno.EACCES),
        (400, "InvalidArgument", errno.EIO),
    ],
)
def test_what_a_reader_is_told(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], status: int, code: str, number: int
) -> None:
    """An errno; the rest is in ``user.ossfs.error`` and in the log, with OSS's identifiers."""
    (emulator.directory / "x").write_bytes(b"content" * 100_000)
    mount = mounts().start()
    os.listdir(mount.point)
    emulator.faults(fail_every=1, kinds=["get"], fail_status=status, fail_code=code)
    with pytest.raises(OSError) as caught:
        (mount.point / "x").read_bytes()
    assert caught.value.errno == number
    error = mount.attribute("x", "error")
    log = mount.log.read_text()
    for text in (error, log):
        assert f"{code}: A fault on request. (HTTP {status}, EC 0099-00000001, request id " in text
    assert log.count(code) <= 3


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "ServiceUnavailable"),
        (500, "InternalError"),
        (429, "TotalQpsLimitExceeded"),
        (400, "RequestTimeout"),
        (403, "RequestTimeTooSkewed"),
    ],
)
def test_what_a_reader_is_told_who_waited_in_vain(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], status: int, code: str
) -> None:
    """Nothing came in time; why, as OSS put it, is told all the same."""
    (emulator.directory / "x").write_bytes(b"content" * 100_000)
    mount = mounts(options=["--timeout", "3"]).start()
    os.listdir(mount.point)
    emulator.faults(fail_every=1, kinds=["get"], fail_status=status, fail_code=code)
    with pytest.raises(OSError) as caught:
        (mount.point / "x").read_bytes()
    assert caught.value.errno in (errno.ETIMEDOUT, errno.EIO)
    said = f"{code}: A fault on request. (HTTP {status}, EC 0099-00000001, request id "
    assert said in mount.attribute("x", "error")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchKey"), (412, "PreconditionFailed"), (416, "InvalidRange")],
)
def test_what_a_reader_is_told_of_a_version_that_is_gone(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], status: int, code: str
) -> None:
    (emulator.directory / "x").write_bytes(b"content" * 100_000)
    mount = mounts().start()
    os.listdir(mount.point)
    emulator.faults(fail_every=1, kinds=["get"], fail_status=status, fail_code=code)
    with pytest.raises(OSError) as caught:
        (mount.point / "x").read_bytes()
    assert caught.value.errno == errno.ESTALE
    said = f"{code}: A fault on request. (HTTP {status}, EC 0099-00000001, request id "
    assert said in mount.attribute("x", "error")
    assert said in mount.log.read_text()


def test_a_name_that_no_object_may_have_is_not_there(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    """OSS refuses a key that begins with a backslash, be it only asked for."""
    mount = mounts().start()
    emulator.faults(fail_every=1, kinds=["head"], fail_status=400, fail_code="InvalidObjectName")
    assert not (mount.point / "\\x").exists()


def test_what_ls_is_told(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> None:
    mount = mounts().start()
    emulator.faults(fail_every=1, kinds=["list"], fail_status=403, fail_code="AccessDenied")
    for _ in range(3):
        with pytest.raises(PermissionError):
            os.listdir(mount.point)
    log = mount.log.read_text()
    assert "AccessDenied: A fault on request. (HTTP 403, EC 0099-00000001, request id " in log
    assert log.count("AccessDenied") == 1


def test_what_ls_is_told_by_a_gateway_that_knows_no_bucket(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    """ENOENT would end a listing as if nothing came after it: an empty directory, no error."""
    (emulator.directory / "d").mkdir()
    (emulator.directory / "d/x").write_bytes(b"content")
    mount = mounts().start()
    os.listdir(mount.point)
    emulator.faults(fail_every=1, kinds=["list"], fail_status=404, fail_code="NoSuchKey")
    with pytest.raises(OSError) as caught:
        os.listdir(mount.point / "d")
    assert caught.value.errno == errno.EIO
    assert "NoSuchKey: A fault on request. (HTTP 404, EC 0099-" in mount.log.read_text()
    emulator.faults()
    assert os.listdir(mount.point / "d") == ["x"]


def test_an_error_is_over_when_the_object_is_there(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "x").write_bytes(b"content")
    mount = mounts().start()
    emulator.faults(fail_every=1, kinds=["get"], fail_status=403, fail_code="AccessDenied")
    with pytest.raises(PermissionError):
        (mount.point / "x").read_bytes()
    assert "AccessDenied" in mount.attribute("x", "error")
    emulator.faults()
    assert (mount.point / "x").read_bytes() == b"content"
    with pytest.raises(OSError) as caught:
        mount.attribute("x", "error")
    assert caught.value.errno == errno.ENODATA
