"""Generates flow logs for tests: entries in the three formats, and the tuples that they contain.

The same seed and the same calls give the same bytes. The data belongs to nobody: subscriptions are
00000000-0000-0000-0000-00000000000N, and remote addresses come from the ranges reserved for
documentation and benchmarks (RFC 5737, RFC 2544, RFC 3849).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from flowlog_core.testing.document import (
    HEAD,
    TAIL,
    GeneratedEntry,
    document,
    pretty_printed,
    tuples_in,
    with_byte_order_mark,
    with_keys_shuffled,
)
from flowlog_core.testing.interface import Interface, NameForm, utc
from flowlog_core.testing.traffic import EPOCH, Format, Rule, Traffic

__all__ = [
    "HEAD",
    "TAIL",
    "FlowLogGenerator",
    "Format",
    "GeneratedEntry",
    "Interface",
    "NameForm",
    "document",
    "pretty_printed",
    "tuples_in",
    "with_byte_order_mark",
    "with_keys_shuffled",
]

_ZERO_GUID = "00000000-0000-0000-0000-000000000000"
_Groups = list[tuple[Rule, list[str]]]


class FlowLogGenerator:
    """Writes entries as Azure does. Not thread-safe: give each thread its own."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable test data, no secret
        self._traffic = Traffic(self._random)

    def entry(
        self, log_format: Format, interface: Interface, time: datetime, tuples: int = 20
    ) -> GeneratedEntry:
        """One entry, logged at `time`, with exactly `tuples` tuples from the minute before it.

        Azure keeps an entry under about 32 KB, some 400 tuples. With 0 tuples its flows are empty.
        Raises ValueError for a naive time, or for a format that is not of the interface's kind.
        """
        if (log_format == "vnet4") != (interface.kind == "vnet"):
            raise ValueError(f"{log_format} does not belong in a flow log of kind {interface.kind}")
        time = utc(time)
        groups = self._traffic.groups(log_format, interface, time, tuples)
        make = self._vnet_value if log_format == "vnet4" else self._nsg_value
        raw = json.dumps(make(log_format, interface, time, groups), separators=(",", ":")).encode()
        return GeneratedEntry(raw, tuple(text for _, group in groups for text in group))

    def minutes(
        self, log_format: Format, interface: Interface, start: datetime, *, tuples: int = 20
    ) -> Iterator[tuple[GeneratedEntry, ...]]:
        """The log of one interface, minute by minute without end; each item is one append.

        Sometimes a minute is split over two entries with one time, and sometimes an entry occurs
        twice; both are genuine. Every entry has between 1 and `tuples` tuples.
        """
        time = utc(start)
        while True:
            logged = time + timedelta(microseconds=self._random.randrange(20_000))
            count = 2 if self._random.random() < 0.15 else 1
            batch = [
                self.entry(log_format, interface, logged, self._random.randint(1, tuples))
                for _ in range(count)
            ]
            if self._random.random() < 0.05:
                batch.append(batch[-1])
            yield tuple(batch)
            time += timedelta(minutes=1)

    def stream(
        self,
        log_format: Format,
        interface: Interface,
        hour: datetime,
        total_bytes: int,
        *,
        tuples: int = 100,
        templates: int = 16,
    ) -> Iterator[bytes]:
        """A whole document of `total_bytes`, or up to one entry more, in pieces, for benchmarks.

        The first piece is HEAD and the last is TAIL. Each piece between them is one entry (with its
        comma) of exactly `tuples` tuples. The entries repeat `templates` rendered entries at new
        times, spread evenly over the hour. Generates some 500 MB a second on one core in little
        memory.
        """
        hour = utc(hour).replace(minute=0, second=0, microsecond=0)
        rendered = [
            _Template(self.entry(log_format, interface, hour, tuples).raw, hour, log_format)
            for _ in range(templates)
        ]
        yield HEAD
        written, count = len(HEAD), 0
        while written < total_bytes - len(TAIL):
            minute = 60 * written // total_bytes
            piece = rendered[count % templates].at(hour + timedelta(minutes=minute))
            if count:
                piece = b"," + piece
            yield piece
            written += len(piece)
            count += 1
        yield TAIL

    def _time(self, time: datetime) -> str:
        return f"{time:%Y-%m-%dT%H:%M:%S.%f}{self._random.randrange(10)}Z"

    def _nsg_value(
        self, log_format: Format, interface: Interface, time: datetime, groups: _Groups
    ) -> dict[str, Any]:
        value: dict[str, Any] = {"time": self._time(time), "systemId": interface.guid}
        if log_format == "nsg2":  # in newer captures; version 1 has the older form
            value["macAddress"] = interface.mac
        return value | {
            "category": "NetworkSecurityGroupFlowEvent",
            "resourceId": interface.resource_id,
            "operationName": "NetworkSecurityGroupFlowEvents",
            "properties": {
                "Version": int(log_format[-1]),
                "flows": [
                    {"rule": rule.name, "flows": [{"mac": interface.mac, "flowTuples": group}]}
                    for rule, group in groups
                ],
            },
        }

    def _vnet_value(
        self, log_format: Format, interface: Interface, time: datetime, groups: _Groups
    ) -> dict[str, Any]:
        acl_ids = {
            "nsg": interface.acl_resource_id,
            "guid": interface.guid,
            "platform": _ZERO_GUID,
            "unspecified": "unspecified",
        }
        flows: list[dict[str, Any]] = []
        for rule, group in groups:
            flow_group = {"rule": rule.name, "flowTuples": group}
            acl_id = acl_ids[rule.acl]
            # Azure writes one aclID in several elements as well as several groups in one element.
            if flows and flows[-1]["aclID"] == acl_id and self._random.random() < 0.5:
                flows[-1]["flowGroups"].append(flow_group)
            else:
                flows.append({"aclID": acl_id, "flowGroups": [flow_group]})
        return {
            "time": self._time(time),
            "flowLogGUID": interface.guid,
            "macAddress": interface.mac,
            "category": "FlowLogFlowEvent",
            "flowLogResourceID": interface.resource_id,
            "targetResourceID": interface.target_resource_id,
            "flowLogVersion": int(log_format[-1]),
            "operationName": "FlowLogFlowEvent",
            "flowRecords": {"flows": flows},
        }


class _Template:
    """A rendered entry whose times can be replaced, which is much faster than rendering again."""

    def __init__(self, raw: bytes, time: datetime, log_format: Format) -> None:
        self._unit = timedelta(milliseconds=1) if log_format == "vnet4" else timedelta(seconds=1)
        base = (time - EPOCH) // self._unit
        stamp = re.compile(rb'(?<=")\d{9,13}(?=,)')  # a tuple's time opens its string
        self._shifts = [int(found) - base for found in stamp.findall(raw)]
        raw = stamp.sub(b"%d", raw.replace(b"%", b"%%"))
        self._raw = re.sub(rb'(?<="time":")[^"]+', b"%b", raw, count=1)

    def at(self, time: datetime) -> bytes:
        base = (time - EPOCH) // self._unit
        logged = f"{time:%Y-%m-%dT%H:%M:%S.%f}0Z".encode()
        return self._raw % (logged, *[base + shift for shift in self._shifts])
