"""Which fields of a record are sent: all, some by name, or `lean`.

`lean` leaves out what a consumer can derive: nulls, and the three fields that the blob's name
contains, which is in every message's `source`. `restored` is the exact inverse of `lean`:
`restored(lean(record, blob), blob)` equals the record, whatever it contains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flowlog_core.blob import LogBlob
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.aggregate import AGGREGATE_FIELDS
from flowlog_core.shape.rule_text import Fault, FaultsError, pieces
from flowlog_core.shape.rule_values import nearest

Record = Mapping[str, Any]

ALL, LEAN = "all", "lean"
NAMES = (*FIELDS, *AGGREGATE_FIELDS)

_CATEGORIES = {"nsg": "NetworkSecurityGroupFlowEvent", "vnet": "FlowLogFlowEvent"}


@dataclass(frozen=True, slots=True)
class Fields:
    """What to send of each record: a preset, or names in order, with `id` always among them."""

    names: tuple[str, ...] | None = None
    """None with a preset."""
    is_lean: bool = False

    def __str__(self) -> str:
        """As it is written in the setting: `Fields.parse(str(fields)) == fields`."""
        if self.names is not None:
            return ",".join(self.names)
        return LEAN if self.is_lean else ALL

    @classmethod
    def parse(cls, text: str) -> Fields:
        """`all` (as is the empty text), `lean`, or names of fields with commas between them.

        If `id` is not among the names, it is added as the first. Raises `FaultsError`, a
        ValueError, with all faults and their positions.
        """
        preset = text.strip().lower()
        if preset in ("", ALL, LEAN):
            return cls(None, preset == LEAN)
        names: list[str] = []
        faults: list[Fault] = []
        for name, position in pieces(text, ","):
            if fault := _fault(name, names):
                faults.append(Fault(position, fault))
            names.append(name)
        if faults:
            raise FaultsError(faults)
        return cls(tuple(names) if "id" in names else ("id", *names))

    def select(self, record: Record, blob: str = "") -> dict[str, Any]:
        """The fields of the record that are sent. `blob` is the blob's name, if that is sent too.

        A named field that the record does not have (such as `tuples`, which only sums have) is
        left out.
        """
        if self.names is not None:
            return {name: record[name] for name in self.names if name in record}
        return lean(record, blob) if self.is_lean else dict(record)


def _fault(name: str, before: list[str]) -> str:
    if not name:
        return "expected the name of a field"
    if name in (ALL, LEAN):
        return f"{name} cannot be combined with other names"
    if name not in NAMES:
        return f"there is no field {name!r}.{nearest(name, NAMES)}"
    return f"{name} is named twice" if name in before else ""


def lean(record: Record, blob: str = "") -> dict[str, Any]:
    """The record without nulls, and without fields whose exact value the blob's name contains.

    A null stays if the name contains a value for that field, so that it is not restored wrongly.
    """
    known = from_name(blob)
    return {name: value for name, value in record.items() if value != known.get(name)}


def restored(lean_record: Record, blob: str = "") -> dict[str, Any]:
    """The whole record, in the order of `FIELDS`, of one that `lean` made with the same name."""
    known = from_name(blob)
    whole = {name: lean_record.get(name, known.get(name)) for name in FIELDS}
    return {**whole, **{name: lean_record[name] for name in lean_record if name not in whole}}


@lru_cache(maxsize=1024)
def from_name(blob: str) -> Mapping[str, str]:
    """The values that a blob's name contains for each record: category, resource and interface.

    Empty if the name is not that of a flow log.
    """
    log = LogBlob.parse(blob)
    if log is None:
        return {}
    return {"category": _CATEGORIES[log.kind], "resource_id": log.resource_id, "mac": log.mac}
