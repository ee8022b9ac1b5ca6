"""The function app: whether it runs, its functions, its settings, and who may call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowlog_core.config.checks import Finding, cheap_findings
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import Arm, Json
from flowlog_core.doctor.azure.deployment import Deployment
from flowlog_core.doctor.settings import route
from flowlog_core.errors import SettingsError

WEB = "2024-04-01"
_TIMERS = ("sweep",)
_IN_AZURE = {"WEBSITE_SKU": "FlexConsumption", "WEBSITE_INSTANCE_ID": "azure"}
_EVENT_GRID_TAG = "AzureEventGrid"


@dataclass(frozen=True, slots=True)
class App:
    """What ARM says of the function app."""

    host: str
    """Its default host name."""
    is_running: bool
    subnet_id: str
    """Of its virtual network integration; empty if it has none."""
    principals: Mapping[str, str]
    """Object id of each of its identities by client id; the system-assigned one under ''."""

    @classmethod
    def read(cls, arm: Arm, deployment: Deployment) -> App:
        """Read it. Raises `NotVisible` or `Missing`."""
        site = arm.get(deployment.app_id, WEB)
        properties, identity = site.get("properties", {}), site.get("identity") or {}
        users = (identity.get("userAssignedIdentities") or {}).values()
        principals = {str(one.get("clientId")): str(one.get("principalId")) for one in users}
        if identity.get("principalId"):
            principals[""] = str(identity["principalId"])
        return cls(
            str(properties.get("defaultHostName", "")),
            properties.get("state") == "Running",
            str(properties.get("virtualNetworkSubnetId") or ""),
            principals,
        )

    def principal_of(self, connection: Connection) -> str | None:
        """The object id of the identity that opens a connection; None: a key, or not the app's."""
        if connection.connection_string is not None:
            return None
        return self.principals.get(connection.client_id or "")


def is_up(app: App, deployment: Deployment) -> Finding:
    """The app runs."""
    if app.is_running:
        return Finding("ok", f"App {deployment.app} is running")
    return Finding(
        "fault",
        f"App {deployment.app} is stopped",
        f"az functionapp start --subscription {deployment.subscription_id} --resource-group "
        f"{deployment.resource_group} --name {deployment.app}",
    )


def functions_of(arm: Arm, deployment: Deployment) -> dict[str, bool]:
    """The functions that the app really has, and whether each is enabled.

    Azure writes each name as `app/function`.
    """
    found = arm.list(f"{deployment.app_id}/functions", WEB)
    return {str(one.get("name", "")).rpartition("/")[2]: not _is_disabled(one) for one in found}


def _is_disabled(function: Json) -> bool:
    return bool(function.get("properties", {}).get("isDisabled"))


def expected_functions(settings: Settings) -> dict[str, tuple[str, str]]:
    """Source and container of each blob function, as `function_app.py` names them."""
    return {
        f"{kind}_{source.name}": (source.name, container)
        for source in settings.sources
        for kind, container in zip(("nsg", "vnet"), settings.containers, strict=True)
    }


def functions_for_events(settings: Settings) -> list[str]:
    """The functions that events start, as `function_app.py` names them."""
    if settings.has_blob_triggers:
        return [*expected_functions(settings)]
    return ["events"] if settings.trigger_source == "EventQueue" else []


def functions_are_there(
    functions: Mapping[str, bool], settings: Settings, deployment: Deployment
) -> Iterator[Finding]:
    """Each function that the settings ask for is deployed and enabled."""
    expected = [*functions_for_events(settings), *_TIMERS]
    missing = [name for name in expected if name not in functions]
    disabled = [name for name in expected if functions.get(name) is False]
    if missing:
        yield Finding(
            "fault",
            f"App {deployment.app} has no function {', '.join(missing)}",
            "Run `azd deploy`. If the functions are still missing, the app cannot start: the first "
            "error in its log in Application Insights says why",
        )
    if disabled:
        yield Finding(
            "fault",
            f"Functions are disabled: {', '.join(disabled)}",
            f"Enable them in the Azure portal, {deployment.app}, Functions",
        )
    if not missing and not disabled:
        one = f"The function {expected[0]} is"
        all_of_them = f"All {len(expected)} functions are" if len(expected) > 1 else one
        yield Finding("ok", f"{all_of_them} deployed and enabled")


def settings_of(arm: Arm, deployment: Deployment) -> dict[str, str]:
    """The app settings. They may hold secrets: never print a value."""
    answer = arm.post(f"{deployment.app_id}/config/appsettings/list", WEB)
    return {str(name): str(value) for name, value in answer.get("properties", {}).items()}


def settings_are_valid(
    environment: Mapping[str, str], deployment: Deployment
) -> tuple[Settings | None, list[Finding]]:
    """The settings of the app, read as the app reads them, and what is wrong with them."""
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        to_do = "Correct it with `azd env set` and run `azd provision`"
        return None, [Finding("fault", f"App setting {fault}", to_do) for fault in error.faults]
    checked = cheap_findings(settings, {**environment, **_IN_AZURE})
    findings = [one for one in checked if one.level != "ok"]
    configured = {source.name for source in settings.sources}
    findings += [
        Finding(
            "fault",
            f"Log account {name} is in the azd environment, but not in the app's FLOWLOG_SOURCES",
            "Run `azd provision`",
        )
        for name in sorted(set(deployment.event_sources) - configured)
    ]
    if not findings:
        findings = [route(settings)]
    return settings, findings


def event_grid_may_call(arm: Arm, deployment: Deployment) -> Iterator[Finding]:
    """The access restrictions of the app let Event Grid in."""
    config: Mapping[str, Any] = arm.get(f"{deployment.app_id}/config/web", WEB).get(
        "properties", {}
    )
    to_do = (
        "Allow the service tag AzureEventGrid under Networking of the app, or run `azd env set "
        "FLOWLOG_EVENT_GRID_ONLY false` and `azd provision`"
    )
    if config.get("publicNetworkAccess") == "Disabled":
        yield Finding("fault", f"App {deployment.app} refuses all public traffic, and so Event "
                      "Grid", to_do)  # fmt: skip
        return
    rules = config.get("ipSecurityRestrictions") or []
    allowed = [one for one in rules if one.get("action") == "Allow"]
    # Azure lists a rule for "Any" behind the others: "Allow all", or "Deny all".
    is_any_allowed = any(one.get("ipAddress") in ("Any", "0.0.0.0/0") for one in allowed) or (
        not rules and config.get("ipSecurityRestrictionsDefaultAction") != "Deny"
    )
    if any(
        one.get("tag") == "ServiceTag" and one.get("ipAddress") == _EVENT_GRID_TAG
        for one in allowed
    ):
        yield Finding("ok", "The access restrictions of the app allow Event Grid")
    elif is_any_allowed:
        yield Finding("ok", "The app has no access restrictions that stop Event Grid")
    else:
        yield Finding("fault", "The access restrictions of the app do not allow Event Grid", to_do)
