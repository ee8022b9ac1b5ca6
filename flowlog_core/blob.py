"""Where a flow log is stored, what its name says, and the ids that follow from it.

Azure writes one blob per network interface and hour, in one of two containers. The names are
documented on Microsoft's pages "NSG flow logs overview" and "Virtual network flow logs"::

    resourceId=/SUBSCRIPTIONS/{subscription}/RESOURCEGROUPS/{group}/PROVIDERS/MICROSOFT.NETWORK
        /NETWORKSECURITYGROUPS/{nsg}/y=2018/m=11/d=13/h=12/m=00/macAddress={MAC}/PT1H.json
    flowLogResourceID=/{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_{REGION}_{FLOWLOGNAME}
        /y=2025/m=01/d=31/h=09/m=00/macAddress={MAC}/PT1H.json

The part between the prefix and the date has had at least three shapes for virtual networks, and
its letter case varies. Flowlog keeps it as written and does not interpret it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

_NAME = re.compile(
    r"(?:(?P<nsg>resourceId)|flowLogResourceID)=(?P<resource_id>/.+)"
    r"/y=(?P<year>[0-9]{4})/m=(?P<month>[0-9]{2})/d=(?P<day>[0-9]{2})/h=(?P<hour>[0-9]{2})"
    r"/m=[0-9]{2}/macAddress=(?P<mac>[^/]+)/PT1H\.json",
    re.IGNORECASE | re.ASCII,
)

# Controls of C0 and C1, ends of lines, and what turns the direction of text: no name of Azure's has
# them, and in a line of the log they could pass for another line. Sources: ECMA-48; UAX #9. Nor has
# one the segments `.` and `..`: HTTP libraries take them out of a path (RFC 3986, section 5.2.4),
# so another blob would be read.
_IN_NO_NAME = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|/\\.\\.?/"
)


@dataclass(frozen=True, slots=True)
class LogBlob:
    """What the name of a flow log blob says.

    `hour` is the aware UTC start of the hour that the blob covers. `resource_id` and `mac` are as
    written, letter case included; `name` is the whole name, without the container.
    """

    kind: Literal["nsg", "vnet"]
    resource_id: str
    hour: datetime
    mac: str
    name: str

    @classmethod
    def parse(cls, name: str) -> LogBlob | None:
        """Read a blob name (without its container). Returns None if it is not a flow log's."""
        match = _NAME.fullmatch(name)
        if match is None or _IN_NO_NAME.search(name):
            return None
        year, month, day, hour_of_day = map(int, match.group("year", "month", "day", "hour"))
        try:
            hour = datetime(year, month, day, hour_of_day, tzinfo=UTC)
        except ValueError:  # not a date of the calendar
            return None
        kind: Literal["nsg", "vnet"] = "nsg" if match["nsg"] else "vnet"
        return cls(kind, match["resource_id"], hour, match["mac"], name)


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One flow log blob: where it is stored, and what its name says."""

    account: str
    container: str
    log: LogBlob

    @property
    def name(self) -> str:
        """The blob's name in its container."""
        return self.log.name

    def __str__(self) -> str:
        return f"{self.account}/{self.container}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> BlobRef | None:
        """Read what `str` wrote. Returns None if `text` is anything else."""
        account, _, rest = text.partition("/")
        container, _, name = rest.partition("/")
        log = LogBlob.parse(name)
        return None if log is None else cls(account, container, log)


def hour_key(hour: datetime) -> str:
    """An hour as written in keys and names, such as 2024-08-19T18Z. Sorts by time."""
    return f"{hour:%Y-%m-%dT%HZ}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry begins; every id is made from it.

    Ids are positions: which blob, which generation of it, the byte offset of the entry, and the
    tuples within the entry. So the same bytes always get the same ids, whatever the chunks and the
    version of this code that reads them. Two tuples with the same content at two positions are two
    records, because Azure writes identical tuples that are both genuine.
    """

    blob: BlobRef
    generation: int = 0
    """How often the blob was found to be rewritten."""
    offset: int = 0
    """The first byte of the entry, counted from the beginning of the blob."""

    def at(self, offset: int) -> Position:
        """Another entry of the same blob and generation."""
        return replace(self, offset=offset)

    @property
    def source(self) -> dict[str, str | int]:
        """The position as messages and dead letters state it."""
        return {
            "account": self.blob.account,
            "container": self.blob.container,
            "blob": self.blob.name,
            "generation": self.generation,
            "offset": self.offset,
        }

    @property
    def blob_digest(self) -> str:
        """24 hexadecimal digits: the digest of account, container and blob name."""
        return _blob_digest(self.blob.account, self.blob.container, self.blob.name)

    @property
    def entry_id(self) -> str:
        """The id of the entry. The ids of its records and messages begin with it and a dot."""
        return f"{self.blob_digest}.{self.generation}.{self.offset}"

    def record_id(self, tuple_index: int) -> str:
        """The id of a record; `tuple_index` counts over the whole entry, from 0."""
        return f"{self.entry_id}.{tuple_index}"

    def message_id(self, tuple_indexes: Sequence[int]) -> str:
        """The id of the message that carries the records of these tuples, in ascending order.

        It names the first tuple and how many there are, so that one id always has the same content,
        however the entry is divided into messages. If tuples between them are left out, a digest
        of the indexes follows.
        """
        first, count = tuple_indexes[0], len(tuple_indexes)
        name = f"{self.entry_id}.m{first}.{count}"
        if tuple_indexes[-1] - first + 1 == count:
            return name
        return f"{name}.{digest(','.join(map(str, tuple_indexes)), digest_bytes=4)}"


def entry_id_of(item_id: str) -> str:
    """The entry's id, from the id of one of its records, messages or dead letters."""
    return ".".join(item_id.split(".")[:3])


@lru_cache(maxsize=4096)
def _blob_digest(account: str, container: str, name: str) -> str:
    # A JSON array separates the three, whatever characters they contain.
    return digest(json.dumps([account, container, name]), digest_bytes=12)


def digest(content: str | bytes, digest_bytes: int) -> str:
    """The BLAKE2b digest of `content` in hexadecimal digits, two a byte.

    Digests are parts of keys and ids that are stored, so they never change.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=digest_bytes).hexdigest()
