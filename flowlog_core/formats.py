"""The three formats of flow log entries: where an entry keeps what, and what its tuples hold.

Field by field as in Microsoft's pages "NSG flow logs overview" (versions 1 and 2) and "Virtual
network flow logs" (version 4), and as seen in captures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flowlog_core import tuple_tables as tables

NSG = "NetworkSecurityGroupFlowEvent"
VNET = "FlowLogFlowEvent"


@dataclass(frozen=True, slots=True)
class Format:
    """One format: names of keys in the entry, and the fields of its tuples.

    An entry's flows are two lists deep. `body` holds `flows`; each of those has `outer_text` and
    a list `groups`; each of these has `inner_text` and the list `flowTuples`. A tuple has `width`
    fields: its time, read by `times`, two addresses, two ports, and all that `rest` knows to read.
    """

    category: str
    version: int
    resource_id: str
    body: str
    outer_text: str
    groups: str
    inner_text: str
    width: int
    times: Callable[[Iterable[str]], Iterable[str]]
    rest: Mapping[str, str]


def _nsg(version: int, facts: tuple[Mapping[str, str], ...], has_counters: bool) -> Format:
    return Format(
        category=NSG,
        version=version,
        resource_id="resourceId",
        body="properties",
        outer_text="rule",
        groups="flows",
        inner_text="mac",
        width=13 if has_counters else 8,
        times=tables.times_that_repeat,
        rest=tables.rest_of_tuple(
            (tables.PROTOCOL_LETTER, tables.DIRECTION, *facts), has_counters=has_counters
        ),
    )


FORMATS = (
    _nsg(1, (tables.DECISION_ONLY,), has_counters=False),
    _nsg(2, (tables.DECISION, tables.STATE), has_counters=True),
    Format(
        category=VNET,
        version=4,
        resource_id="flowLogResourceID",
        body="flowRecords",
        outer_text="aclID",
        groups="flowGroups",
        inner_text="rule",
        width=13,
        times=tables.times_that_differ,
        rest=tables.rest_of_tuple(
            (tables.PROTOCOL_NUMBER, tables.DIRECTION, tables.STATE_DECIDES, tables.ENCRYPTION),
            has_counters=True,
        ),
    ),
)
