"""The flow record: the names of its fields, and finished records as JSON."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FIELDS: tuple[str, ...] = (
    "id",  # position in the blob, see `Position.record_id`
    # Of the tuple's first field: RFC 3339 UTC with milliseconds.
    "time",
    # Of the entry and the group that the tuple stands in, as written.
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


@dataclass(frozen=True, slots=True)
class Lines:
    """Finished records, a JSON object each, in file order: side by side in one piece of memory.

    `text` is the objects in UTF-8 with a comma between them, `ends` where each of them ends, in
    eight bytes each.
    """

    text: bytes | bytearray
    ends: array[int]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Lines:
        """From records one by one."""
        text = bytearray()
        ends = array("q")
        for line in lines:
            text += b"," + line.encode() if ends else line.encode()
            ends.append(len(text))
        return cls(text, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self.ends:
            yield self.text[start:end].decode()
            start = end + 1

    def __getitem__(self, index: int) -> str:
        """One record; `IndexError` where there is none."""
        index = range(len(self))[index]
        return str(self.joined(range(index, index + 1)), "utf-8")

    def joined(self, run: range) -> memoryview:
        """The records of a run of indexes, not copied, with the commas between them."""
        start = self.ends[run.start - 1] + 1 if run.start else 0
        return memoryview(self.text)[start : self.ends[run.stop - 1] if run else start]
