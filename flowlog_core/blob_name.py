"""What the name of a flow log blob says: which kind of log, of which resource, hour and interface.

Azure writes one blob per network interface and hour, in one of two containers. The names are
documented on Microsoft's pages "NSG flow logs overview" and "Virtual network flow logs"::

    resourceId=/SUBSCRIPTIONS/{subscription}/RESOURCEGROUPS/{group}/PROVIDERS/MICROSOFT.NETWORK
        /NETWORKSECURITYGROUPS/{nsg}/y=2018/m=11/d=13/h=12/m=00/macAddress={MAC}/PT1H.json
    flowLogResourceID=/{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_{REGION}_{FLOWLOGNAME}
        /y=2025/m=01/d=31/h=09/m=00/macAddress={MAC}/PT1H.json

The part between the prefix and the date has had at least three shapes for virtual networks, and
letter case varies, so it is taken as it stands and never looked into.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

_NAME = re.compile(
    r"(?:(?P<nsg>resourceId)|flowLogResourceID)=(?P<resource_id>/.+)"
    r"/y=(?P<year>[0-9]{4})/m=(?P<month>[0-9]{2})/d=(?P<day>[0-9]{2})/h=(?P<hour>[0-9]{2})"
    r"/m=[0-9]{2}/macAddress=(?P<mac>[^/]+)/PT1H\.json",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class LogBlob:
    """A flow log blob, as far as its name tells.

    `hour` is the aware UTC start of the hour that the blob covers. `resource_id` and `mac` are as
    written, letter case included; `name` is the whole name.
    """

    kind: Literal["nsg", "vnet"]
    resource_id: str
    hour: datetime
    mac: str
    name: str


def parse(name: str) -> LogBlob | None:
    """Read a blob name (without its container); None where it is not that of a flow log."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year, month, day, hour_of_day = map(int, match.group("year", "month", "day", "hour"))
    try:
        hour = datetime(year, month, day, hour_of_day, tzinfo=UTC)
    except ValueError:  # a date that no calendar has
        return None
    kind: Literal["nsg", "vnet"] = "nsg" if match["nsg"] else "vnet"
    return LogBlob(kind, match["resource_id"], hour, match["mac"], name)
