"""What was packed comes back as it was; what is no pack is told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.oss.columns import Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.packing import pack_found, pack_page, unpack_found, unpack_pages
from ossfs_resume.vfs.probe import FoundDirectory

names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
metas = st.builds(
    ObjectMeta,
    names,
    st.integers(0, 2**62),
    st.text(max_size=40),
    st.integers(0, 2**40),
    st.none() | st.integers(0, 2**64 - 1),
    st.text(max_size=10),
    st.sampled_from(["", "Normal", "Symlink"]),
    st.sampled_from(["", "Standard", "Archive"]),
)


@given(
    names, st.lists(st.tuples(st.lists(metas, max_size=3), st.lists(names, max_size=3)), max_size=3)
)
def test_pages_come_back(prefix: str, content: list[tuple[list[ObjectMeta], list[str]]]) -> None:
    pages = [
        ListPage(
            tuple(_below(prefix, meta) for meta in objects),
            tuple(prefix + name for name in prefixes),
            "" if number == len(content) - 1 else f"kept {number}",
        )
        for number, (objects, prefixes) in enumerate(content)
    ]
    assert unpack_pages([pack_page(page, prefix) for page in pages], prefix) == pages


def _below(prefix: str, meta: ObjectMeta) -> ObjectMeta:
    return ObjectMeta(prefix + meta.key, meta.size, meta.etag, meta.modified, meta.crc64)


@given(names, st.lists(metas, max_size=3), st.lists(names, max_size=3))
def test_columns_come_back(prefix: str, metas: list[ObjectMeta], prefixes: list[str]) -> None:
    objects = Objects.of(
        [
            ObjectMeta(prefix + meta.key, meta.size, meta.etag, meta.modified, None, "", kind)
            for meta in metas
            for kind in ("Normal", "Multipart")
        ]
    )
    page = ListPage(objects, tuple(prefix + name for name in prefixes))
    [found] = unpack_pages([pack_page(page, prefix)], prefix)
    assert isinstance(found.objects, Objects)
    assert found == page


def test_columns_of_different_lengths_are_refused() -> None:
    objects = Objects.of([ObjectMeta("a", 1, "E", 0), ObjectMeta("b", 1, "E", 0)])
    objects.etags.pop()
    with pytest.raises(ValueError):
        unpack_pages([pack_page(ListPage(objects, ()), "")], "")


@given(metas | st.builds(FoundDirectory, names, st.none() | metas, st.booleans()))
def test_answers_come_back(found: ObjectMeta | FoundDirectory) -> None:
    body = pack_found(found)
    assert body is not None
    assert unpack_found(body) == found


def test_nothing_is_packed_as_nothing() -> None:
    assert pack_found(None) is None


@pytest.mark.parametrize("body", [b"", b"garbage"])
def test_what_is_no_pack_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_found(body)
    with pytest.raises(ValueError):
        unpack_pages([body], "")
