"""Whether the app can reach a storage account, by the network rules of the account."""

from __future__ import annotations

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.azure.app import App
from flowlog_core.doctor.azure.arm import Json


def network_allows(account: Json, app: App) -> Finding:
    """The network rules of an account let the app in. `account` is what ARM says of it.

    Not seen: name resolution in the app's network, and firewalls on the way.
    """
    name, properties = account.get("name", ""), account.get("properties", {})
    rules = properties.get("networkAcls") or {}
    is_public = properties.get("publicNetworkAccess") != "Disabled"
    if is_public and rules.get("defaultAction", "Allow") == "Allow":
        return Finding("ok", f"Account {name} accepts connections from all networks")
    by_subnet = {str(rule.get("id", "")).lower() for rule in rules.get("virtualNetworkRules") or ()}
    if is_public and app.subnet_id and app.subnet_id.lower() in by_subnet:
        return Finding("ok", f"Account {name} accepts connections from the app's subnet")
    approved = [
        one
        for one in properties.get("privateEndpointConnections") or ()
        if one.get("properties", {}).get("privateLinkServiceConnectionState", {}).get("status")
        == "Approved"
    ]
    if approved and app.subnet_id:
        return Finding(
            "ok",
            f"Account {name} has {len(approved)} approved private endpoints, and the app is in a "
            "virtual network",
        )
    lacks = (
        "has no approved private endpoint" if app.subnet_id else "the app is in no virtual network"
    )
    return Finding(
        "fault",
        f"Account {name} is closed to public networks, and {lacks}",
        "Run `azd env set FLOWLOG_PRIVATE_NETWORK true` and `azd provision`, or allow the app "
        f"under Networking of account {name}",
    )
