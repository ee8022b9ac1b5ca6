"""The three formats of flow log entries: where an entry keeps what, and what its tuples hold.

Field by field as in Microsoft's pages "NSG flow logs overview" (versions 1 and 2) and "Virtual
network flow logs" (version 4), and as seen in captures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowlog_core import tuple_tables as tables
from flowlog_core.compiled import writer_of

if TYPE_CHECKING:
    from flowlog_core._tuple_writer import Writer

NSG = "NetworkSecurityGroupFlowEvent"
VNET = "FlowLogFlowEvent"


@dataclass(frozen=True, slots=True)
class Format:
    """One format: names of keys in the entry, and the fields of its tuples.

    An entry's flows are two lists deep. `body` holds `flows`; each of those has `outer_text` and
    a list `groups`; each of these has `inner_text` and the list `flowTuples`. `fields` are the
    tables that read a tuple's fields, in the tuple's order.
    """

    category: str
    version: int
    resource_id: str
    body: str
    outer_text: str
    groups: str
    inner_text: str
    fields: tuple[Mapping[str, str], ...]
    writer: Writer | None
    """Writes the records of ordinary tuples; None where it was not compiled."""


def _nsg(version: int, *rest: Mapping[str, str]) -> Format:
    fields = (*_START, tables.PROTOCOL_LETTER, tables.DIRECTION, *rest)
    return Format(
        category=NSG,
        version=version,
        resource_id="resourceId",
        body="properties",
        outer_text="rule",
        groups="flows",
        inner_text="mac",
        fields=fields,
        writer=writer_of(fields, ORDER),
    )


def _vnet(version: int, *rest: Mapping[str, str]) -> Format:
    fields = (*_START, tables.PROTOCOL_NUMBER, tables.DIRECTION, *rest)
    return Format(
        category=VNET,
        version=version,
        resource_id="flowLogResourceID",
        body="flowRecords",
        outer_text="aclID",
        groups="flowGroups",
        inner_text="rule",
        fields=fields,
        writer=writer_of(fields, ORDER),
    )


_START = (
    tables.TIME,
    tables.SOURCE_IP,
    tables.DESTINATION_IP,
    tables.SOURCE_PORT,
    tables.DESTINATION_PORT,
)
ORDER = (0, 1, 3, 2, 4)
"""How a tuple's first fields stand in the record: each address has its port behind it."""

FORMATS = (
    _nsg(1, tables.DECISION_ONLY),
    _nsg(2, tables.DECISION, tables.STATE, *tables.COUNTERS),
    _vnet(4, tables.STATE_DECIDES, tables.ENCRYPTION, *tables.COUNTERS),
)
