"""What a client of a bucket is told when it is made."""

from dataclasses import dataclass

from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.proxy import Proxy
from ossfs_resume.oss.signing import SignatureVersion


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """``timeout_s``: seconds a metadata call may take and a range may go without progress (0: no
    limit). ``connections`` and ``metadata_connections``: requests at a time in either lane."""

    endpoint: Endpoint
    timeout_s: float = 60.0
    connections: int = 32
    metadata_connections: int = 16
    signature: SignatureVersion = "v4"
    proxy: Proxy | None = None
    request_payer: bool = False
    """Agree to pay for requests to a bucket whose owner does not."""
