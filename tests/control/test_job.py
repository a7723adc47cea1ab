from ossfs_resume.control.job import Job


def test_a_job_covers_its_key_or_what_is_below_its_prefix() -> None:
    assert Job(1, "a").covers("a")
    assert not Job(1, "a").covers("ab")
    assert Job(1, "a/").covers("a/b")
    assert not Job(1, "a/").covers("ab")
    assert Job(1, "").covers("anything")
