"""Inodes and open files as a file system uses them."""

import pytest
import trio
import trio.testing

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import Generation, ObjectVersion
from ossfs_resume.errors import (
    CacheError,
    IsADirectory,
    NoProgress,
    NotADirectory,
    OssfsError,
    StaleVersion,
    Unreachable,
)
from ossfs_resume.vfs.handles import CONFIRM_AGE_S

TTL = 60.0


async def error_of(call) -> BaseException:
    with pytest.raises(OssfsError) as caught:
        await call
    return caught.value


def holders(world) -> int:
    return sum(download.holders for download in world.cache.downloads)


def version(world, key: str) -> ObjectVersion:
    meta = world.bucket.objects[key][0]
    return ObjectVersion(meta.key, meta.etag, meta.size)


# --- reading ---


async def test_a_read_is_exact_and_clipped_at_the_end(world, autojump_clock) -> None:
    world.bucket.put("a", b"0123456789")
    handle = await world.open("a")
    for offset, length, expected in [(2, 3, b"234"), (8, 9, b"89"), (10, 1, b""), (99, 1, b"")]:
        assert await world.tree.read(handle, offset, length) == expected
    await world.tree.release(handle)
    assert holders(world) == 0
    assert isinstance(await error_of(world.tree.read(handle, 0, 1)), StaleVersion)


async def test_an_empty_object_is_opened_and_read_without_the_engine(world, autojump_clock) -> None:
    world.bucket.put("a", b"")
    handle = await world.open("a")
    assert await world.tree.read(handle, 0, 10) == b""
    await world.tree.release(handle)
    assert world.cache.downloads == []


async def test_files_and_directories_are_not_taken_for_each_other(world, autojump_clock) -> None:
    world.bucket.put("d/x")
    directory = (await world.lookup("d")).attributes.inode
    file = (await world.lookup("d/x")).attributes.inode
    assert isinstance(await error_of(world.tree.open(directory)), IsADirectory)
    assert isinstance(await error_of(world.tree.open_directory(file)), NotADirectory)
    assert isinstance(await error_of(world.tree.lookup(file, b"y")), NotADirectory)
    assert world.tree.version_of(file).key == "d/x"
    assert world.tree.prefix_of(directory) == "d/"
    with pytest.raises(IsADirectory):
        world.tree.version_of(directory)


async def test_an_unknown_inode_is_stale(world, autojump_clock) -> None:
    for call in (world.tree.attributes, world.tree.open, world.tree.open_directory):
        assert isinstance(await error_of(call(4711)), StaleVersion)
    assert isinstance(await error_of(world.tree.list_directory(4711, 0, 1)), StaleVersion)


# --- replaced objects ---


async def test_a_superseded_version_cannot_be_opened(world, autojump_clock) -> None:
    world.bucket.put("a", b"1")
    old = (await world.lookup("a")).attributes.inode
    await trio.sleep(TTL)
    world.bucket.put("a", b"2")
    await world.names()
    assert isinstance(await error_of(world.tree.open(old)), StaleVersion)
    assert await world.tree.read(await world.open("a"), 0, 1) == b"2"


async def test_a_version_that_a_whole_listing_no_longer_shows_cannot_be_opened(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.names()
    inode = (await world.lookup("a")).attributes.inode
    world.cache.of("a").is_complete = True
    del world.bucket.objects["a"]
    await trio.sleep(TTL)
    await world.names()
    assert isinstance(await error_of(world.tree.open(inode)), StaleVersion)


async def test_opening_an_incomplete_file_known_for_long_asks_whether_it_is_current(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"1")
    inode = (await world.lookup("a")).attributes.inode
    await trio.sleep(10)
    world.bucket.put("a", b"2")
    assert isinstance(await error_of(world.tree.open(inode)), StaleVersion)
    assert holders(world) == 0
    assert await world.tree.read(await world.open("a"), 0, 1) == b"2"
    assert world.doubted == [inode]


@pytest.mark.parametrize(("age_s", "is_complete"), [(0.5, False), (10, True)])
async def test_a_file_just_seen_or_wholly_cached_opens_without_asking(
    world, autojump_clock, age_s, is_complete
) -> None:
    world.bucket.put("a")
    inode = (await world.lookup("a")).attributes.inode
    world.cache.of("a").is_complete = is_complete
    await trio.sleep(age_s)
    await world.tree.open(inode)
    assert world.cache.confirmations == 0


async def test_an_open_asks_the_cache_for_no_attributes(world, autojump_clock) -> None:
    world.bucket.put("a")
    [listed] = await world.entries(told=1)
    questions = world.cache.questions
    opened = await world.tree.open(listed.attributes.inode)
    assert (opened.size, world.cache.questions) == (4, questions)


async def test_an_open_that_fails_leaves_nothing_open(world, autojump_clock, monkeypatch) -> None:
    async def confirm(download: object) -> None:
        raise NoProgress("silence")

    monkeypatch.setattr(world.cache, "confirm", confirm)
    world.bucket.put("a")
    inode = (await world.lookup("a")).attributes.inode
    await trio.sleep(10)
    assert isinstance(await error_of(world.tree.open(inode)), NoProgress)
    assert holders(world) == 0
    assert world.tree.statistics().open_files == 0


@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_a_reader_of_a_changed_object_gets_stale_and_the_next_lookup_asks(
    world, autojump_clock, change
) -> None:
    world.bucket.put("a", b"1")
    handle = await world.open("a")
    del world.bucket.objects["a"]
    if change == "replaced":
        world.bucket.put("a", b"2")
    requests = len(world.bucket.requests)
    assert isinstance(await error_of(world.tree.read(handle, 0, 1)), StaleVersion)
    assert len(world.doubted) == 1, "the kernel keeps attributes as long as names"
    if change == "replaced":
        assert await world.tree.read(await world.open("a"), 0, 1) == b"2"
    else:
        assert "does not exist" in str(await error_of(world.lookup("a")))
    assert len(world.bucket.requests) == requests + 2


# --- bad cached bytes ---


async def test_a_new_incarnation_is_a_new_inode_at_once_and_without_a_request(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    await world.names()
    old = (await world.lookup("a")).attributes.inode
    requests = len(world.bucket.requests)
    assert world.tree.incarnation_changed(version(world, "a")) == old
    new = (await world.lookup("a")).attributes.inode
    assert [listed.attributes.inode for listed in await world.entries()] == [new]
    assert new != old
    assert isinstance(await error_of(world.tree.open(old)), StaleVersion)
    await world.tree.open(new)
    assert len(world.bucket.requests) == requests


async def test_an_evicted_and_then_replaced_object_opens_at_the_kernels_second_try(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"1")
    old = (await world.lookup("a")).attributes.inode
    world.tree.incarnation_changed(version(world, "a"))
    await trio.sleep(CONFIRM_AGE_S + 0.5)
    world.bucket.put("a", b"22")
    assert isinstance(await error_of(world.tree.open(old)), StaleVersion)
    new = (await world.lookup("a")).attributes
    assert new.size == 2
    assert await world.tree.read((await world.tree.open(new.inode)).handle, 0, 2) == b"22"


async def test_reads_of_bad_bytes_fail_at_once(world, autojump_clock) -> None:
    """Else the kernel could not drop its pages."""
    world.bucket.put("a", b"1")
    handle = await world.open("a")
    world.tree.incarnation_changed(version(world, "a"))
    assert isinstance(await error_of(world.tree.read(handle, 0, 1)), StaleVersion)


async def test_pages_are_true_until_the_cache_threw_away_what_they_were_read_from(
    world, autojump_clock
) -> None:
    """By this process or by another one, for want of room or because it was bad; the inode stays,
    or else backup programs read the file again."""
    world.bucket.put("a")
    inode = (await world.lookup("a")).attributes.inode

    async def open_and_close(stock: int | None, read: int | None) -> bool:
        world.cache.of("a").stock = stock and Generation(stock, Geometry(1, 1))
        opened = await world.tree.open(inode)
        world.cache.of("a").stock = read and Generation(read, Geometry(1, 1))
        await world.tree.release(opened.handle)
        return opened.pages_are_true

    assert await open_and_close(None, 1)
    assert await open_and_close(1, 1)
    assert not await open_and_close(None, 2)
    assert await open_and_close(2, 2)
    assert not await open_and_close(3, 3)
    assert not await open_and_close(None, None)
    assert await open_and_close(None, None)
    assert (await world.lookup("a")).attributes.inode == inode
    assert holders(world) == 0


# --- refreshing ---


async def test_after_a_refresh_the_next_lookup_asks(world, autojump_clock) -> None:
    world.bucket.put("d/a", b"1")
    directory = (await world.lookup("d")).attributes.inode
    old = (await world.tree.lookup(directory, b"a")).attributes.inode
    world.bucket.put("d/a", b"22")
    world.bucket.put("d/b", b"3")
    assert (await world.tree.lookup(directory, b"a")).attributes.inode == old
    world.tree.refresh(directory)
    assert world.doubted == [old]
    assert (await world.tree.lookup(directory, b"a")).attributes.size == 2
    assert (await world.tree.lookup(directory, b"b")).attributes.size == 1


async def test_a_refresh_of_one_file_leaves_its_siblings_known(world, autojump_clock) -> None:
    for name in ("a", "b"):
        world.bucket.put(name, b"1")
    await world.names()
    a, b = [(await world.lookup(name)).attributes.inode for name in ("a", "b")]
    requests = len(world.bucket.requests)
    world.tree.refresh(a)
    assert world.doubted == [a]
    assert (await world.lookup("b")).attributes.inode == b
    assert len(world.bucket.requests) == requests
    assert (await world.lookup("a")).attributes.inode == a
    assert len(world.bucket.requests) > requests


@pytest.mark.parametrize("name", ["file", "directory", "both~object"])
async def test_after_a_refresh_what_is_unchanged_is_stated_and_opened_as_before(
    world, autojump_clock, name
) -> None:
    for key in ("file", "directory/a", "both", "both/a"):
        world.bucket.put(key, b"1")
    inode = (await world.lookup(name)).attributes.inode
    requests = len(world.bucket.requests)
    world.tree.refresh(world.tree.ROOT)
    assert (await world.tree.attributes(inode)).inode == inode
    asked = len(world.bucket.requests)
    assert asked > requests
    await (world.tree.open_directory if name == "directory" else world.tree.open)(inode)
    await world.tree.attributes(inode)
    assert len(world.bucket.requests) == asked


@pytest.mark.parametrize("change", ["replaced", "deleted", "made a directory"])
async def test_after_a_refresh_a_changed_file_sends_the_kernel_to_look_again(
    world, autojump_clock, change
) -> None:
    world.bucket.put("a", b"1")
    inode = (await world.lookup("a")).attributes.inode
    del world.bucket.objects["a"]
    if change != "deleted":
        world.bucket.put("a/b" if "directory" in change else "a", b"22")
    world.tree.refresh(inode)
    for ask in (world.tree.attributes, world.tree.open):
        assert isinstance(await error_of(ask(inode)), StaleVersion)


async def test_after_a_refresh_a_directory_without_keys_is_gone(world, autojump_clock) -> None:
    world.bucket.put("d/a")
    inode = (await world.lookup("d")).attributes.inode
    world.tree.refresh(world.tree.ROOT)
    del world.bucket.objects["d/a"]
    for ask in (world.tree.attributes, world.tree.open_directory):
        assert isinstance(await error_of(ask(inode)), StaleVersion)
    world.bucket.put("d/a")
    await trio.sleep(TTL)
    assert (await world.tree.attributes(inode)).inode == inode


async def test_after_a_refresh_an_origin_that_is_away_makes_nothing_vanish(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"1")
    inode = (await world.lookup("a")).attributes.inode
    world.cache.of("a").is_complete = True
    world.tree.refresh(inode)
    world.bucket.error = Unreachable("away")
    assert (await world.tree.attributes(inode)).inode == inode
    await world.tree.open(inode)


async def test_a_superseded_file_that_is_open_has_attributes(world, autojump_clock) -> None:
    """The kernel asks for them before it reads."""
    world.bucket.put("a", b"1")
    opened = await world.tree.open((await world.lookup("a")).attributes.inode)
    inode = (await world.lookup("a")).attributes.inode
    await trio.sleep(TTL)
    world.bucket.put("a", b"22")
    assert (await world.lookup("a")).attributes.size == 2
    assert world.doubted == [inode]
    assert (await world.tree.attributes(inode)).size == 1
    await world.tree.release(opened.handle)
    assert isinstance(await error_of(world.tree.attributes(inode)), StaleVersion)


async def test_inodes_survive_a_remount(world, autojump_clock) -> None:
    world.bucket.put("a")
    inode = (await world.lookup("a")).attributes.inode
    world.tree.incarnation_changed(version(world, "a"))
    assert (await world.lookup("a")).attributes.inode != inode
    world.tree = world.make_tree()
    assert (await world.lookup("a")).attributes.inode == inode


# --- attributes ---


async def test_allocated_bytes_are_what_is_cached_but_never_zero(world, autojump_clock) -> None:
    for key in ("partial", "remote", "whole"):
        world.bucket.put(key, b"x" * 5000)
    world.bucket.put("zero", b"")
    world.cache.of("partial").present_bytes = 2000
    world.cache.of("whole").present_bytes = 5000
    attributes = [listed.attributes for listed in await world.entries()]
    assert [found.allocated_bytes for found in attributes] == [2000, 512, 5000, 0]
    assert {found.valid_s for found in attributes} == {TTL}
    assert world.cache.questions == 1


async def test_a_file_that_is_being_fetched_is_shown_anew_every_second(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"x" * 5000)
    world.bucket.put("b", b"x" * 5000)
    world.cache.of("a").present_bytes = 2000
    world.cache.of("b").present_bytes = 2000
    world.cache.in_use.add(version(world, "a"))
    listed = [listed.attributes for listed in await world.entries()]
    found = [(await world.lookup(name)).attributes for name in "ab"]
    for attributes in (listed, found):
        assert [each.valid_s for each in attributes] == [1.0, TTL]
        assert [each.allocated_bytes for each in attributes] == [2000, 2000]


async def test_the_kernel_asks_again_soon_after_somebody_began_to_fetch(
    world, autojump_clock
) -> None:
    world.bucket.put("a")
    [listed] = await world.entries(told=1)
    world.tree.grows(version(world, "a"))
    await trio.testing.wait_all_tasks_blocked()
    assert world.doubted == []
    await trio.sleep(1.1)
    assert world.doubted == [listed.attributes.inode]


async def test_an_open_files_allocated_bytes_are_live_and_short_lived(
    world, autojump_clock
) -> None:
    world.bucket.put("a", b"x" * 5000)
    handle = await world.open("a")
    inode = (await world.lookup("a")).attributes.inode
    world.cache.of("a").present_bytes = 3000
    questions = world.cache.questions
    found = await world.tree.attributes(inode)
    assert (found.allocated_bytes, found.valid_s) == (3000, 1.0)
    assert world.cache.questions == questions
    await world.tree.release(handle)
    world.cache.of("a").present_bytes = 5000
    assert (await world.tree.attributes(inode)).valid_s == TTL


async def test_a_cache_that_cannot_say_fails_no_stat(
    world, autojump_clock, monkeypatch, caplog
) -> None:
    def cached_below(prefix: str, limit: int) -> None:
        raise CacheError("disk")

    monkeypatch.setattr(world.cache, "cached_below", cached_below)
    world.bucket.put("a")
    assert (await world.lookup("a")).attributes.allocated_bytes == 512
    assert "disk" in caplog.text


async def test_a_listed_name_is_looked_up_without_a_question(world, autojump_clock) -> None:
    world.bucket.put("a")
    world.bucket.put("d/b")
    await world.entries()
    questions, requests = world.cache.questions, len(world.bucket.requests)
    found = [world.tree.lookup_at_once(world.tree.ROOT, name) for name in (b"a", b"d")]
    assert found == [await world.tree.lookup(world.tree.ROOT, name) for name in (b"a", b"d")]
    assert (world.cache.questions, len(world.bucket.requests)) == (questions, requests)
    assert world.tree.statistics().nodes == 3
    world.tree.refresh(world.tree.ROOT)
    assert world.tree.lookup_at_once(world.tree.ROOT, b"a") is None


async def test_where_files_are_being_fetched_each_name_is_asked_for_by_itself(
    world, autojump_clock
) -> None:
    for name in "ab":
        world.bucket.put(name, b"x" * 5000)
    await world.entries()
    world.cache.of("a").present_bytes = 3000
    asked = world.cache.asked_below
    assert [(await world.lookup(name)).attributes.allocated_bytes for name in "ab"] == [3000, 512]
    assert world.cache.asked_below == asked
    await trio.sleep(1)
    assert [(await world.lookup(name)).attributes.allocated_bytes for name in "ab"] == [3000, 512]
    assert world.cache.asked_below == asked + 1


# --- lifetime ---


async def test_a_listed_entry_is_held_only_once_the_kernel_took_it(world, autojump_clock) -> None:
    world.bucket.put("a")
    world.bucket.put("b")
    first, second = await world.entries(told=1)
    assert world.tree.statistics().nodes == 2
    world.tree.forget(first.attributes.inode, 1)
    world.tree.forget(second.attributes.inode, 1)
    assert world.tree.statistics().nodes == 1


async def test_every_lookup_counts(world, autojump_clock) -> None:
    world.bucket.put("a")
    inode = (await world.lookup("a")).attributes.inode
    await world.lookup("a")
    world.tree.forget(inode, 1)
    assert world.tree.statistics().nodes == 2
    world.tree.forget(inode, 1)
    assert world.tree.statistics().nodes == 1


async def test_open_handles_outlive_forget(world, autojump_clock) -> None:
    world.bucket.put("d/a")
    directory = (await world.lookup("d")).attributes.inode
    listing = await world.tree.open_directory(directory)
    world.tree.forget(directory, 1)
    assert len(await world.tree.list_directory(listing, 0, 10)) == 1
    world.tree.close_directory(listing)
    world.tree.close_directory(listing)
    assert world.tree.statistics().nodes == 1


async def test_space_is_the_caches(world, autojump_clock) -> None:
    assert world.tree.space().f_bsize > 0


async def test_requests_cut_off_by_the_end_of_the_mount_say_so(world, autojump_clock) -> None:
    world.bucket.delay_s = 100.0
    errors = []

    async def look() -> None:
        errors.append(await error_of(world.lookup("a")))

    async with trio.open_nursery() as callers, trio.open_nursery() as mount:
        world.tree = type(world.tree)(world.bucket, world.cache, world.cache, mount)
        callers.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        mount.cancel_scope.cancel()
    assert type(errors[0]).__name__ == "ShuttingDown"
