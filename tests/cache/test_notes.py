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
    assert store.notes.jobs() == [(numbers[0], "b"), (numbers[2], "c")]
    assert store.notes.add_job("d") > numbers[2]
    store.close()
