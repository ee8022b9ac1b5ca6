"""Which transport carries the storage calls of this process: libcurl's, where it is installed."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import certifi

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport

log = logging.getLogger(__name__)


def make_transport(
    *, connect_s: float, call_s: float, max_connections: int
) -> HttpTransport[Any, Any]:
    """A transport for all clients of the process, so that they share their connections.

    A call takes at most `call_s` seconds as a whole, `connect_s` of them to connect.
    """
    certificates = (
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    )
    # Imported when it is known which one is needed: a cold start pays for each.
    try:
        from flowlog_core.storage.curl_transport import CurlTransport  # noqa: PLC0415
    except ImportError:  # there is no wheel of pycurl for this platform
        from flowlog_core.storage.bounded_requests import BoundedRequestsTransport  # noqa: PLC0415

        log.info("pycurl is not installed: a storage call takes twice the processor time")
        return BoundedRequestsTransport(
            connect_s=connect_s,
            call_s=call_s,
            certificates=certificates,
            max_connections=max_connections,
        )
    return CurlTransport(connect_s=connect_s, call_s=call_s, certificates=certificates)
