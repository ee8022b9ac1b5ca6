"""The flow record: the names of its fields, and finished records side by side."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, count
from operator import add

from flowlog_core.parsing.packed_text import PackedText

FIELDS: tuple[str, ...] = (
    "id",  # position in the blob, see `Position.record_id`
    # Of the tuple's first field: RFC 3339 UTC with milliseconds.
    "time",
    # Of the entry and the group that hold the tuple, as written.
    "log_time",  # the entry's `time`
    "category",
    "version",  # NSG: `properties.Version`; VNet: `flowLogVersion`
    "resource_id",  # NSG: `resourceId`; VNet: `flowLogResourceID`
    "target_resource_id",  # VNet: `targetResourceID`; NSG: null
    "mac",  # the entry's `macAddress`; NSG: first the inner flow's `mac`
    "rule",
    "acl_id",  # VNet: `aclID`; NSG: null
    # Of the tuple, in its own order.
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",  # IANA keyword in lower case, or the number as a string
    "protocol_number",
    "direction",  # inbound | outbound
    "action",  # allow | deny; VNet: deny for state D, else allow
    "state",  # begin | continue | end | deny (VNet); null in NSG version 1
    "encryption",  # VNet, as written; NSG: null
    # Since the flow's previous tuple, headers included; null where the tuple leaves them empty.
    "packets_src_to_dst",
    "bytes_src_to_dst",
    "packets_dst_to_src",
    "bytes_dst_to_src",
)

COUNTERS = FIELDS[-4:]
"""Numbers up to 2**63 - 1, or null."""

SUM_SUFFIX = ".agg"
"""Ends the id of the sum of a flow, `shape.aggregate`, which is that of its first tuple."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Finished records, a JSON object each, in file order."""

    records: Sequence[str]

    @classmethod
    def of(cls, records: Iterable[str]) -> Lines:
        """From records one by one."""
        return cls(list(records))

    def alike(self, records: Iterable[str]) -> Lines:
        """Lines of other records, packed if these are."""
        if not isinstance(self.records, PackedText):
            return Lines.of(records)
        packed = PackedText()
        packed.extend(records)
        return Lines(packed)

    @property
    def ends(self) -> array[int]:
        """Where each record ends, in bytes of UTF-8, if they are joined by commas."""
        sizes = map(len, map(str.encode, self.records))
        return array("q", map(add, accumulate(sizes), count()))

    def joined(self, run: range) -> bytes:
        """The records of a run of indexes in UTF-8, with commas between them."""
        return ",".join(self.records[run.start : run.stop]).encode()

    @property
    def last_time(self) -> datetime | None:
        """The time of the last record, aware UTC; None without one."""
        if not self.records:
            return None
        line = self.records[-1]  # the time follows the id, which holds no quotation mark
        start = line.index('"time":"') + len('"time":"')
        return datetime.fromisoformat(line[start : line.index('"', start)])

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __getitem__(self, index: int) -> str:
        return self.records[index]
