"""What Flowlog reads in the answers of a storage service: the error code and the time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

_CODE_IN_BODY = re.compile(r'(?:"code":\s*"|<(?:\w+:)?code>)(\w+)', re.IGNORECASE)


def error_code(error: Exception) -> str:
    """The service's error code, such as BlobNotFound. Empty if the answer had none."""
    code = getattr(error, "error_code", None)  # text, or a member of an enumeration
    if code is not None:
        return str(getattr(code, "value", code))
    # The tables client leaves the code of a failed insert or batch in the body, in its message.
    found = _CODE_IN_BODY.search(str(error))
    return found[1] if found else ""


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The `Date` in the headers of an answer, aware UTC in whole seconds. None without one.

    Raises `ValueError` if the header is not a date.
    """
    date = headers.get("Date")
    return None if date is None else http_date(date)


@lru_cache(maxsize=4096)  # answers of one second have one date, and many blobs of a listing too
def http_date(text: str) -> datetime:
    """A date as HTTP writes it, aware UTC. Raises `ValueError` if it is none."""
    return parsedate_to_datetime(text).astimezone(UTC)
