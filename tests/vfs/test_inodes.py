import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import StaleVersion
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.inodes import MAX_INODE, ROOT, InodeTable, hash63
from ossfs_resume.vfs.nodes import current


def table(**kwargs: object) -> InodeTable:
    return InodeTable("", 0, **kwargs)  # type: ignore[arg-type]


def meta(key: str = "k", etag: str = "E", size: int = 1, **more: int) -> ObjectMeta:
    return ObjectMeta(key, size, etag, more.pop("modified", 0), **more)


IDENTITIES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.sampled_from("EF"), st.integers(0, 2)),
        st.sampled_from(["a/", "b/", "a/b/", ""]),
    ),
    max_size=40,
)


@given(IDENTITIES, st.integers(1, 5))
def test_one_live_node_for_each_identity_whatever_collides(
    identities: list[object], buckets: int
) -> None:
    inodes = table(hash_identity=lambda identity: hash63(identity) % buckets)
    nodes: dict[object, object] = {}
    for identity in identities:
        if isinstance(identity, str):
            node = inodes.directory(identity, 0)
        else:
            node = inodes.file(meta(*identity))
        assert nodes.setdefault(identity, node) is node
        assert 1 <= node.inode <= MAX_INODE
        assert inodes.get(node.inode) is node
    assert len({node.inode for node in nodes.values()}) == len(nodes)  # type: ignore[attr-defined]


def test_a_displaced_node_keeps_its_number_when_the_one_before_it_is_gone() -> None:
    inodes = table(hash_identity=lambda identity: 7)
    first, second = inodes.file(meta("a")), inodes.file(meta("b"))
    assert (first.inode, second.inode) == (7, 8)
    del first
    gc.collect()
    assert inodes.file(meta("b")) is second


@given(st.text(), st.text(alphabet="0123456789ABCDEF"), st.integers(min_value=0))
def test_numbers_are_the_same_after_a_remount(key: str, etag: str, size: int) -> None:
    def number() -> tuple[int, int]:
        inodes = table()
        return inodes.file(meta(key, etag, size)).inode, inodes.directory(key + "/", 0).inode

    assert number() == number()


@pytest.mark.parametrize("changed", [meta("l"), meta(etag="F"), meta(size=2)])
def test_another_version_has_another_number(changed: ObjectMeta) -> None:
    inodes = table()
    assert inodes.file(meta()).inode != inodes.file(changed).inode


@pytest.mark.parametrize("choice", [0, 1, MAX_INODE])
def test_zero_is_never_handed_out_and_one_is_the_root(choice: int) -> None:
    inodes = table(hash_identity=lambda identity: choice)
    nodes = [inodes.file(meta(key)) for key in "abc"]
    assert len({node.inode for node in nodes} - {0, ROOT}) == 3
    assert inodes.directory("", 0).inode == ROOT


@given(st.lists(st.integers(1, 3), max_size=5), st.lists(st.integers(1, 3), max_size=5))
def test_a_node_lives_as_long_as_its_lookup_count(remembered: list[int], taken: list[int]) -> None:
    inodes = table()
    node = inodes.file(meta())
    number = node.inode
    for _ in remembered:
        inodes.remember(node)
    for count in taken:
        inodes.forget(number, count)
    is_kept = len(remembered) > sum(taken)
    assert len(inodes) == 1 + is_kept
    del node
    if is_kept:
        assert inodes.get(number).inode == number
    else:
        with pytest.raises(StaleVersion):
            inodes.get(number)


def test_an_open_handle_keeps_a_forgotten_node() -> None:
    inodes = table()
    number = inodes.file(meta()).inode
    node = inodes.file(meta())
    inodes.remember(node)
    inodes.opened(node)
    inodes.forget(number, 1)
    assert inodes.get(number) is node
    inodes.closed(node)
    assert len(inodes) == 1


def test_the_root_stays_and_forgetting_the_unknown_does_nothing() -> None:
    inodes = table()
    inodes.forget(ROOT, 100)
    inodes.forget(12345, 1)
    assert inodes.get(ROOT) is inodes.root


def test_a_new_incarnation_is_a_new_number_as_long_as_either_is_known() -> None:
    inodes, version = table(), ObjectVersion("k", "E", 1)
    node = inodes.file(meta())
    node.confirm(meta(), 5.0)
    first = node.inode
    assert inodes.reincarnate(version) == first
    successor = inodes.file(meta())
    assert successor.inode != first
    assert node.superseded
    assert current(node) is successor
    assert successor.confirmed_at == 5.0
    assert inodes.reincarnate(version) == successor.inode
    assert inodes.file(meta()).inode not in (first, successor.inode)
    del node, successor
    gc.collect()
    assert inodes.file(meta()).inode == first


def test_an_old_inode_that_somebody_holds_keeps_its_number_from_the_next_file() -> None:
    inodes, version = table(), ObjectVersion("k", "E", 1)
    node = inodes.file(meta())
    inodes.remember(node)
    inodes.reincarnate(version)
    gc.collect()
    assert inodes.file(meta()) is current(node) is not node
    inodes.forget(node.inode, 1)
