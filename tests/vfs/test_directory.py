"""Names by lookup and by listing, and what each costs in requests."""

from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from ossfs_resume.errors import (
    AccessDenied,
    BadAnswer,
    NoSuchName,
    OriginTimeout,
    OssfsError,
    ServerFailed,
    Unreachable,
)
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.models import AbsentName, TreeSettings
from ossfs_resume.vfs.tree import Tree

TTL = 60.0


async def error_of(call) -> BaseException:
    with pytest.raises(OssfsError) as caught:
        await call
    return caught.value


# --- listings ---


async def test_a_directory_of_20000_names_costs_20_lists_and_no_head(world, autojump_clock) -> None:
    for number in range(20_000):
        world.bucket.put(f"d/{number:05}")
    names = await world.names((await world.lookup("d")).attributes.inode)
    world.bucket.requests[:2] = []  # of the lookup of "d"
    assert sorted(names) == [b"%05d" % number for number in range(20_000)]
    assert len(set(names)) == 20_000
    assert world.bucket.requests == [("LIST", "d/")] * 20


async def test_lookups_after_a_listing_cost_nothing_whether_the_name_exists_or_not(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    world.bucket.put("d/x")
    await world.names()
    world.bucket.requests.clear()
    assert (await world.lookup("a")).valid_s == TTL
    assert (await world.lookup("d")).attributes.is_directory
    with pytest.raises(AbsentName) as absent:
        await world.lookup("nothing")
    assert absent.value.valid_s == 5.0
    assert world.bucket.requests == []
    assert world.tree.statistics().lookups_without_request == 3


async def test_a_listing_that_has_only_passed_a_name_answers_for_it(world, autojump_clock) -> None:
    for number in range(2500):
        world.bucket.put(f"{number:04}")
    handle = await world.tree.open_directory(Tree.ROOT)
    await world.tree.list_directory(handle, 0, 10)
    world.bucket.requests.clear()
    await world.lookup("0500")
    assert isinstance(await error_of(world.lookup("0500x")), NoSuchName)
    assert world.bucket.requests == []
    await world.lookup("2000")
    assert set(world.bucket.requests) == {("HEAD", "2000"), ("LIST", "2000/")}


async def test_readers_of_one_directory_share_every_request(world, autojump_clock) -> None:
    for number in range(3000):
        world.bucket.put(f"{number:04}")
    world.bucket.delay_s = 0.1
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(world.names)
    assert world.bucket.requests == [("LIST", "")] * 3


async def test_a_reader_that_stops_early_costs_one_request(world, autojump_clock) -> None:
    for number in range(5000):
        world.bucket.put(f"{number:04}")
    handle = await world.tree.open_directory(Tree.ROOT)
    for offset in range(0, 900, 100):
        assert len(await world.tree.list_directory(handle, offset, 100)) == 100
    assert world.bucket.count("LIST") == 1


async def test_several_pages_are_fetched_ahead_of_a_reader_past_the_first(
    world, autojump_clock
) -> None:
    for number in range(20_000):
        world.bucket.put(f"{number:05}")
    handle = await world.tree.open_directory(Tree.ROOT)
    await world.tree.list_directory(handle, 0, 1000)
    await world.tree.list_directory(handle, 1000, 100)
    await trio.testing.wait_all_tasks_blocked()
    assert world.bucket.count("LIST") == 6


async def test_an_empty_page_that_is_not_the_last_does_not_end_a_directory(
    world, autojump_clock
) -> None:
    class Gappy(type(world.bucket)):
        async def list_page(self, prefix, *, token="", **more):
            page = await super().list_page(prefix, token=token.removeprefix("gap:"), **more)
            return page if token.startswith("gap:") else type(page)((), (), "gap:" + token)

    world.bucket.__class__ = Gappy
    world.bucket.page_size = 1
    for key in ("a", "b/c", "d"):
        world.bucket.put(key)
    assert await world.names() == [b"a", b"b", b"d"]
    assert (await world.lookup("b")).attributes.is_directory


async def test_a_listing_is_believed_for_the_ttl_and_then_asked_for_again(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.names()
    world.bucket.put("b")
    await trio.sleep(TTL - 1)
    assert await world.names() == [b"a"]
    assert [listed.valid_s for listed in await world.entries()] == [1.0]
    await trio.sleep(1)
    assert await world.names() == [b"a", b"b"]
    assert world.bucket.count("LIST") == 2


async def test_a_handle_goes_on_with_the_listing_it_began(world, autojump_clock) -> None:
    for number in range(1500):
        world.bucket.put(f"{number:04}")
    handle = await world.tree.open_directory(Tree.ROOT)
    first = await world.tree.list_directory(handle, 0, 1000)
    await trio.sleep(2 * TTL)
    world.bucket.put("0000a")
    assert b"0000a" in await world.names()
    rest = await world.tree.list_directory(handle, first[-1].next_offset, 1000)
    assert [listed.name for listed in [*first, *rest]] == [b"%04d" % n for n in range(1500)]


async def test_reading_again_from_the_start_gives_what_is_there_now(world, autojump_clock) -> None:
    world.bucket.put("a")
    handle = await world.tree.open_directory(Tree.ROOT)
    assert len(await world.tree.list_directory(handle, 0, 10)) == 1
    await trio.sleep(TTL)
    world.bucket.put("b")
    assert len(await world.tree.list_directory(handle, 0, 10)) == 2


async def test_hidden_keys_are_counted_and_named_once(world, autojump_clock, caplog) -> None:
    for key in ("a//b", "ok", "../x", "n\0l"):
        world.bucket.put(key)
    assert await world.names() == [b"a", b"ok"]
    assert await world.names((await world.lookup("a")).attributes.inode) == []
    await trio.sleep(TTL)
    await world.names()
    assert world.tree.statistics().hidden_keys == 3
    assert [record.args[0] for record in caplog.records] == ["../", "n\0l", "a//"]


async def test_a_prefix_can_be_mounted(world, autojump_clock) -> None:
    for key in ("some/prefix/", "some/prefix/a", "some/prefix/d/x", "some/prefixed", "other"):
        world.bucket.put(key, b"")
    world.tree = world.make_tree(prefix="some/prefix")
    assert await world.names() == [b"a", b"d"]
    assert (await world.lookup("d/x")).attributes.size == 0
    assert world.tree.prefix_of(Tree.ROOT) == "some/prefix/"


# --- lookups ---


async def test_a_lookup_asks_for_object_and_directory_at_once(world, autojump_clock) -> None:
    world.bucket.put("a")
    world.bucket.delay_s = 1.0
    start = trio.current_time()
    listed = await world.lookup("a")
    assert trio.current_time() - start == pytest.approx(1.0)
    assert set(world.bucket.requests) == {("HEAD", "a"), ("LIST", "a/")}
    assert (listed.attributes.size, listed.attributes.is_directory) == (4, False)


async def test_a_directory_takes_the_name_and_the_object_stands_beside_it(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"object")
    world.bucket.put("a/b", b"below")
    by_lookup = [await world.lookup(path) for path in ("a", "a~object", "a/b")]
    by_listing = {listed.name: listed for listed in await world.entries()}
    assert [listed.attributes.is_directory for listed in by_lookup] == [True, False, False]
    assert by_lookup[1].attributes.size == 6
    assert world.tree.version_of(by_lookup[1].attributes.inode).key == "a"
    assert by_listing[b"a~object"].attributes.inode == by_lookup[1].attributes.inode


@pytest.mark.parametrize("keys", [["a"], ["a", "a/b"], ["a/b"]], ids=str)
async def test_there_is_no_shadow_of_an_undisplaced_or_empty_object(
    world, autojump_clock, keys
) -> None:
    for key in keys:
        world.bucket.put(key, b"" if len(keys) > 1 else b"data")
    assert isinstance(await error_of(world.lookup("a~object")), AbsentName)


async def test_a_real_key_wins_over_a_shadow_of_its_name(world, autojump_clock) -> None:
    for key in ("a", "a/b", "a~object"):
        world.bucket.put(key, key.encode())
    found = await world.lookup("a~object")
    assert world.tree.version_of(found.attributes.inode).key == "a~object"
    assert await world.names() == [b"a", b"a~object"]


async def test_absence_is_believed_for_the_negative_ttl(world, autojump_clock) -> None:
    error = await error_of(world.lookup("a"))
    assert isinstance(error, AbsentName)
    assert error.valid_s == 5.0
    world.bucket.put("a")
    await trio.sleep(4)
    assert (await error_of(world.lookup("a"))).valid_s == pytest.approx(1.0)
    assert len(world.bucket.requests) == 2
    await trio.sleep(1)
    assert (await world.lookup("a")).valid_s == TTL


async def test_lookups_of_one_name_share_their_requests(world, autojump_clock) -> None:
    world.bucket.put("a")
    world.bucket.delay_s = 1.0
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(world.lookup, "a")
    assert len(world.bucket.requests) == 2


async def test_a_cancelled_caller_does_not_take_the_answer_from_the_others(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    world.bucket.delay_s = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.lookup, "a")
        with trio.move_on_after(0.5) as scope:
            await world.lookup("a")
    assert scope.cancelled_caught
    assert len(world.bucket.requests) == 2


@pytest.mark.parametrize("name", [b"", b"x" * 256, b"a\0b", b"a/b"])
async def test_a_name_that_no_key_can_have_is_absent_without_a_request(
    world, autojump_clock, name
) -> None:
    with pytest.raises(NoSuchName):
        await world.tree.lookup(Tree.ROOT, name)
    assert world.bucket.requests == []


async def test_a_path_longer_than_any_key_is_absent_without_a_request(
    world, autojump_clock
) -> None:
    deep = "/".join(["d" * 250] * 4)
    world.bucket.put(deep + "/x")
    inode = (await world.lookup(deep)).attributes.inode
    world.bucket.requests.clear()
    with pytest.raises(NoSuchName):
        await world.tree.lookup(inode, b"y" * 250)
    assert world.bucket.requests == []


async def test_dot_and_dot_dot_are_the_directory_and_its_parent(world, autojump_clock) -> None:
    world.bucket.put("d/e/f")
    inode = (await world.lookup("d/e")).attributes.inode
    assert (await world.tree.lookup(inode, b".")).attributes.inode == inode
    above = await world.tree.lookup(inode, b"..")
    assert world.tree.prefix_of(above.attributes.inode) == "d/"
    assert (await world.tree.lookup(Tree.ROOT, b"..")).attributes.inode == Tree.ROOT


async def test_looked_up_names_are_believed_like_listed_ones(world, autojump_clock) -> None:
    world.bucket.put("a")
    await world.lookup("a")
    await trio.sleep(TTL - 1)
    assert (await world.lookup("a")).valid_s == 1.0
    assert len(world.bucket.requests) == 2
    await trio.sleep(1)
    await world.lookup("a")
    assert len(world.bucket.requests) == 4


async def test_a_listing_overtakes_the_lookups_before_it(world, autojump_clock) -> None:
    await error_of(world.lookup("a"))
    world.bucket.put("a")
    assert await world.names() == [b"a"]
    assert (await world.lookup("a")).attributes.size == 4


async def test_a_listing_that_no_longer_shows_a_name_overtakes_its_lookup(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.lookup("a")
    await trio.sleep(1)
    del world.bucket.objects["a"]
    assert await world.names() == []
    requests = len(world.bucket.requests)
    assert isinstance(await error_of(world.lookup("a")), NoSuchName)
    assert len(world.bucket.requests) == requests


async def test_a_lookup_overtakes_the_listing_before_it(world, autojump_clock) -> None:
    world.bucket.put("a")
    await world.names()
    await trio.sleep(TTL)
    del world.bucket.objects["a"]
    assert isinstance(await error_of(world.lookup("a")), NoSuchName)
    assert isinstance(await error_of(world.lookup("a")), NoSuchName)
    assert len(world.bucket.requests) == 1 + 2


@pytest.mark.parametrize(("names", "singly"), [(900, 2), (3500, 2), (9500, 5)])
async def test_a_copy_that_outlives_its_listing_reads_the_directory_anew(
    world, autojump_clock, names, singly
) -> None:
    """Single names cost two requests each: no more than a listing does are looked up that way."""
    keys = [f"{number:04}" for number in range(names)]
    for key in keys:
        world.bucket.put(key)
    await world.names()
    await trio.sleep(TTL)
    world.bucket.requests.clear()
    for key in keys:
        await world.lookup(key)
        await trio.testing.wait_all_tasks_blocked()
    assert world.bucket.count("HEAD") == singly
    assert world.bucket.count("LIST") == singly + -(-names // 1000)


async def test_it_sees_what_has_changed_meanwhile(world, autojump_clock) -> None:
    for key in ("a", "b", "c", "d"):
        world.bucket.put(key)
    await world.names()
    await trio.sleep(TTL)
    world.bucket.put("c", b"another body")
    del world.bucket.objects["d"]
    await world.lookup("a")
    await world.lookup("b")
    await trio.testing.wait_all_tasks_blocked()
    world.bucket.requests.clear()
    assert (await world.lookup("c")).attributes.size == 12
    assert isinstance(await error_of(world.lookup("d")), NoSuchName)
    assert world.bucket.requests == []


async def test_one_old_name_again_and_again_is_looked_up_singly(world, autojump_clock) -> None:
    for key in ("a", "b", "c"):
        world.bucket.put(key)
    await world.names()
    for _ in range(5):
        await trio.sleep(TTL)
        world.bucket.requests.clear()
        await world.lookup("a")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(world.bucket.requests) == [("HEAD", "a"), ("LIST", "a/")]


async def test_nothing_is_read_anew_while_the_origin_is_down(world, autojump_clock) -> None:
    for key in ("a", "b", "c"):
        world.bucket.put(key)
    await world.names()
    await trio.sleep(TTL)
    world.unplug()
    for _ in range(5):
        for key in ("a", "b", "c"):
            assert (await world.lookup(key)).attributes.size == 4
    await trio.testing.wait_all_tasks_blocked()
    assert ("LIST", "") not in world.bucket.requests[1:]


# --- where listing is forbidden ---


async def test_known_paths_open_where_listing_is_forbidden(world, autojump_clock) -> None:
    world.bucket.put("d/x")
    world.bucket.may_list = False
    assert isinstance(await error_of(world.names()), AccessDenied)
    found = await world.lookup("d/x")
    assert found.attributes.size == 4
    assert found.valid_s == TTL


async def test_an_assumed_directory_is_not_listable_and_never_cached(world, autojump_clock) -> None:
    world.bucket.may_list = False
    found = await world.lookup("d")
    assert found.attributes.is_directory
    assert not found.attributes.listable
    assert (found.valid_s, found.attributes.valid_s) == (0.0, 0.0)
    world.bucket.put("d")
    assert not (await world.lookup("d")).attributes.is_directory


# --- an origin that does not answer ---


async def test_where_patience_was_in_vain_for_one_the_next_have_little(
    world, autojump_clock
) -> None:
    async def seconds_to_fail(name: str) -> float:
        began = trio.current_time()
        assert isinstance(await error_of(world.lookup(name)), Unreachable)
        return trio.current_time() - began

    world.bucket.delay_s = 60.0
    world.unplug()
    assert await seconds_to_fail("a") == pytest.approx(60)
    assert await seconds_to_fail("b") == pytest.approx(2)
    began = trio.current_time()
    assert isinstance(await error_of(world.names()), Unreachable)
    assert trio.current_time() - began == pytest.approx(2)
    world.plug()
    world.bucket.put("c")
    world.bucket.delay_s = 1.0
    assert (await world.lookup("c")).name == b"c"
    world.bucket.delay_s = 60.0
    world.unplug()
    assert await seconds_to_fail("d") == pytest.approx(60)


async def test_could_not_ask_is_not_gone(world, autojump_clock) -> None:
    world.unplug()
    assert isinstance(await error_of(world.lookup("a")), Unreachable)
    assert isinstance(await error_of(world.names()), Unreachable)
    assert world.tree.statistics().origin_is_down


async def test_expired_absence_is_not_repeated_without_the_origin(world, autojump_clock) -> None:
    world.bucket.put("b")
    await world.names()
    await error_of(world.lookup("a"))
    await trio.sleep(TTL)
    world.unplug()
    assert isinstance(await error_of(world.lookup("a")), Unreachable)


async def test_what_is_known_is_served_after_two_seconds_of_silence_then_at_once(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.names()
    await trio.sleep(TTL)
    world.bucket.delay_s = 1000
    for patience in (2.0, 0.0):
        start = trio.current_time()
        assert (await world.lookup("a")).valid_s == 1.0
        assert await world.names() == [b"a"]
        assert trio.current_time() - start == pytest.approx(patience)
    assert world.tree.statistics().stale_served == 4


async def test_what_is_known_is_served_at_once_after_a_failure(world, autojump_clock) -> None:
    world.bucket.put("a")
    await world.lookup("a")
    await trio.sleep(TTL)
    world.bucket.error = ServerFailed("500")
    start = trio.current_time()
    await world.lookup("a")
    requests = len(world.bucket.requests)
    await world.lookup("a")
    assert trio.current_time() == start
    assert len(world.bucket.requests) == requests, "nobody asks so soon after a failure"


async def test_the_first_answer_after_an_outage_ends_it(world, autojump_clock) -> None:
    world.bucket.put("a", b"old")
    await world.names()
    await trio.sleep(TTL)
    world.unplug()
    await world.lookup("a")
    world.plug()
    world.bucket.put("a", b"newer")
    await trio.sleep(5)
    assert (await world.lookup("a")).attributes.size == 3
    await trio.testing.wait_all_tasks_blocked()
    assert not world.tree.statistics().origin_is_down
    assert (await world.lookup("a")).attributes.size == 5


async def test_a_slow_answer_is_used_when_it_comes(world, autojump_clock) -> None:
    world.bucket.put("a", b"old")
    await world.names()
    await trio.sleep(TTL)
    world.bucket.put("a", b"newer")
    world.bucket.delay_s = 3.0
    assert (await world.lookup("a")).attributes.size == 3
    await trio.sleep(1.5)
    assert (await world.lookup("a")).attributes.size == 5
    assert world.bucket.count("HEAD") == 1


async def test_a_listing_that_broke_off_goes_on_where_it_stopped(world, autojump_clock) -> None:
    for number in range(2500):
        world.bucket.put(f"{number:04}")
    handle = await world.tree.open_directory(Tree.ROOT)
    await world.tree.list_directory(handle, 0, 1000)
    world.unplug()
    assert isinstance(await error_of(world.tree.list_directory(handle, 1000, 1000)), Unreachable)
    world.plug()
    rest = await world.tree.list_directory(handle, 1000, 1000)
    assert rest[0].name == b"1000"


async def test_an_old_listing_serves_names_that_the_newest_has_not_reached(
    world, autojump_clock
) -> None:
    for number in range(1500):
        world.bucket.put(f"{number:04}")
    await world.names()
    await trio.sleep(TTL)
    handle = await world.tree.open_directory(Tree.ROOT)
    await world.tree.list_directory(handle, 0, 10)
    world.unplug()
    assert (await world.lookup("1400")).attributes.size == 4


# --- versions and times ---


@pytest.mark.parametrize("look", ["names", "lookup"])
async def test_another_version_is_another_inode_and_the_kernel_is_told(
    world, autojump_clock, look
) -> None:
    world.bucket.put("a", b"1")
    old = (await world.lookup("a")).attributes.inode
    await trio.sleep(TTL)
    world.bucket.put("a", b"2")
    await (world.names() if look == "names" else world.lookup("a"))
    assert (await world.lookup("a")).attributes.inode != old
    assert world.doubted == [old]


async def test_the_same_version_seen_again_is_the_same_inode(world, autojump_clock) -> None:
    world.bucket.put("a")
    first = (await world.lookup("a")).attributes
    await trio.sleep(TTL)
    world.bucket.put("a", modified=1_650_000_000)
    second = (await world.lookup("a")).attributes
    assert second.inode == first.inode
    assert second.modified_ns > first.modified_ns
    assert world.doubted == []


async def test_an_object_displaced_by_a_new_directory_is_not_superseded(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.names()
    await trio.sleep(TTL)
    world.bucket.put("a/b")
    await world.names()
    requests = len(world.bucket.requests)
    handle = await world.open("a~object")
    assert await world.tree.read(handle, 0, 10) == b"data"
    assert len(world.bucket.requests) == requests


async def test_a_directorys_time_is_its_markers_or_when_it_was_first_seen(
    world, autojump_clock
) -> None:
    world.bucket.put("marked/", b"", modified=1000)
    world.bucket.put("plain/x")
    times = [(await world.lookup(name)).attributes.modified_ns for name in ("marked", "plain")]
    assert times == [1000 * 10**9, int(world.wall_clock[0] * 10**9)]


async def test_a_directorys_time_rises_when_a_listing_shows_other_names(
    world, autojump_clock
) -> None:
    world.bucket.put("d/x")
    inode = (await world.lookup("d")).attributes.inode
    seen = []
    for change in (None, None, "d/y"):
        world.wall_clock[0] += 100
        await trio.sleep(TTL)
        if change:
            world.bucket.put(change)
        await world.names(inode)
        seen.append((await world.tree.attributes(inode)).modified_ns)
    assert seen[0] == seen[1] < seen[2]


# --- everything at once ---


@settings(max_examples=40)
@given(
    st.sets(
        st.lists(st.sampled_from(["a", "b", "-", "/", "~object"]), min_size=1, max_size=6).map(
            "".join
        ),
        max_size=10,
    ),
    st.integers(1, 4),
)
def test_listing_and_lookup_tell_the_same_tree(make_world, keys: set[str], page_size: int) -> None:
    """Each path that a walk by listings finds is found by lookups, with the same inode."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            world = make_world(nursery)
            world.bucket.page_size = page_size
            for key in keys:
                world.bucket.put(key)
            by_listing = await walk(world, Tree.ROOT, b"")
            world.tree = world.make_tree()
            for path, inode in by_listing.items():
                assert (await world.lookup(path.decode())).attributes.inode == inode

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def walk(world, inode: int, path: bytes) -> dict[bytes, int]:
    found = {}
    for listed in await world.entries(inode, told=100):
        child = path + listed.name
        found[child] = listed.attributes.inode
        if listed.attributes.is_directory:
            found |= await walk(world, listed.attributes.inode, child + b"/")
    return found


# --- nothing is believed for longer than a moment ---


async def test_without_a_ttl_a_listing_answers_the_lookups_that_it_causes(
    world, autojump_clock
) -> None:
    """As ``ls -l`` asks: the directory again for each name, however long all of it takes."""
    for number in range(1500):
        world.bucket.put(f"d/{number:04}")
    world.tree = world.make_tree(settings=TreeSettings(metadata_ttl_s=0))
    handle = await world.tree.open_directory((await world.lookup("d")).attributes.inode)
    offset = 0
    while batch := await world.tree.list_directory(handle, offset, 100):
        offset = batch[-1].next_offset
        for listed in batch:
            await trio.sleep(0.02)
            assert (await world.lookup(f"d/{listed.name.decode()}")).attributes == listed.attributes
    world.tree.close_directory(handle)
    assert world.bucket.count("HEAD") == 1
    assert world.bucket.count("LIST") == 3


async def test_without_a_ttl_what_was_shown_is_asked_for_again_a_moment_later(
    world, autojump_clock
) -> None:
    world.bucket.put("d/a", b"1")
    world.tree = world.make_tree(settings=TreeSettings(metadata_ttl_s=0))
    await world.names((await world.lookup("d")).attributes.inode)
    world.bucket.put("d/a", b"longer")
    world.bucket.requests.clear()
    assert (await world.lookup("d/a")).attributes.size == 1
    assert world.bucket.requests == []
    await trio.sleep(1.1)
    assert (await world.lookup("d/a")).attributes.size == 6
    assert (await world.lookup("d/a")).attributes.size == 6
    assert world.bucket.count("HEAD") == 3  # the directory once, the name each time


async def test_a_directory_that_stays_open_is_believed_for_a_minute(world, autojump_clock) -> None:
    world.bucket.put("a", b"1")
    world.tree = world.make_tree(settings=TreeSettings(metadata_ttl_s=0))
    handle = await world.tree.open_directory(Tree.ROOT)
    assert await world.tree.list_directory(handle, 0, 10)
    world.bucket.put("a", b"longer")
    await trio.sleep(59)
    assert (await world.lookup("a")).attributes.size == 1
    await trio.sleep(2)
    assert (await world.lookup("a")).attributes.size == 6


async def test_without_a_ttl_a_refresh_asks_at_once(world, autojump_clock) -> None:
    world.bucket.put("a", b"1")
    world.tree = world.make_tree(settings=TreeSettings(metadata_ttl_s=0))
    await world.names()
    inode = (await world.lookup("a")).attributes.inode
    for refreshed in (inode, Tree.ROOT):
        await world.names()
        world.bucket.requests.clear()
        world.tree.refresh(refreshed)
        await world.lookup("a")
        assert world.bucket.count("HEAD") == 1


# --- origins whose listings never end ---


def never_ending(bucket, page_of):
    """Have every listing go on for ever; ``page_of`` makes the page of a number."""

    class Endless(type(bucket)):
        async def list_page(self, prefix, *, token="", **more):
            await self._request("LIST", prefix)
            number = int(token or 0)
            objects = tuple(ObjectMeta(key, 1, "E", 0) for key in page_of(prefix, number))
            return ListPage(objects, (), str(number + 1))

    bucket.__class__ = Endless


def same(prefix, number):
    return [f"{prefix}a", f"{prefix}b"]


def empty(prefix, number):
    return []


@pytest.mark.parametrize("page_of", [same, empty])
async def test_a_listing_that_does_not_get_on_is_an_error(world, autojump_clock, page_of) -> None:
    never_ending(world.bucket, page_of)
    assert isinstance(await error_of(world.names()), BadAnswer)
    if page_of is empty:
        assert isinstance(await error_of(world.lookup("x")), BadAnswer)
    assert len(world.bucket.requests) < 10


async def test_names_that_are_hidden_without_end_end_in_time_and_take_no_memory(
    world, autojump_clock
) -> None:
    long = "x" * 300
    never_ending(world.bucket, lambda prefix, number: [f"{prefix}{number:09}{long}"])
    world.bucket.delay_s = 0.1
    world.tree = world.make_tree(settings=TreeSettings(timeout_s=6))
    began = trio.current_time()
    assert isinstance(await error_of(world.names()), OriginTimeout)
    assert 12 <= trio.current_time() - began < 13
    await trio.sleep(10)
    asked = world.bucket.count("LIST")
    await trio.sleep(100)
    assert world.bucket.count("LIST") == asked  # nobody reads


async def test_new_names_without_end_are_read_only_as_far_as_somebody_reads(
    world, autojump_clock
) -> None:
    never_ending(
        world.bucket, lambda prefix, number: [f"{prefix}{number:06}{i:04}" for i in range(1000)]
    )
    world.bucket.delay_s = 0.1
    handle = await world.tree.open_directory(Tree.ROOT)
    for offset in (0, 1000, 2000):
        assert await world.tree.list_directory(handle, offset, 10)
    await trio.sleep(1000)
    assert world.bucket.count("LIST") < 10


async def test_a_directory_that_grows_without_end_is_not_read_anew_to_its_end(
    world, autojump_clock
) -> None:
    for number in range(10):
        world.bucket.put(f"{number}")
    await world.names()
    never_ending(
        world.bucket, lambda prefix, number: [f"{prefix}{number:06}{i:04}" for i in range(1000)]
    )
    world.bucket.delay_s = 0.1
    await trio.sleep(TTL + 1)
    for number in range(10):
        with suppress(OssfsError):
            await world.lookup(f"{number}")
    await trio.sleep(1000)
    assert world.bucket.count("LIST") < 40


async def test_a_lookup_ends_whatever_the_origin_does(world, autojump_clock) -> None:
    """One request may take as long as ``--timeout``; what asks many has an end as well."""
    world.tree = world.make_tree(settings=TreeSettings(timeout_s=6))
    world.bucket.delay_s = 10_000
    began = trio.current_time()
    assert isinstance(await error_of(world.lookup("x")), OriginTimeout)
    assert trio.current_time() - began == pytest.approx(12)


async def test_an_error_that_is_over_while_somebody_waits_is_still_an_error(
    world, autojump_clock
) -> None:
    """Listings fail for good, heads work: the one clears what the other waits with."""
    world.bucket.put("file")
    world.bucket.error = Unreachable("no route to host")
    await error_of(world.lookup("x"))

    class Listless(type(world.bucket)):
        async def list_page(self, prefix, **more):
            self.requests.append(("LIST", prefix))
            await trio.sleep(10_000)

    world.bucket.__class__ = Listless
    world.bucket.error = None
    async with trio.open_nursery() as nursery:

        async def head_works() -> None:
            await trio.sleep(0.5)
            await world.tree._origin.head("file")

        nursery.start_soon(head_works)
        assert isinstance(await error_of(world.lookup("y")), Unreachable)
