"""What the origin says of a node, and when a directory's time rises."""

from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import NamesDigest
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode


def meta(**more: int) -> ObjectMeta:
    return ObjectMeta("k", 1, "E", more.pop("modified", 0), **more)


def names(*pages: bytes) -> bytes:
    """The digest of a listing of these names, each on a page of its own."""
    digest = NamesDigest()
    for name in pages:
        digest.add([name])
    return digest.value()


def test_a_listing_does_not_take_away_the_crc_that_a_head_brought() -> None:
    node = FileNode(7, meta(crc64=9), 0)
    node.confirm(meta(), 1.0)
    assert node.meta.crc64 == 9
    node.confirm(meta(modified=3), 2.0)
    assert node.meta.modified == 3


def test_a_directorys_time_rises_only_when_its_names_change() -> None:
    node = DirectoryNode(2, "d/", 100)
    node.saw_names(names(b"a"), 200)
    assert node.modified_ns == 100
    node.saw_names(names(b"a"), 300)
    assert node.modified_ns == 100
    node.saw_names(names(b"a", b"b"), 400)
    assert node.modified_ns == 400
    node.saw_names(names(b"a"), 350)
    assert node.modified_ns == 400


def test_a_marker_gives_the_time_but_never_turns_it_back_after_a_change() -> None:
    node = DirectoryNode(2, "d/", 100)
    node.saw_marker(50)
    assert node.modified_ns == 50
    node.saw_names(names(b"a"), 200)
    node.saw_names(names(b"b"), 300)
    node.saw_marker(50)
    assert node.modified_ns == 300
