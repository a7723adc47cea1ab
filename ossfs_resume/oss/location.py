"""Endpoint and region: what was given, completed by what ossutil was configured with.

Somebody for whom ossutil works need not say again where the bucket is. But what was given has the
word: a region is not combined with the endpoint of another one, and an endpoint that tells its
region keeps it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.endpoint import Addressing, clean_region, parse_endpoint


@dataclass(frozen=True, slots=True)
class Location:
    """Text as a user wrote it, empty for what is not known; ``where`` names the file that some of
    it stood in."""

    endpoint: str = ""
    region: str = ""
    addressing: str = Addressing.AUTO
    where: str = ""

    def blamed(self, error: SettingsError) -> SettingsError:
        """The error with the file to be corrected, if it is not an option."""
        return SettingsError(f"{self.where}: {error}") if self.where else error


def complete(bucket: str, given: Location, find: Callable[[], Location]) -> Location:
    """``given`` with what it lacks; ``find`` reads ossutil's file and is called if need be.

    Raises SettingsError.
    """
    if given.endpoint:
        if given.region or _region_of(bucket, given):
            return given
        found = find()
        return replace(given, region=found.region, where=found.where if found.region else "")
    found = find()
    if not found.endpoint:
        return given if given.region else replace(given, region=found.region, where=found.where)
    if given.region and _region_of(bucket, found) not in ("", clean_region(given.region)):
        return given
    addressing = found.addressing if given.addressing == Addressing.AUTO else given.addressing
    return replace(found, region=given.region or found.region, addressing=addressing)


def _region_of(bucket: str, place: Location) -> str:
    """The region that the endpoint tells by itself."""
    try:
        return parse_endpoint(bucket, place.endpoint, region_required=False).region
    except SettingsError as error:
        raise place.blamed(error) from None
