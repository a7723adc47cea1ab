"""A key that may read objects but not list them: known paths open, ls says EACCES."""

import errno
import os
import subprocess
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

NO_LIST = {
    "fail_every": 1,
    "kinds": ["list"],
    "fail_status": 403,
    "fail_code": "AccessDenied",
    "fail_message": "You have no right to access this object because of bucket acl.",
}


@pytest.fixture
def mount(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    deep = emulator.directory / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep" * 100_000)
    (emulator.directory / "top").write_bytes(b"top")
    emulator.faults(**NO_LIST)
    return mounts().start()


def test_it_mounts_with_a_warning(mount: Mount) -> None:
    log = mount.log.read_text()
    assert "listing is not allowed" in log
    assert "known paths open" in log
    assert "request id" in log


def test_known_paths_open_and_read(mount: Mount) -> None:
    assert (mount.point / "top").read_bytes() == b"top"
    assert (mount.point / "a/b/c/file").read_bytes() == b"deep" * 100_000
    assert (mount.point / "a/b/c/file").stat().st_size == 400_000


def test_listing_is_denied_at_the_top_and_below(mount: Mount) -> None:
    for place in ("", "a", "a/b/c"):
        with pytest.raises(PermissionError) as caught:
            os.listdir(mount.point / place)
        assert caught.value.errno == errno.EACCES
    result = subprocess.run(["ls", mount.point], capture_output=True, text=True, check=False)
    assert "Permission denied" in result.stderr


def test_a_name_that_may_be_a_directory_is_never_kept(
    mount: Mount, emulator: EmulatorProcess
) -> None:
    """It has no permission but to be passed through, and may turn into a file at any time."""
    assert (mount.point / "later").stat().st_mode & 0o777 == 0o111
    (emulator.directory / "later").write_bytes(b"here")
    assert (mount.point / "later").read_bytes() == b"here"


def test_where_reading_is_allowed_below_a_prefix_only(
    mount: Mount, emulator: EmulatorProcess
) -> None:
    """HEAD of ``a`` is refused too, but ``a/b/c/file`` is known and may be read."""
    assert (mount.point / "a/b/c/file").read_bytes()
    emulator.faults(**(NO_LIST | {"kinds": ["list", "head"]}))
    assert (mount.point / "elsewhere").stat().st_mode & 0o777 == 0o111


def test_a_wrong_key_is_still_refused(
    mounts: Callable[..., Mount], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "access_key_secret", "wrong")
    emulator.faults(**NO_LIST)
    result = mounts().run()
    assert result.returncode == 1
    assert "SignatureDoesNotMatch" in result.stderr


def test_another_region_s_endpoint_is_still_refused(
    mounts: Callable[..., Mount], emulator: EmulatorProcess
) -> None:
    said = "The bucket you are attempting to access must be addressed using the specified endpoint."
    emulator.faults(**(NO_LIST | {"fail_message": said}))
    result = mounts().run()
    assert result.returncode == 1
    assert "correct --endpoint or --region" in result.stderr
