"""Rows of pages are what nodes were: each version one number, as long as anything refers to it."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.oss.columns import Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.inodes import InodeTable, hash63
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.nodes import FileNode
from ossfs_resume.vfs.page import Columns, Texts

NAMES = ["a", "a-b", "a.b", "b", "c", "d"]
VERSIONS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), min_size=1)
"""Names, and the size by which their versions differ."""


def page(versions: dict[str, int], token: str = "", prefix: str = "d/") -> ListPage:
    metas = [
        ObjectMeta(prefix + name, size, f"E{size}", size) for name, size in sorted(versions.items())
    ]
    return ListPage(Objects.of(metas), (), token)


def told(table: InodeTable, listing: Listing) -> dict[str, int]:
    """The kernel reads all of a listing: the inode of each name."""
    found = {}
    for each in listing.pages:
        rows = range(each.count)
        table.settle(each, rows)
        table.tell(each, rows)
        found |= {name.decode(): each.nodes[row].inode if row in each.nodes else each.inodes[row]
                  for row, name in enumerate(each.names())}  # fmt: skip
    return found


@given(st.lists(VERSIONS, min_size=1, max_size=4), st.integers(1, 4), st.data())
def test_versions_that_the_kernel_knows_have_a_number_each_whatever_collides(
    listings: list[dict[str, int]], buckets: int, data: st.DataObject
) -> None:
    table = InodeTable("", 0, hash_identity=lambda identity: hash63(identity) % buckets)
    directory = table.directory("d/", 0)
    held: dict[tuple[str, int], int] = {}
    counts: dict[int, int] = {}
    for moment, versions in enumerate(listings):
        listing = Listing(directory, table, float(moment))
        cut = data.draw(st.integers(0, len(versions)))
        first, rest = dict(sorted(versions.items())[:cut]), dict(sorted(versions.items())[cut:])
        listing.absorb(page(first, "more"), float(moment), 0)
        listing.absorb(page(rest), float(moment), 0)
        for name, inode in told(table, listing).items():
            counts[inode] = counts.get(inode, 0) + 1
            assert held.setdefault((name, versions[name]), inode) == inode
    assert len(set(held.values())) == len(held)
    for (name, size), inode in held.items():
        node = table.get(inode)
        assert isinstance(node, FileNode)
        assert (node.meta.key, node.meta.size, node.meta.etag) == (f"d/{name}", size, f"E{size}")
        assert node.lookups == counts[inode]
        table.forget(inode, counts[inode])
    assert len(table) == 1


def test_a_name_told_of_and_forgotten_makes_no_node() -> None:
    table = InodeTable("", 0)
    listing = Listing(table.directory("d/", 0), table, 1.0)
    added, names = listing.absorb(page({"a": 1, "b": 1}), 1.0, 0)
    inodes = told(table, listing)
    assert (len(table), names, added.nodes) == (3, [b"a", b"b"], {})
    for inode in inodes.values():
        table.forget(inode, 1)
    assert (len(table), added.nodes) == (1, {})


def test_a_page_that_shows_a_version_again_takes_its_row_over() -> None:
    """What the origin said last counts, and the page before is kept for nobody."""
    table = InodeTable("", 0)
    directory = table.directory("d/", 0)
    old, new = Listing(directory, table, 1.0), Listing(directory, table, 2.0)
    first, _ = old.absorb(page({"a": 1}), 1.0, 0)
    inode = told(table, old)["a"]
    second, _ = new.absorb(page({"a": 1}), 2.0, 0)
    assert (first.told, second.told) == (0, 1)
    node = table.get(inode)
    assert (node.confirmed_at, node.lookups) == (2.0, 1)


@given(st.lists(st.text(max_size=3), max_size=5))
def test_texts_come_back(texts: list[str]) -> None:
    kept = Texts(texts)
    assert list(kept) == texts
    assert [kept[index] for index in range(len(texts))] == texts


@given(st.lists(st.integers(0, 5) | st.none(), max_size=8))
def test_columns_are_of_the_objects_named(chosen: list[int | None]) -> None:
    objects = page(dict.fromkeys(NAMES, 1)).objects
    other = ObjectMeta("d/other", 7, "other", 3)
    sources = [other if one is None else one for one in chosen]
    columns = Columns.of(objects, sources)
    wanted = [objects[one] if isinstance(one, int) else other for one in sources]
    assert list(columns.sizes) == [meta.size for meta in wanted]
    assert list(columns.etags) == [meta.etag for meta in wanted]
    assert list(columns.modified) == [meta.modified for meta in wanted]
