"""The official SDK ``oss2`` finds in the emulator the service it knows, with V4 signatures."""

from collections.abc import Iterator
from pathlib import Path

import oss2
import pytest

from support.emulator import EmulatorProcess

pytestmark = pytest.mark.peers


@pytest.fixture
def bucket(endpoint: EmulatorProcess) -> Iterator[oss2.Bucket]:
    auth = oss2.AuthV4(endpoint.access_key_id, endpoint.access_key_secret)
    session = oss2.Session()
    yield oss2.Bucket(auth, endpoint.url, endpoint.bucket, session=session, region=endpoint.region)
    session.session.close()


@pytest.mark.parametrize("iterator", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
@pytest.mark.parametrize("max_keys", [1, 3, 1000])
def test_list(
    bucket: oss2.Bucket, contents: dict[str, bytes], iterator: type, max_keys: int
) -> None:
    """Both listings, page by page, give every key with its size, in byte order."""
    listed = [(found.key, found.size) for found in iterator(bucket, max_keys=max_keys)]
    assert listed == [(key, len(contents[key])) for key in sorted(contents, key=str.encode)]


@pytest.mark.parametrize("iterator", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
def test_list_one_level(bucket: oss2.Bucket, iterator: type) -> None:
    """With prefix and delimiter one level is shown, directories as prefixes."""
    found = list(iterator(bucket, prefix="a/", delimiter="/", max_keys=2))
    assert [(entry.key, entry.is_prefix()) for entry in found] == [
        ("a/../", True),
        ("a//", True),
        ("a/1", False),
        ("a/deep/", True),
    ]


def test_head_and_get(bucket: oss2.Bucket, contents: dict[str, bytes]) -> None:
    """Every object, odd keys included, has its size and its content; the SDK checks the CRC."""
    for key, content in contents.items():
        head = bucket.head_object(key)
        assert head.content_length == len(content)
        assert head.etag == bucket.get_object_meta(key).etag
        assert bucket.get_object(key).read() == content


def test_get_range(bucket: oss2.Bucket, contents: dict[str, bytes]) -> None:
    """A byte range is what was asked for, with If-Match in the SDK's unquoted form."""
    headers = {"If-Match": bucket.head_object("large.bin").etag}
    part = bucket.get_object("large.bin", byte_range=(1000, 200_999), headers=headers)
    assert part.read() == contents["large.bin"][1000:201_000]
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.get_object("large.bin", headers={"If-Match": "other"})


def test_resumable_download(
    bucket: oss2.Bucket, contents: dict[str, bytes], endpoint: EmulatorProcess, tmp_path: Path
) -> None:
    """Many parts in parallel make the same file, each byte fetched once."""
    target = tmp_path / "large.bin"
    oss2.resumable_download(
        bucket,
        "large.bin",
        str(target),
        store=oss2.ResumableDownloadStore(root=str(tmp_path)),
        multiget_threshold=100 * 1024,
        part_size=100 * 1024,
        num_threads=4,
    )
    assert target.read_bytes() == contents["large.bin"]
    ranges = [record["range"] for record in endpoint.requests("get")]
    assert len(set(ranges)) == len(ranges) == 15
    assert endpoint.statistics()["bytes"] == len(contents["large.bin"])


def test_put_and_delete(bucket: oss2.Bucket) -> None:
    """What is put can be listed and read, what is deleted cannot."""
    bucket.put_object("new/öbject", b"content")
    assert bucket.get_object("new/öbject").read() == b"content"
    assert [found.key for found in oss2.ObjectIteratorV2(bucket, prefix="new/")] == ["new/öbject"]
    bucket.delete_object("new/öbject")
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("new/öbject")


def test_errors(bucket: oss2.Bucket, endpoint: EmulatorProcess) -> None:
    """A missing key, a failing server and a wrong secret are what the SDK takes them for."""
    with pytest.raises(oss2.exceptions.NotFound):
        bucket.head_object("missing")
    endpoint.faults(fail_every=1, fail_status=503, fail_code="ServiceUnavailable")
    with pytest.raises(oss2.exceptions.ServerError) as failed:
        bucket.get_object("large.bin")
    assert (failed.value.status, failed.value.code) == (503, "ServiceUnavailable")
    endpoint.faults()
    auth = oss2.AuthV4(endpoint.access_key_id, "wrong")
    other = oss2.Bucket(auth, endpoint.url, endpoint.bucket, region=endpoint.region)
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        other.get_object("large.bin")


def test_presigned_url(bucket: oss2.Bucket, endpoint: EmulatorProcess) -> None:
    """A URL signed by the SDK is accepted from anybody."""
    url = bucket.sign_url("GET", "z b+c&d=e%41", 60, slash_safe=True)
    assert endpoint.request("GET", url.removeprefix(endpoint.url)).body == b"signs"


def test_bucket_information(bucket: oss2.Bucket) -> None:
    """Location and info of the bucket can be read."""
    assert bucket.get_bucket_location().location == "oss-cn-hangzhou"
    assert bucket.get_bucket_info().name == "sample"
