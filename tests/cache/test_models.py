"""Settings refuse what makes no sense."""

from pathlib import Path

import pytest

from ossfs_resume.cache.models import CacheSettings, EntrySummary, ObjectVersion
from ossfs_resume.errors import SettingsError


@pytest.mark.parametrize("identity", ["", ".", "..", "a/b", "a\0b"])
def test_an_identity_must_be_a_file_name(identity: str) -> None:
    with pytest.raises(SettingsError, match="identity"):
        CacheSettings(Path("/cache"), identity)


@pytest.mark.parametrize("part_size", [0, 32 * 1024, 100_000])
def test_a_part_size_must_be_a_power_of_two_from_64_kib(part_size: int) -> None:
    with pytest.raises(SettingsError, match=str(part_size)):
        CacheSettings(Path("/cache"), "bucket", part_size=part_size)


def test_an_empty_object_is_complete() -> None:
    version = ObjectVersion("key", "etag", 0)
    assert EntrySummary(version, 1 << 18, 0, 0, 0, False).is_complete
