"""The checks of a deployment, against a fake ARM shaped like Microsoft's examples."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure_deployment import (
    APP,
    APP_ID,
    CLIENT,
    GROUP,
    HOST,
    KEY,
    LOGS_ID,
    METRICS,
    NOW,
    NSG,
    OWNER,
    PRINCIPAL,
    QUEUES,
    READER,
    ROLES,
    SETTINGS,
    STATE_ID,
    SUBSCRIPTION,
    TOPIC_ID,
    TOPICS,
    VNET,
    FakeAzure,
    assignment,
    cursor_path,
    look,
    metric,
    running_azure,
    wrong,
)
from command_line import flowlog

from flowlog_core.cli.terminal import printable
from flowlog_core.doctor.azure.arm import CLOUDS, Arm, NotVisible
from flowlog_core.doctor.azure.deployment import Deployment, azd_values
from flowlog_core.doctor.azure.roles import ROLE_IDS
from flowlog_core.doctor.report import Told, write
from flowlog_core.errors import SettingsError

ROLES_FILE = Path(__file__).parent.parent / "infra" / "roles.json"
CHECKLIST = ROLES_FILE.parent.parent / "docs" / "first-deployment.md"


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    with running_azure() as azure:
        yield azure


def whats(azure: FakeAzure) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in wrong(azure)]


def test_a_deployment_as_the_templates_make_it_is_well(azure: FakeAzure) -> None:
    found = look(azure)
    assert [finding for _, finding in found if finding.level != "ok"] == []
    assert list(dict.fromkeys(about for about, _ in found)) == [
        f"App {APP}",
        "Log account stlogs (logs)",
        "State account ststate (AzureWebJobsStorage)",
        "Sweep",
    ]
    assert azure.tokens == {"Bearer token for arm", "Bearer token for storage"}


def test_nothing_is_changed_and_no_key_is_shown(azure: FakeAzure) -> None:
    azure.subscribe("nsg", NSG, function="")
    found = look(azure)
    posts = {path.rpartition("/")[2] for method, path, _ in azure.asked if method == "POST"}
    assert posts == {"list", "getFullUrl"}
    assert {method for method, _, _ in azure.asked} == {"GET", "POST"}
    assert KEY not in str(found)


ABOUT_NSG = f"Event subscription {APP}-nsg"


@pytest.mark.parametrize(
    ("function", "level", "what"),
    [
        (
            "",
            "fault",
            f"{ABOUT_NSG}: its address has no functionName. Each event then stops the Functions "
            "host, again every ten minutes",
        ),
        (
            "functionName=Host.Functions.nsg_old&",
            "fault",
            f"{ABOUT_NSG} delivers to function nsg_old, which the app does not have: the host "
            "accepts its events and drops them",
        ),
        (
            "functionName=Host.Functions.sweep&",
            "fault",
            f"{ABOUT_NSG} delivers events of this account to sweep, the function for another "
            "account",
        ),
    ],
)
def test_an_address_is_compared_with_the_functions(
    azure: FakeAzure, function: str, level: str, what: str
) -> None:
    azure.subscriptions.clear()
    azure.subscribe("vnet", VNET)
    azure.subscribe("nsg", NSG, function)
    assert whats(azure) == [
        (level, what),
        (
            "fault",
            f"No event subscription delivers container {NSG} to function nsg_logs. Only the sweep "
            "forwards its flow logs",
        ),
    ]


def change_filter(**changes: Any) -> Callable[[FakeAzure], None]:
    def change(azure: FakeAzure) -> None:
        azure.subscriptions[0]["properties"]["filter"].update(changes)

    return change


def change_subscription(**changes: Any) -> Callable[[FakeAzure], None]:
    return lambda azure: azure.subscriptions[0]["properties"].update(changes)


CONTAINER = f"/blobServices/default/containers/{NSG}/"
FILTER = f"{ABOUT_NSG}: its subject filter"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_filter(subjectBeginsWith=""), ("fault", f"{FILTER} does not limit events to "
                                               f"container {NSG}")),
        (change_filter(subjectBeginsWith=CONTAINER[:-1]), ("fault", f"{FILTER} does not limit "
                                                           f"events to container {NSG}")),
        (change_filter(subjectBeginsWith=CONTAINER), None),
        (change_filter(subjectBeginsWith=CONTAINER.upper()), None),
        (
            change_filter(subjectBeginsWith=CONTAINER.upper(), isSubjectCaseSensitive=True),
            ("fault", f"{FILTER} names another container than {NSG}"),
        ),
        (
            change_filter(subjectBeginsWith=f"/blobServices/default/containers/{VNET}/"),
            ("fault", f"{FILTER} names another container than {NSG}"),
        ),
        (
            change_filter(subjectBeginsWith=f"{CONTAINER}blobs/resourceId=/X"),
            ("warning", f"{FILTER} excludes part of container {NSG}. Only the sweep forwards the "
             "rest"),
        ),
        (change_filter(subjectEndsWith=""), None),
        (change_filter(subjectEndsWith=".json"), None),
        (
            change_filter(subjectEndsWith=".csv"),
            ("fault", f"{FILTER} excludes PT1H.json, the name of all flow logs"),
        ),
        (
            change_filter(includedEventTypes=["Microsoft.Storage.BlobDeleted"]),
            ("fault", f"{ABOUT_NSG} does not include the event type Microsoft.Storage.BlobCreated"),
        ),
        (
            change_filter(includedEventTypes=None),
            ("warning", f"{ABOUT_NSG} includes more event types than Microsoft.Storage.BlobCreated."
             " Each such event costs a call"),
        ),
        (
            change_filter(advancedFilters=[{"operatorType": "StringIn", "key": "data.api",
                                            "values": ["FlushWithClose"]}]),
            ("fault", f"{ABOUT_NSG}: its filter data.api excludes PutBlockList"),
        ),
        (change_filter(advancedFilters=None), None),
        (
            change_subscription(provisioningState="AwaitingManualAction"),
            ("fault", f"{ABOUT_NSG} is in state AwaitingManualAction"),
        ),
        (
            change_subscription(expirationTimeUtc="2026-02-01T00:00:00Z"),
            ("warning", f"{ABOUT_NSG} expires at 2026-02-01T00:00:00Z"),
        ),
        (
            change_subscription(deadLetterWithResourceIdentity=None),
            ("warning", f"{ABOUT_NSG} has no dead-letter destination: events that Event Grid cannot"
             " deliver leave no trace"),
        ),
    ],
)  # fmt: skip
def test_a_subscription_that_does_not_fit_is_named(
    azure: FakeAzure, change: Callable[[FakeAzure], None], expected: tuple[str, str] | None
) -> None:
    change(azure)
    assert whats(azure) == ([expected] if expected else [])


def test_subscriptions_of_others_are_none_of_our_business(azure: FakeAzure) -> None:
    queue = {"endpointType": "StorageQueue", "properties": {"resourceId": STATE_ID}}
    for destination in (
        queue,
        {"endpointType": "WebHook", "properties": {"endpointBaseUrl": "https://else.example/x"}},
        {"endpointType": "WebHook", "properties": {"endpointBaseUrl": f"https://{HOST}/api/hook"}},
    ):
        azure.subscribe("other", "logs")["destination"] = destination
    assert whats(azure) == []


def topic_without_identity(azure: FakeAzure) -> None:
    azure.topic["identity"] = None


def stopped(azure: FakeAzure) -> None:
    azure.answers[APP_ID]["properties"]["state"] = "Stopped"


def one_function_less(azure: FakeAzure) -> None:
    del azure.answers[f"{APP_ID}/functions"]["value"][2]


def one_function_disabled(azure: FakeAzure) -> None:
    azure.answers[f"{APP_ID}/functions"]["value"][2] = azure.function("sweep", isDisabled=True)


def closed(**rules: Any) -> Callable[[FakeAzure], None]:
    return lambda azure: azure.answers[f"{APP_ID}/config/web"]["properties"].update(rules)


def no_topic(azure: FakeAzure) -> None:
    azure.answers[TOPICS] = {"value": []}


def wrong_setting(azure: FakeAzure) -> None:
    azure.settings(FLOWLOG_SINK="kafka")


def other_identity(azure: FakeAzure) -> None:
    azure.settings(logs__clientId="44444444")


def young_role(azure: FakeAzure) -> None:
    made = f"{NOW - timedelta(minutes=4):%Y-%m-%dT%H:%M:%S.1234567Z}"
    roles = [assignment(READER, LOGS_ID, createdOn=made), assignment(QUEUES, LOGS_ID)]
    azure.assign(LOGS_ID, *roles)


def roles_elsewhere(azure: FakeAzure) -> None:
    """Below the account, on one whose name begins alike, and of somebody else."""
    azure.assign(
        LOGS_ID,
        assignment(READER, f"{LOGS_ID}/blobServices/default/containers/{NSG}"),
        assignment(READER, LOGS_ID[:-1]),
        assignment(READER, LOGS_ID, "somebody else"),
        assignment(QUEUES, LOGS_ID),
    )


DENY_ALL = {"ipAddress": "Any", "action": "Deny", "name": "Deny all", "priority": 2147483647}
EVENT_GRID_RULE = {"ipAddress": "AzureEventGrid", "action": "Allow", "tag": "ServiceTag"}
OFFICE = {"ipAddress": "203.0.113.0/24", "action": "Allow", "tag": "Default"}
NOT_LET_IN = ("fault", "The access restrictions of the app do not allow Event Grid")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (stopped, [("fault", f"App {APP} is stopped")]),
        (one_function_less, [("fault", f"App {APP} has no function sweep")]),
        (one_function_disabled, [("fault", "Functions are disabled: sweep")]),
        (
            closed(publicNetworkAccess="Disabled"),
            [("fault", f"App {APP} refuses all public traffic, and so Event Grid")],
        ),
        (closed(ipSecurityRestrictions=[EVENT_GRID_RULE, DENY_ALL]), []),
        (closed(ipSecurityRestrictions=[DENY_ALL | {"action": "Allow"}]), []),
        (closed(ipSecurityRestrictions=[OFFICE, DENY_ALL]), [NOT_LET_IN]),
        (
            closed(ipSecurityRestrictions=[], ipSecurityRestrictionsDefaultAction="Deny"),
            [NOT_LET_IN],
        ),
        (
            no_topic,
            [
                (
                    "fault",
                    "Account stlogs has no Event Grid system topic, so no event subscriptions. "
                    "Only the sweep forwards its flow logs",
                )
            ],
        ),
        (
            topic_without_identity,
            [
                (
                    "fault",
                    "System topic evgt-logs has no identity, so events that it cannot deliver are "
                    "lost",
                )
            ],
        ),
        (
            wrong_setting,
            [
                (
                    "fault",
                    "App setting FLOWLOG_SINK: 'kafka' cannot be used. Write queue, table or "
                    "eventhub",
                ),
                ("unknown", "Log accounts were not checked: the app settings are unknown"),
            ],
        ),
        (
            other_identity,
            [("fault", "The identity of logs (client id 44444444) is not assigned to the app")],
        ),
        (
            young_role,
            [
                (
                    "warning",
                    "The app's identity has the role Storage Blob Data Reader on stlogs since 4 "
                    "min; it may not be in force yet",
                )
            ],
        ),
        (
            roles_elsewhere,
            [
                (
                    "fault",
                    "The app's identity does not have the role Storage Blob Data Reader on stlogs, "
                    "needed to read flow logs",
                )
            ],
        ),
        (
            lambda azure: azure.assign(
                LOGS_ID, assignment(OWNER, f"/subscriptions/{SUBSCRIPTION}"),
                assignment(QUEUES, LOGS_ID),
            ),
            [],
        ),
    ],
)  # fmt: skip
def test_what_keeps_events_away_is_named(
    azure: FakeAzure,
    change: Callable[[FakeAzure], None],
    expected: list[tuple[str, str]],
) -> None:
    change(azure)
    assert whats(azure) == expected


def test_a_missing_role_comes_with_the_command_that_assigns_it(azure: FakeAzure) -> None:
    azure.assign(LOGS_ID, assignment(QUEUES, LOGS_ID))
    (finding,) = wrong(azure)
    assert finding.to_do == (
        "Run `azd provision`, or: az role assignment create --assignee-principal-type "
        f"ServicePrincipal --assignee-object-id {PRINCIPAL} --role 'Storage Blob Data Reader' "
        f"--scope {LOGS_ID}"
    )
    roles = [query for _, path, query in azure.asked if path == f"{LOGS_ID}/{ROLES}"]
    assert roles == [{"api-version": ["2022-04-01"], "$filter": [f"principalId eq '{PRINCIPAL}'"]}]


SUBNET = "/subscriptions/x/virtualNetworks/vnet/subnets/app"
ENDPOINT = {"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}}
CLOSED = "Account stlogs is closed to public networks, and"


@pytest.mark.parametrize(
    ("account", "subnet", "expected"),
    [
        ({"publicNetworkAccess": "Disabled"}, "", f"{CLOSED} the app is in no virtual network"),
        (
            {"publicNetworkAccess": "Disabled"},
            SUBNET,
            f"{CLOSED} has no approved private endpoint",
        ),
        (
            {"publicNetworkAccess": "Disabled", "privateEndpointConnections": [ENDPOINT]},
            SUBNET,
            "",
        ),
        (
            {"networkAcls": {"defaultAction": "Deny", "virtualNetworkRules": [{"id": SUBNET}]}},
            SUBNET.upper(),
            "",
        ),
        (
            {"networkAcls": {"defaultAction": "Deny"}},
            "",
            f"{CLOSED} the app is in no virtual network",
        ),
    ],
)
def test_network_rules_are_compared_with_the_apps_network(
    azure: FakeAzure, account: dict[str, Any], subnet: str, expected: str
) -> None:
    azure.answers[LOGS_ID]["properties"].update(account)
    azure.answers[APP_ID]["properties"]["virtualNetworkSubnetId"] = subnet
    assert whats(azure) == ([("fault", expected)] if expected else [])


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (
            [metric("DeliverySuccessCount", (NOW - timedelta(hours=5), 3))],
            [
                (
                    "warning",
                    "Event Grid last delivered an event of account stlogs about 300 min ago (3 in "
                    "24 h)",
                )
            ],
        ),
        (
            [metric("PublishSuccessCount", (NOW, 7)), metric("DeliverySuccessCount")],
            [
                (
                    "fault",
                    "Account stlogs published 7 events in 24 h, and Event Grid delivered none",
                )
            ],
        ),
        ([], [("warning", "Account stlogs published no events in 24 h")]),
        (
            [
                metric("DeliverySuccessCount", (NOW, 3)),
                metric("DeliveryAttemptFailCount", (NOW, 2), (NOW, 2)),
                metric("DeadLetteredCount", (NOW, 5)),
                metric("DroppedEventCount", (NOW, 1)),
            ],
            [
                (
                    "warning",
                    "4 delivery attempts failed in 24 h; Event Grid tries again for a day",
                ),
                (
                    "warning",
                    "Event Grid gave up on 6 events in 24 h. The sweep forwards their flow logs",
                ),
            ],
        ),
    ],
)
def test_deliveries_are_counted_by_the_metrics_of_the_topic(
    azure: FakeAzure, metrics: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    azure.measure(*metrics)
    assert whats(azure) == expected
    (query,) = [query for _, path, query in azure.asked if path == METRICS]
    assert query["timespan"] == ["2025-12-31T12:00:00Z/2026-01-01T12:00:00Z"]


def test_the_last_sweep_is_read_from_its_checkpoint(azure: FakeAzure) -> None:
    azure.swept(NOW - timedelta(minutes=21))
    assert whats(azure) == [("fault", "The last sweep was 21 min ago")]
    azure.settings(FLOWLOG_SWEEP_MINUTES="10")
    assert whats(azure) == []
    azure.settings(FLOWLOG_CHECKPOINT_TABLE="others")
    assert whats(azure) == [("warning", f"No sweep has looked at stlogs/{NSG} yet")]


def test_a_container_that_no_sweep_looks_at_any_more_is_seen_beside_one_that_is(
    azure: FakeAzure,
) -> None:
    azure.swept(NOW)
    azure.answers[cursor_path(VNET)] = {"Timestamp": f"{NOW - timedelta(minutes=40):%FT%TZ}"}
    assert whats(azure) == [("fault", "The last sweep was 40 min ago")]


def refuse(path: str, status: int = 403) -> Callable[[FakeAzure], None]:
    return lambda azure: azure.answers.update({path: status})


FORBIDDEN = "your login may not read it: 403 AuthorizationFailed"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (refuse(APP_ID), [f"Cannot see the app: {FORBIDDEN}"]),
        (
            refuse(SETTINGS),
            [
                f"Cannot see the app settings: {FORBIDDEN}",
                "Log accounts were not checked: the app settings are unknown",
            ],
        ),
        (refuse(f"{APP_ID}/functions"), [f"Cannot see the functions: {FORBIDDEN}"]),
        (refuse(f"{APP_ID}/config/web"), [f"Cannot see the access restrictions: {FORBIDDEN}"]),
        (refuse(LOGS_ID), [f"Cannot see account stlogs: {FORBIDDEN}"]),
        (refuse(f"{LOGS_ID}/{ROLES}"), [f"Cannot see the roles: {FORBIDDEN}"]),
        (refuse(TOPICS), [f"Cannot see the system topic: {FORBIDDEN}"]),
        (
            refuse(f"{TOPIC_ID}/eventSubscriptions"),
            [f"Cannot see the event subscriptions: {FORBIDDEN}"],
        ),
        (
            refuse(f"{TOPIC_ID}/eventSubscriptions/{APP}-nsg/getFullUrl"),
            [f"Event subscription {APP}-nsg: cannot see which function it names ({FORBIDDEN})"],
        ),
        (refuse(METRICS), [f"Cannot see the deliveries of Event Grid: {FORBIDDEN}"]),
        (
            refuse(METRICS, 500),
            [
                "Cannot see the deliveries of Event Grid: 127.0.0.1:PORT answered 500 "
                "InternalServerError"
            ],
        ),
        (
            refuse(cursor_path(NSG)),
            [f"Cannot see the last sweep: {FORBIDDEN}"],
        ),
    ],
)
def test_what_the_caller_may_not_see_is_said_and_not_guessed(
    azure: FakeAzure, change: Callable[[FakeAzure], None], expected: list[str]
) -> None:
    change(azure)
    port = azure.address.rpartition(":")[2]
    assert whats(azure) == [("unknown", what.replace("PORT", port)) for what in expected]


def test_an_app_that_does_not_exist_is_a_fault(azure: FakeAzure) -> None:
    azure.answers[APP_ID] = 404
    assert whats(azure) == [("fault", f"Resource group {GROUP} has no app {APP}")]


def test_the_roles_for_telemetry_are_checked_where_it_goes(azure: FakeAzure) -> None:
    publisher = "3913510d-42f4-4e42-8a64-420c390055eb"
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    rule = "dcr-00000000000000000000000000000001"
    azure.settings(
        APPLICATIONINSIGHTS_CONNECTION_STRING="InstrumentationKey=one;IngestionEndpoint=x",
        APPLICATIONINSIGHTS_AUTHENTICATION_STRING=f"ClientId={CLIENT};Authorization=AAD",
        FLOWLOG_TRAFFIC_ENDPOINT="https://x.ingest.monitor.azure.com",
        FLOWLOG_TRAFFIC_RULE=rule,
    )
    for kind, key, value in (
        ("components", "InstrumentationKey", "one"),
        ("dataCollectionRules", "immutableId", rule),
    ):
        at = f"{group}/providers/Microsoft.Insights/{kind}"
        items = [{"id": f"{at}/{name}", "properties": {key: name}} for name in ("other", value)]
        azure.answers[at] = {"value": items}
        azure.assign(f"{at}/{value}", assignment(publisher, f"{at}/{value}"))
    assert whats(azure) == []
    azure.assign(f"{group}/providers/Microsoft.Insights/components/one")
    assert whats(azure) == [
        (
            "fault",
            "The app's identity does not have the role Monitoring Metrics Publisher on one, needed "
            "for telemetry",
        )
    ]


def test_an_account_that_was_added_but_not_provisioned_is_named(azure: FakeAzure) -> None:
    found = [one for _, one in look(azure, logs=LOGS_ID, west=STATE_ID) if one.level != "ok"]
    assert [one.what for one in found] == [
        "Log account west is in the azd environment, but not in the app's FLOWLOG_SOURCES"
    ]


def test_an_account_is_found_by_its_name_where_the_azd_environment_is_not_there(
    azure: FakeAzure,
) -> None:
    listed = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts"
    link = f"{azure.address}{listed}/page2"
    azure.answers[listed] = {"value": [azure.answers[STATE_ID]], "nextLink": link}
    azure.answers[f"{listed}/page2"] = {"value": [azure.answers[LOGS_ID]]}
    found = [one for _, one in look(azure, other=LOGS_ID) if one.level != "ok"]
    assert [one.what for one in found] == [
        "Log account other is in the azd environment, but not in the app's FLOWLOG_SOURCES"
    ]
    azure.answers[listed] = {"value": [], "nextLink": "https://elsewhere.example/"}
    found = [one for _, one in look(azure, other=LOGS_ID) if one.level == "unknown"]
    assert [one.what for one in found] == [
        f"Cannot see account stlogs: the next page of {listed} is at another host"
    ]


def test_no_token_is_sent_in_clear(azure: FakeAzure) -> None:
    address = "http://ststate.table.core.windows.net"
    azure.settings(AzureWebJobsStorage__tableServiceUri=address)
    assert whats(azure)[0] == (
        "fault",
        f"App setting AzureWebJobsStorage__tableServiceUri: '{address}' uses http, over which the "
        "SDK sends no token of an identity. Write https",
    )
    arm = Arm(CLOUDS["AzureCloud"], azure)
    with pytest.raises(NotVisible, match=r"no token is sent to ststate\.table\."):
        arm.get_entity(f"{address}/t", "a", "b")


def test_without_a_login_it_says_how_to_log_in(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: str) -> None:
        raise ClientAuthenticationError("Please run 'az login' to set up an account\nand more")

    monkeypatch.setattr(azure, "get_token", refused)
    ((about, finding),) = look(azure)
    assert (about, finding.level, finding.what) == (
        "Login",
        "fault",
        "Cannot get a token for Azure: Please run 'az login' to set up an account",
    )


def test_a_host_that_does_not_answer_is_unknown(azure: FakeAzure) -> None:
    arm = Arm(CLOUDS["AzureCloud"], azure)
    with pytest.raises(NotVisible, match=r"127\.0\.0\.1:9 did not answer"):
        arm.get_entity("http://127.0.0.1:9/t", "a", "b")


def test_the_deployment_is_found_by_the_values_of_azd(tmp_path: Path) -> None:
    folder = tmp_path / ".azure" / "prod"
    folder.mkdir(parents=True)
    (tmp_path / ".azure" / "config.json").write_text('{"version":1,"defaultEnvironment":"prod"}')
    (folder / ".env").write_text(
        f'AZURE_RESOURCE_GROUP="{GROUP}"\nAZURE_SUBSCRIPTION_ID="{SUBSCRIPTION}"\n'
        f'FLOWLOG_FUNCTION_APP={APP}\nFLOWLOG_EVENT_SOURCES="logs={LOGS_ID}=evgt-logs"\nX="a\\"b"\n'
    )
    values = azd_values(tmp_path)
    assert values["X"] == 'a"b'
    assert Deployment.find({}, values) == Deployment(SUBSCRIPTION, GROUP, APP, {"logs": LOGS_ID})
    by_name = {"AZURE_SUBSCRIPTION_ID": "s", "AZURE_RESOURCE_GROUP": "g"}
    assert Deployment.find({**by_name, "FLOWLOG_FUNCTION_APP": "a"}, values) == (
        Deployment("s", "g", "a", {})
    )
    assert azd_values(tmp_path / "elsewhere") == {}
    with pytest.raises(SettingsError, match="AZURE_RESOURCE_GROUP, FLOWLOG_FUNCTION_APP not set"):
        Deployment.find({"AZURE_SUBSCRIPTION_ID": "s"}, {})


def test_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = flowlog("doctor", "--azure", "--json")
    assert (code, err) == (2, "")
    (finding,) = json.loads(out)["findings"]
    assert finding["what"].startswith("Cannot find the deployment: AZURE_SUBSCRIPTION_ID, ")


def test_the_command_without_a_login_is_exit_1(tmp_path: Path) -> None:
    names = ("--subscription", SUBSCRIPTION, "--resource-group", GROUP, "--app", APP)
    environment = {"PATH": str(tmp_path)}  # no az, and no azd
    code, out, _ = flowlog("doctor", "--azure", *names, environment=environment)
    assert code == 1
    assert "Cannot get a token for Azure" in out
    assert "→ Run `az login`" in out


def test_every_role_that_the_templates_assign_is_known() -> None:
    assert set(json.loads(ROLES_FILE.read_text())) <= set(ROLE_IDS)


def test_the_checklist_shows_what_the_command_prints(azure: FakeAzure) -> None:
    names = {
        "func-flowlog-x": APP,
        "stflowtrialx": "stlogs",
        "stflowlogx": "ststate",
        "trial": "logs",
        " 2 min ago": " 3 min ago",
    }
    text = CHECKLIST.read_text("utf-8").partition("## 4.")[2].partition("```\n\n- **Proves**")[0]
    for shown, real in names.items():
        text = text.replace(shown, real)
    shown = " ".join(text.split())
    azure.measure()
    out = io.StringIO()
    told = [Told(about, finding) for about, finding in look(azure)]
    write(told, out, printable, is_coloured=False, width=100)
    sections = [" ".join(section.split()) for section in out.getvalue().split("\n\n")]
    app, logs, _, sweep, _ = sections
    assert app in shown
    assert logs.removesuffix(" The first events take up to 10 minutes") in shown
    assert sweep in shown
