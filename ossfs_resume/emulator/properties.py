"""What an object is besides its content: class, encoding, kind, version. Told by PUT headers.

Kept in memory: a file that was put into the directory by hand is an ordinary object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ossfs_resume.emulator.facts import Facts
from ossfs_resume.emulator.refusal import Refusal

STORAGE_CLASS = "Standard"
_KEPT = (
    "content-encoding",
    "content-type",
    "x-oss-storage-class",
    "x-oss-restore",
    "x-oss-server-side-encryption",
    "x-oss-server-side-encryption-key-id",
)
_ARCHIVES = frozenset(("archive", "coldarchive", "deepcoldarchive"))
FORBIDDEN_KEY = "forbidden"
"""The id of a KMS key that nobody may use."""


@dataclass(frozen=True, slots=True)
class Properties:
    """``headers`` by lower-case name; ``object_type`` if it does not follow from the content."""

    headers: Mapping[str, str] = field(default_factory=dict)
    object_type: str = ""
    version_id: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], object_type: str = "") -> "Properties":
        """What the headers of a PUT say."""
        kept = {name: headers[name] for name in _KEPT if name in headers}
        return cls(kept, object_type)

    @property
    def storage_class(self) -> str:
        """Standard unless told otherwise."""
        return self.headers.get("x-oss-storage-class", STORAGE_CLASS)

    def shown(self, facts: Facts) -> Facts:
        """The facts with the object's type."""
        return replace(facts, object_type=self.object_type) if self.object_type else facts

    def restored(self) -> "Properties":
        """As after the end of a restore."""
        expiry = 'ongoing-request="false", expiry-date="Thu, 24 Sep 2099 12:40:33 GMT"'
        return replace(self, headers={**self.headers, "x-oss-restore": expiry})

    def refuse_content(self) -> None:
        """Raise the refusal of a GET if the content may not be read."""
        is_archived = self.storage_class.lower() in _ARCHIVES
        if is_archived and 'ongoing-request="false"' not in self.headers.get("x-oss-restore", ""):
            message = "The operation is not valid for the object's state"
            raise Refusal(403, "InvalidObjectState", message, "0016-00000404")
        if self.headers.get("x-oss-server-side-encryption-key-id") == FORBIDDEN_KEY:
            raise Refusal(403, "AccessDenied", "This request is forbidden by kms", "0003-00000801")


ORDINARY = Properties()
