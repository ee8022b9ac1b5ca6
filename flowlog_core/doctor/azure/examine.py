"""All checks of a deployment in Azure, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from azure.core.exceptions import ClientAuthenticationError

from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure import app as apps
from flowlog_core.doctor.azure.arm import Arm, Json, Missing, NotVisible
from flowlog_core.doctor.azure.deliveries import deliveries
from flowlog_core.doctor.azure.deployment import Deployment
from flowlog_core.doctor.azure.event_queue import (
    of_other_triggers,
    queue_is_there,
    queue_subscriptions_fit,
)
from flowlog_core.doctor.azure.last_sweep import last_sweep
from flowlog_core.doctor.azure.network import network_allows
from flowlog_core.doctor.azure.roles import (
    FOR_BLOB_TRIGGER,
    ON_LOG_ACCOUNT,
    ON_STATE_ACCOUNT,
    Need,
    roles_are_assigned,
)
from flowlog_core.doctor.azure.subscriptions import Expected, subscriptions_fit, topic_of
from flowlog_core.doctor.azure.telemetry import telemetry_scopes
from flowlog_core.doctor.report import Told

T = TypeVar("T")

_STORAGE = "2023-05-01"
_SIGN_IN = "Run `az login`, and `az account set --subscription` with the subscription of the app"
_READER = "Ask for the role Reader on the resource group of the app and on each log account"
_SETTINGS_ROLE = "Ask for the role Website Contributor on the app, which may list its settings"
_TABLE_ROLE = (
    "Ask for the role Storage Table Data Reader on the app's storage account. If it is closed to "
    "public networks, run this inside its virtual network"
)


def examine_azure(arm: Arm, deployment: Deployment) -> list[Told]:
    """All findings about a deployment. What the caller may not see is reported as unknown."""
    look = _Look(arm, deployment)
    try:
        look.at_everything()
    except ClientAuthenticationError as error:
        first = str(error).strip().partition("\n")[0]
        look.tell("Login", Finding("fault", f"Cannot get a token for Azure: {first}", _SIGN_IN))
    return look.told


class _Look:
    """Goes through a deployment and gathers the findings."""

    def __init__(self, arm: Arm, deployment: Deployment) -> None:
        self.told: list[Told] = []
        self._arm, self._deployment = arm, deployment
        self._accounts: dict[str, list[Json]] = {}

    def tell(self, about: str, *findings: Finding) -> None:
        self.told += [Told(about, one) for one in findings]

    def at_everything(self) -> None:
        arm, deployment = self._arm, self._deployment
        about = f"App {deployment.app}"
        try:
            app = apps.App.read(arm, deployment)
        except Missing:
            self.tell(
                about,
                Finding(
                    "fault",
                    f"Resource group {deployment.resource_group} has no app {deployment.app}",
                    "Check the names and the subscription, or run `azd provision`",
                ),
            )
            return
        except NotVisible as why:
            self.tell(about, Finding("unknown", f"Cannot see the app: {why}", _READER))
            return
        self.tell(about, apps.is_up(app, deployment))
        functions = self._seen(
            about, "the functions", _READER, lambda: apps.functions_of(arm, deployment)
        )
        environment = self._seen(
            about, "the app settings", _SETTINGS_ROLE, lambda: apps.settings_of(arm, deployment)
        )
        settings = None
        if environment is not None:
            settings, findings = apps.settings_are_valid(environment, deployment)
            self.tell(about, *findings)
        if settings is not None and functions is not None:
            self.tell(about, *apps.functions_are_there(functions, settings, deployment))
        if settings is None or settings.has_blob_triggers:
            self._add(
                about,
                "the access restrictions",
                _READER,
                lambda: apps.event_grid_may_call(arm, deployment),
            )
        if settings is None:
            self.tell(
                "Log accounts",
                Finding("unknown", "Log accounts were not checked: the app settings are unknown"),
            )
            return
        for source in settings.sources:
            self._at_source(source, app, settings, functions)
        self._at_state(app, settings)
        self._at_telemetry(app, settings, environment or {})

    def _at_source(
        self,
        source: Connection,
        app: apps.App,
        settings: Settings,
        functions: Mapping[str, bool] | None,
    ) -> None:
        arm, name = self._arm, source.account
        about = f"Log account {name} ({source.name})"
        account = self._account(about, name, self._deployment.event_sources.get(source.name))
        if account is None:
            return
        account_id = str(account["id"])
        self.tell(about, network_allows(account, app))
        needs = ON_LOG_ACCOUNT + FOR_BLOB_TRIGGER * settings.has_blob_triggers
        self._at_roles(about, source, app, account_id, needs)
        topic = self._seen(about, "the system topic", _READER, lambda: [topic_of(arm, account_id)])
        if topic is None:
            return
        has_events = settings.trigger_source in ("EventGrid", "EventQueue")
        if topic[0] is None:
            if has_events:
                self.tell(
                    about,
                    Finding(
                        "fault",
                        f"Account {name} has no Event Grid system topic, so no event "
                        "subscriptions. Only the sweep forwards its flow logs",
                        "Run `azd provision`, then `azd hooks run postdeploy`",
                    ),
                )
            return
        own, state_id = topic[0], self._state_id(settings)

        def subscriptions() -> Iterator[Finding]:
            if settings.trigger_source == "EventGrid":
                expected = [
                    Expected(function, container)
                    for function, (of, container) in apps.expected_functions(settings).items()
                    if of == source.name
                ]
                yield from subscriptions_fit(arm, own, app.host, expected, functions)
            elif settings.trigger_source == "EventQueue":
                yield from queue_subscriptions_fit(arm, own, state_id, settings)
            yield from of_other_triggers(arm, own, app.host, state_id, settings)

        self._add(about, "the event subscriptions", _READER, subscriptions)
        if not has_events:
            return
        self._add(
            about,
            "the deliveries of Event Grid",
            "Ask for the role Monitoring Reader on the system topic",
            lambda: deliveries(arm, own.id, name),
        )

    def _at_state(self, app: apps.App, settings: Settings) -> None:
        arm, state = self._arm, settings.state
        name = state.account
        about = f"State account {name} ({state.name})"
        at = self._state_id(settings)
        account = self._account(about, name, at)
        if account is not None:
            self.tell(about, network_allows(account, app))
            self._at_roles(about, state, app, str(account["id"]), ON_STATE_ACCOUNT)
            if settings.trigger_source == "EventQueue":
                self._add(
                    about, "the event queue", _READER, lambda: queue_is_there(arm, at, settings)
                )
        if state.connection_string is not None:
            self.tell(
                "Sweep",
                Finding("unknown", "The last sweep was not checked: the app opens it with a key"),
            )
            return
        accounts = [source.account for source in settings.sources]
        self._add(
            "Sweep", "the last sweep", _TABLE_ROLE, lambda: [last_sweep(arm, settings, accounts)]
        )

    def _state_id(self, settings: Settings) -> str:
        """The resource id of the state account, which is in the group of the app."""
        name = settings.state.account
        return f"{self._deployment.group_id}/providers/Microsoft.Storage/storageAccounts/{name}"

    def _at_telemetry(
        self, app: apps.App, settings: Settings, environment: Mapping[str, str]
    ) -> None:
        arm, principal = self._arm, app.principal_of(settings.state)
        if principal is None:
            return

        def check() -> Iterator[Finding]:
            group = self._deployment.group_id
            for scope, need in telemetry_scopes(arm, group, environment, settings):
                yield from roles_are_assigned(arm, principal, scope, [need], "The app's identity")

        self._add("Monitoring", "the targets of telemetry", _READER, check)

    def _at_roles(
        self,
        about: str,
        connection: Connection,
        app: apps.App,
        scope: str,
        needs: Iterable[Need],
    ) -> None:
        if connection.connection_string is not None:
            self.tell(
                about, Finding("ok", f"{connection.name} uses a connection string: no role needed")
            )
            return
        principal = app.principal_of(connection)
        if principal is None:
            who = f"client id {connection.client_id}" if connection.client_id else "the system"
            self.tell(
                about,
                Finding(
                    "fault",
                    f"The identity of {connection.name} ({who}) is not assigned to the app",
                    "Run `azd provision`",
                ),
            )
            return
        self._add(
            about,
            "the roles",
            _READER,
            lambda: roles_are_assigned(
                self._arm, principal, scope, list(needs), "The app's identity"
            ),
        )

    def _account(self, about: str, name: str, account_id: str | None) -> Json | None:
        """What ARM says of a storage account; found by its name where its id is not known."""
        to_do = f"{_READER}, and check that the account is in the subscription of the app"
        if account_id is None:
            account_id = self._seen(about, f"account {name}", to_do, lambda: self._id_of(name))
            if account_id is None:
                return None
        known = account_id
        return self._seen(about, f"account {name}", to_do, lambda: self._arm.get(known, _STORAGE))

    def _id_of(self, name: str) -> str:
        subscription = f"/subscriptions/{self._deployment.subscription_id}"
        listed = f"{subscription}/providers/Microsoft.Storage/storageAccounts"
        if listed not in self._accounts:
            self._accounts[listed] = self._arm.list(listed, _STORAGE)
        for one in self._accounts[listed]:
            if str(one.get("name", "")).lower() == name.lower():
                return str(one["id"])
        raise Missing("not in this subscription")

    def _seen(self, about: str, what: str, to_do: str, read: Callable[[], T]) -> T | None:
        """What `read` returns; None, and an unknown, if the caller may not see it."""
        try:
            return read()
        except (NotVisible, Missing) as why:
            self.tell(about, Finding("unknown", f"Cannot see {what}: {why}", to_do))
            return None

    def _add(
        self, about: str, what: str, to_do: str, check: Callable[[], Iterable[Finding]]
    ) -> None:
        """The findings of a check, up to where the caller may not see further."""

        def each() -> Iterator[Finding]:
            try:
                yield from check()
            except (NotVisible, Missing) as why:
                yield Finding("unknown", f"Cannot see {what}: {why}", to_do)

        self.tell(about, *each())
