"""Signs requests with the key and the time of the moment."""

import logging
from collections.abc import Callable
from typing import Literal

from ossfs_resume.loops import Loop
from ossfs_resume.oss import sign, wire
from ossfs_resume.oss.credentials import CredentialsProvider
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.request import Request

log = logging.getLogger(__name__)

SignatureVersion = Literal["v4", "v1"]


class Signer:
    """Each attempt is signed anew: the time, the token or the known error of the clock differ."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: SignatureVersion,
        credentials: CredentialsProvider,
        clock: Callable[[], float],
    ) -> None:
        self._scope = sign.Scope(endpoint.region, endpoint.product)
        self._version = version
        self._credentials = credentials
        self._clock = clock
        self._offset_s = 0.0
        self.home: Loop | None = None
        """Where the source of keys lives; None: with whoever asks."""

    @property
    def key_source(self) -> str:
        """Where keys come from."""
        return self._credentials.origin

    async def sign(self, request: Request) -> tuple[Request, Credentials | None]:
        """The request as it is sent, and the key it is signed with (None: anonymous)."""
        if fresh := self._credentials.fresh():
            credentials = fresh[0]
        else:
            current = self._credentials.current
            credentials = await (current() if self.home is None else self.home.call(current))
        if credentials is None:
            return request, None
        now = self._clock() + self._offset_s
        if self._version == "v1":
            return sign.sign_v1(request, credentials, now), credentials
        return sign.sign_v4(request, credentials, self._scope, now), credentials

    def correct_clock(self, date: str) -> None:
        """Takes over the time of the origin from the Date header of an answer.

        OSS accepts 15 minutes of difference; a machine with a wrong clock works on.
        """
        try:
            offset_s = wire.parse_http_date(date) - self._clock()
        except ValueError:
            return
        if abs(offset_s - self._offset_s) > 60:
            log.warning("this machine's clock is wrong by %.0f s; set it", -offset_s)
        self._offset_s = offset_s

    def renew(self, credentials: Credentials) -> bool:
        """The origin takes them for expired; True if there may be others."""
        return self._credentials.refused(credentials)
