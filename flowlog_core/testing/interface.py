"""Simulated network interfaces, and the names of their flow log blobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

NameForm = Literal["nsg", "watcher", "watcher-flowlogs", "resource-id"]


def utc(time: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError for a naive time."""
    if time.tzinfo is None:
        raise ValueError(f"the time has no time zone: {time!r}")
    return time.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface and its flow log. Create one with `nsg` or `vnet`.

    `form` is the form of the blob's name; every form except "nsg" is a VNet flow log's.
    `name` is the network security group's, or the flow log's. `mac` is 12 upper-case hex digits.
    """

    form: NameForm
    subscription: str
    resource_group: str
    name: str
    mac: str
    region: str = "WESTEUROPE"

    @classmethod
    def nsg(cls, number: int = 1, *, subscription: int = 1) -> Interface:
        """Interface `number` (0 to 65535) behind the network security group of that number."""
        name = f"WEB-{number}-NSG"
        return cls("nsg", _subscription(subscription), "MADE-UP-RG", name, _mac(number))

    @classmethod
    def vnet(
        cls, number: int = 1, form: NameForm = "watcher", *, subscription: int = 1
    ) -> Interface:
        """Interface `number` (0 to 65535) with a VNet flow log; `form` is its blob name's form."""
        if form == "nsg":
            raise ValueError("a VNet flow log has no blob name of the form 'nsg'")
        group = "made-up-rg"
        name = f"web-{number}-vnet-{group}-FLOWLOGS"
        if form != "watcher-flowlogs":
            name = f"WEB-{number}-VNET-{group.upper()}-FLOWLOG"
        return cls(form, _subscription(subscription), group, name, _mac(number))

    @property
    def kind(self) -> Literal["nsg", "vnet"]:
        """The kind of flow log."""
        return "nsg" if self.form == "nsg" else "vnet"

    @property
    def container(self) -> str:
        """The container Azure writes this kind of log to."""
        if self.kind == "nsg":
            return "insights-logs-networksecuritygroupflowevent"
        return "insights-logs-flowlogflowevent"

    @property
    def resource_id(self) -> str:
        """The `resourceId` in NSG entries, the `flowLogResourceID` in VNet entries."""
        if self.kind == "nsg":
            return (
                f"/SUBSCRIPTIONS/{self.subscription}/RESOURCEGROUPS/{self.resource_group.upper()}"
                f"/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/{self.name.upper()}"
            )
        return (
            f"/SUBSCRIPTIONS/{self.subscription}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS"
            f"/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_{self.region}"
            f"/FLOWLOGS/{self.name.upper()}"
        )

    @property
    def target_resource_id(self) -> str:
        """The resource that a VNet flow log is for: here always the network interface."""
        return self._provider_id("networkInterfaces", f"nic-{self.mac.lower()}")

    @property
    def acl_resource_id(self) -> str:
        """The network security group in a VNet log's `aclID`, in Azure's mixed case."""
        return self._provider_id("networkSecurityGroups", f"nsg-{self.mac.lower()}")

    def _provider_id(self, type_name: str, name: str) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group.lower()}"
            f"/providers/Microsoft.Network/{type_name}/{name}"
        )

    @property
    def guid(self) -> str:
        """`systemId` of an NSG entry, `flowLogGUID` of a VNet entry."""
        return f"00000000-0000-4000-8000-{self.mac.lower()}"

    def blob_name(self, hour: datetime) -> str:
        """The name of the blob for the hour of `hour`. Raises ValueError for a naive time."""
        if self.form in ("watcher", "watcher-flowlogs"):
            watcher = f"NETWORKWATCHER_{self.region}_{self.name}"
            path = f"flowLogResourceID=/{self.subscription}_NETWORKWATCHERRG/{watcher}"
        else:
            key = "resourceId" if self.kind == "nsg" else "flowLogResourceID"
            path = f"{key}={self.resource_id}"
        return f"{path}/{utc(hour):y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={self.mac}/PT1H.json"


def _subscription(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def _mac(number: int) -> str:
    return f"00224800{number:04X}"
