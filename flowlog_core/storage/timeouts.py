"""How long a storage call may take, and how long a claim must last because of that.

A send must end before the claim it was made under runs out. `Claim.keep` renews a claim that has
less than one part in `CALLS_A_CLAIM` left, so the longest call must fit into that part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import ServiceRequestTimeoutError

CONNECT_S = 3
TRY_S = 8
"""One try of a send or of a checkpoint call, connecting included."""
READ_S = 60
"""One try of any other call, such as reading 4 MiB of a blob. Nothing depends on its end."""
RETRIES = 2
BACKOFF_S = {"initial_backoff": 0, "increment_base": 2, "random_jitter_range": 1}
"""The waits between tries, as the SDK's `ExponentialRetry` takes them: 2**n s, a second more or
less. Its clients for tables wait 0.8 s and 1.6 s by default, or as long as the service asks."""

LONGEST_CALL_S = 18
"""A send or a checkpoint call as a whole: all tries, the waits between them, those that the service
asks for (`Retry-After`), and the making of a queue or table that is missing."""

CALLS_A_CLAIM = 3
MIN_CLAIM_S = CALLS_A_CLAIM * LONGEST_CALL_S
"""The shortest `FLOWLOG_CLAIM_S`."""


class _OfThread(threading.local):
    ends: float | None = None


_of_thread = _OfThread()


@contextmanager
def time_limit(seconds: float = LONGEST_CALL_S) -> Iterator[None]:
    """Bound the storage calls that this thread makes inside, all together.

    A call that is under way then fails as one that timed out, and no request leaves after it,
    however long the SDK meant to wait and to try again. Raises an `AzureError`, so it belongs
    inside of `storage_errors`.
    """
    before, ends = _of_thread.ends, time.monotonic() + seconds
    _of_thread.ends = ends if before is None else min(before, ends)
    try:
        yield
    finally:
        _of_thread.ends = before


def try_limit_s(call_s: float) -> float:
    """How long the next try may take, where the transport allows `call_s`.

    For transports. Raises `ServiceRequestTimeoutError` if the time limit is over.
    """
    if _of_thread.ends is None:
        return call_s
    left_s = _of_thread.ends - time.monotonic()
    if left_s <= 0:
        raise ServiceRequestTimeoutError("no time is left for a try")
    return min(left_s, call_s, TRY_S)


def sleep_within_limit(seconds: float) -> None:
    """Wait between two tries. For transports.

    Raises `ServiceRequestTimeoutError` at once if no time would be left after it.
    """
    ends = _of_thread.ends
    if ends is not None and time.monotonic() + seconds >= ends:
        raise ServiceRequestTimeoutError(f"no time is left to wait {seconds:.1f} s and try again")
    time.sleep(seconds)
