"""What is remembered of the versions that are read: their ids, and why they cannot be read now.

A bucket with versioning tells the id of a version with each range; only it leads back to a version
that has been replaced. What the origin said last is for those who stop waiting and know only that
nothing came. Both are a help and no more: they are bounded, and the oldest are forgotten.
"""

from dataclasses import replace

from ossfs_resume.errors import OriginError
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.wire import Headers, parse_version_id

MAX_VERSIONS = 10_000
"""Version ids remembered of what is being read."""

MAX_FAILING = 1000
"""Versions of which the last failure is remembered."""


class VersionNotes:
    """By key and ETag; no two versions share both."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], str] = {}
        self._failing: dict[tuple[str, str], str] = {}

    def failing(self, meta: ObjectMeta) -> str:
        """Why the last request for a range of this version failed; empty once one brought bytes.

        Whoever stops waiting knows only that nothing came; this is what the origin said.
        """
        return self._failing.get((meta.key, meta.etag), "")

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """How to go on reading a version that is not the current one; None if there is no way.

        By its version id if the bucket has told one; an appendable object may just have grown.
        """
        if meta.access != "current":
            return None
        version_id = meta.version_id or self._versions.get((meta.key, meta.etag), "")
        if version_id:
            return replace(meta, version_id=version_id, access="pinned")
        return replace(meta, access="grown") if meta.object_type == "Appendable" else None

    def failed(self, meta: ObjectMeta, error: OriginError) -> None:
        """A request for a range of this version failed."""
        self._failing.pop((meta.key, meta.etag), None)
        # Text: an exception would keep its frames, and what they had received, for as long.
        self._failing[meta.key, meta.etag] = str(error)
        if len(self._failing) > MAX_FAILING:
            del self._failing[next(iter(self._failing))]

    def brought_bytes(self, meta: ObjectMeta) -> None:
        """A range of this version is arriving."""
        self._failing.pop((meta.key, meta.etag), None)

    def answered(self, meta: ObjectMeta, headers: Headers) -> None:
        """An answer brings this version; it may tell its id."""
        if version_id := parse_version_id(headers):
            self._versions.pop((meta.key, meta.etag), None)
            self._versions[meta.key, meta.etag] = version_id
            if len(self._versions) > MAX_VERSIONS:
                del self._versions[next(iter(self._versions))]
