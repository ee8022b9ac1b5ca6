"""Which flow logs and which of their records are wanted: a time range, resources, interfaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flowlog_core.analyze.widths import duration_s
from flowlog_core.blob import LogBlob
from flowlog_core.shape.rules import Rules, parse

_IS_AGO = re.compile(r"[0-9.]+[a-z]+", re.ASCII)
_NAME = re.compile(r"(?:resourceId|flowLogResourceID)=/", re.IGNORECASE)


def moment(text: str, now: datetime) -> datetime:
    """A time in UTC as written: `2026-01-31`, `2026-01-31T09`, `T09:30`, or `90m`, `24h`, `7d` ago.

    Raises ValueError, with a message for the user, for anything else.
    """
    try:
        if _IS_AGO.fullmatch(text.strip()):
            return now - timedelta(seconds=duration_s(text))
        time = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        message = (
            f"{text!r} is not a time. Write 2026-01-31, 2026-01-31T09:30 (UTC), or 24h for 24 "
            "hours ago"
        )
        raise ValueError(message) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted. Records are from `since` on and before `until`, by their own times.

    `resource` is as `has_resource` takes it, `mac` an interface's MAC address; where a file's name
    says neither, its records are asked.
    """

    since: datetime | None = None
    until: datetime | None = None
    resource: str = ""
    mac: str = ""

    @property
    def by_time(self) -> list[Rules]:
        """Rules for the times of records."""
        bounds = [(">=", self.since), ("<", self.until)]
        return [
            parse(f"time{operator}{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}")
            for operator, time in bounds
            if time is not None
        ]

    @property
    def by_text(self) -> list[Rules]:
        """Rules for records of which no blob's name says which resource and interface they are."""
        rules = []
        if self.resource:
            text = re.sub("[,;=<>!]", "?", self.resource)
            globs = (text, f"*/{text}") if _is_glob(text) else (f"*{text}*",)
            rules.append(parse("; ".join(f"resource_id={glob}" for glob in globs)))
        if self.mac:
            rules.append(parse(f"mac={plain_mac(self.mac)}"))
        return rules

    @property
    def first_hour(self) -> datetime | None:
        """The hour in which the range begins."""
        return self.since and self.since.replace(minute=0, second=0, microsecond=0)

    def has_hour(self, hour: datetime) -> bool:
        """Whether the blob of an hour may hold records of the range.

        Azure logs a minute after it has passed, so the first entry of an hour is about the one
        before it: the blob of the hour in which the range ends is read too.
        """
        return (self.since is None or hour + timedelta(hours=1) > self.since) and (
            self.until is None or hour <= self.until
        )

    def has(self, log: LogBlob) -> bool:
        """Whether a blob of that name may hold what is wanted."""
        return (
            self.has_hour(log.hour)
            and has_resource(self.resource, log.resource_id)
            and has_mac(self.mac, log.mac)
        )


def plain_mac(text: str) -> str:
    """The 12 hexadecimal digits of a MAC address, however written."""
    return re.sub(r"[-:.]", "", text).upper()


def has_mac(wanted: str, mac: str) -> bool:
    """Whether an interface is wanted: by its MAC address, or any if `wanted` is empty."""
    return not wanted or plain_mac(wanted) == mac.upper()


def has_resource(wanted: str, resource_id: str) -> bool:
    """Whether an id is of a resource that is wanted; letter case does not matter.

    With `*` (any text) or `?` (a character), `wanted` must match the whole id or its last part;
    without, it must be in the id.
    """
    wanted, resource_id = wanted.lower(), resource_id.lower()
    if not _is_glob(wanted):
        return wanted in resource_id
    pattern = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in wanted)
    last_part = resource_id.rstrip("/").rpartition("/")[2]
    return any(re.fullmatch(pattern, text, re.DOTALL) for text in (resource_id, last_part))


def _is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def named_in(path: str) -> LogBlob | None:
    """The flow log that a path names, as `az storage blob download-batch` lays files out."""
    path = path.replace("\\", "/")
    found = _NAME.search(path)
    if found is None:
        return None
    name = re.sub(r"\.gz$", "", path[found.start() :], flags=re.IGNORECASE)
    return LogBlob.parse(name)
