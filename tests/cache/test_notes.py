"""What is noted beside objects survives."""

from ossfs_resume.cache import CacheSettings, CacheStore


def test_a_store_is_new_until_it_was_mounted(settings: CacheSettings) -> None:
    for expected in (True, False):
        store = CacheStore.open(settings)
        assert store.notes.is_new is expected
        store.notes.mark_known()
        assert not store.notes.is_new
        store.abandon()


def test_jobs_survive_in_their_order(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    numbers = [store.notes.add_job(path) for path in ("b", "a", "c")]
    store.notes.remove_job(numbers[1])
    store.abandon()
    store = CacheStore.open(settings)
    assert store.notes.jobs() == [(numbers[0], "b", False), (numbers[2], "c", False)]
    assert store.notes.add_job("d") > numbers[2]
    store.close()


def test_a_pause_survives_and_is_that_of_one_path_or_all_below(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    for path in ("a/", "a/b", "ab", ""):
        store.notes.add_job(path)
    store.notes.pause_jobs("a/", is_paused=True)
    store.notes.pause_jobs("a/b", is_paused=False)
    store.abandon()
    store = CacheStore.open(settings)
    assert [job.path for job in store.notes.jobs() if job.is_paused] == ["a/"]
    store.notes.pause_jobs("", is_paused=True)
    assert all(job.is_paused for job in store.notes.jobs())
    store.close()
