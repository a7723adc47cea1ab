"""From the options to a client of the bucket: endpoint, credentials, proxy and certificates."""

import logging
import os
import ssl
from dataclasses import dataclass, field, replace
from typing import cast

from ossfs_resume.config import Options, Source
from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials import CredentialsProvider, StaticCredentials, files, ossutil
from ossfs_resume.oss.credentials.chain import Provider, Surroundings, find_credentials
from ossfs_resume.oss.credentials.fetching import Fetcher
from ossfs_resume.oss.endpoint import Endpoint, Location, complete, parse_endpoint
from ossfs_resume.oss.proxy import choose
from ossfs_resume.oss.settings import ClientSettings
from ossfs_resume.oss.signing import SignatureVersion
from ossfs_resume.oss.transport import tls_context

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """All that a client needs but the credentials, which may have to be asked for."""

    client: ClientSettings
    context: ssl.SSLContext = field(repr=False)
    located_by: str = ""
    """The file that the endpoint or the region comes from, if no option gave it."""

    @property
    def endpoint(self) -> Endpoint:
        """The bucket."""
        return self.client.endpoint

    def open(
        self, credentials: CredentialsProvider, *, timeout_s: float | None = None
    ) -> OssClient:
        """A client; ``timeout_s`` replaces the one of the options."""
        settings = self.client
        if timeout_s is not None:
            settings = replace(settings, timeout_s=timeout_s)
        return OssClient(settings, credentials, context=self.context)


def origin_settings(source: Source, options: Options) -> OriginSettings:
    """What the options say of the origin, and ossutil's file of what they leave open.

    Blocks for 20 ms. Raises SettingsError.
    """
    endpoint, located_by = _endpoint(source.bucket, options)
    scheme, port = endpoint.scheme, endpoint.port
    proxy = choose(options.proxy or "", os.environ, scheme, endpoint.request_host, port)
    version = "v4" if options.is_anonymous else options.signature
    client = ClientSettings(
        endpoint,
        options.timeout,
        options.connections,
        signature=cast("SignatureVersion", version),
        proxy=proxy,
        request_payer=options.request_payer,
    )
    return OriginSettings(client, tls_context(options.ca_bundle), located_by)


def _endpoint(bucket: str, options: Options) -> tuple[Endpoint, str]:
    given = Location(options.endpoint or "", options.region or "", options.addressing)
    place = complete(bucket, given, lambda: _ossutil_location(bucket))
    try:
        endpoint = parse_endpoint(
            bucket,
            place.endpoint,
            place.region,
            place.addressing,
            region_required=options.signature == "v4",
        )
    except SettingsError as error:
        raise place.blamed(error) from None
    if place.where:
        log.debug("endpoint %s, region %s: %s", endpoint.base_url, endpoint.region, place.where)
    return endpoint, place.where


def _ossutil_location(bucket: str) -> Location:
    try:
        file = Surroundings(os.environ).ossutil_file
        text = files.read(file)
    except files.Unreadable as error:
        log.debug("no endpoint: %s", error)
        return Location()
    return Location() if text is None else ossutil.parse_location(text, bucket, str(file))


async def origin_credentials(options: Options, settings: OriginSettings) -> Provider:
    """Where the access key comes from. Raises SettingsError if it comes from nowhere."""
    if options.is_anonymous:
        return StaticCredentials(None, options.signature)
    surroundings = Surroundings(os.environ, options.access_key, options.credentials_process or "")
    fetcher = Fetcher(settings.context, os.environ, options.proxy or "")
    chosen = "" if options.credentials == "auto" else options.credentials
    return await find_credentials(surroundings, fetcher, chosen)
