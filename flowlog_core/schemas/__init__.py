"""Flow records in other schemas: pure mappings of one record to one event.

docs/schemas.md has a table of each, with its source. A mapping takes a record with all fields, or
the sum of a flow (`shape.aggregate`), and returns nested JSON without nulls. `row_of` flattens it
for a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from flowlog_core.schemas.asim import ASIM_VERSION, asim
from flowlog_core.schemas.ecs import ECS_VERSION, ecs
from flowlog_core.schemas.flat import row_of
from flowlog_core.schemas.ocsf import OCSF_VERSION, ocsf

__all__ = ["SCHEMAS", "VERSIONS", "Mapped", "asim", "ecs", "flowlog", "ocsf", "row_of"]

Mapped = Callable[[Mapping[str, Any]], dict[str, Any]]


def flowlog(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it is: docs/schema/flow-record.schema.json."""
    return dict(record)


SCHEMAS: Mapping[str, Mapped] = MappingProxyType(
    {"flowlog": flowlog, "ecs": ecs, "ocsf": ocsf, "asim": asim}
)
"""By the name that the setting and the command line use."""

VERSIONS: Mapping[str, str] = MappingProxyType(
    {"flowlog": "1", "ecs": ECS_VERSION, "ocsf": OCSF_VERSION, "asim": ASIM_VERSION}
)
"""By the same name, the version that the events have."""
