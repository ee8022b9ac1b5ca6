"""A fake Azure Resource Manager on loopback, with answers shaped like Microsoft's examples."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from azure.core.credentials import AccessToken
from stand_in import serving

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.azure.arm import Arm, Cloud
from flowlog_core.doctor.azure.deployment import Deployment
from flowlog_core.doctor.azure.examine import examine_azure

EXAMPLES = json.loads((Path(__file__).parent / "azure_examples.json").read_text("utf-8"))
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SUBSCRIPTION, GROUP, APP = "5b4b650e-28b9-4790-b3ab-ddbd88d727c4", "rg-flows", "func-flowlog"
AT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
HOST = f"{APP}.azurewebsites.net"
PRINCIPAL, CLIENT, TOPIC_PRINCIPAL = "11111111-principal", "22222222-client", "33333333-topic"
NSG, VNET = "insights-logs-networksecuritygroupflowevent", "insights-logs-flowlogflowevent"
APP_ID = f"{AT}/{GROUP}/providers/Microsoft.Web/sites/{APP}"
LOGS_ID = f"{AT}/rg-logs/providers/Microsoft.Storage/storageAccounts/stlogs"
STATE_ID = f"{AT}/{GROUP}/providers/Microsoft.Storage/storageAccounts/ststate"
TOPIC_ID = f"{AT}/rg-logs/providers/Microsoft.EventGrid/systemTopics/evgt-logs"
EVENT_QUEUE_ID = f"{STATE_ID}/queueServices/default/queues/flowlog-events"
DEAD_ID = f"{STATE_ID}/blobServices/default/containers/flowlog-event-dead-letters"
TOPICS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.EventGrid/systemTopics"
SETTINGS = f"{APP_ID}/config/appsettings/list"
ROLES = "providers/Microsoft.Authorization/roleAssignments"
METRICS = f"{TOPIC_ID}/providers/Microsoft.Insights/metrics"
KEY = "the-key-of-the-extension"
# Source: learn.microsoft.com, "Azure built-in roles for Storage".
READER, OWNER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
TABLE_SERVICE = "https://ststate.table.core.windows.net"
SENDER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"
QUEUES, TABLES = "974c5e8b-45b9-4653-ba55-5f855dd0fb88", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"


def cursor_path(container: str) -> str:
    """Where the sweep's cursor of a container of the log account is read."""
    keys = f"PartitionKey='sweep',RowKey='cursor|stlogs|{container}'"
    return f"/ststate-tables/flowlogcheckpoints({keys})"


def example(name: str, **properties: Any) -> dict[str, Any]:
    """The body of an example, its properties replaced."""
    body: dict[str, Any] = copy.deepcopy(EXAMPLES[name]["body"])
    body.get("properties", {}).update(properties)
    return body


def assignment(role_id: str, scope: str, principal: str = PRINCIPAL, **more: Any) -> dict[str, Any]:
    (one,) = copy.deepcopy(EXAMPLES["role assignments"]["body"]["value"])
    one["properties"].update(
        roleDefinitionId=f"/providers/Microsoft.Authorization/roleDefinitions/{role_id}",
        principalId=principal,
        principalType="ServicePrincipal",
        scope=scope,
        **more,
    )
    return dict(one)


def metric(name: str, *points: tuple[datetime, float]) -> dict[str, Any]:
    (one,) = copy.deepcopy(EXAMPLES["metric"]["body"]["value"])
    one["name"] = {"value": name, "localizedValue": name}
    data = [{"timeStamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "total": total} for at, total in points]
    one["timeseries"][0]["data"] = [*data, {"timeStamp": "2026-01-01T11:59:00Z"}]
    return dict(one)


class FakeAzure:
    """Answers by path. A test changes `answers`; an `int` is an error with that status."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.tokens: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.address = ""
        self.answers[APP_ID] = example("site", defaultHostName=HOST) | {
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {"id": {"principalId": PRINCIPAL, "clientId": CLIENT}},
            }
        }
        names = ("nsg_logs", "vnet_logs", "sweep", "cleanup")
        self.answers[f"{APP_ID}/functions"] = {"value": [self.function(one) for one in names]}
        self.answers[f"{APP_ID}/config/web"] = example("site config")
        for account_id in (LOGS_ID, STATE_ID):
            name = account_id.rpartition("/")[2]
            self.answers[account_id] = example("storage account") | {"id": account_id, "name": name}
        (topic,) = example("system topics")["value"]
        topic |= {"id": TOPIC_ID, "identity": {"principalId": TOPIC_PRINCIPAL}}
        topic["properties"]["source"] = LOGS_ID.lower()  # as in the example: lower case
        self.topic = topic
        self.answers[TOPICS] = {"value": [topic]}
        self.subscriptions: list[dict[str, Any]] = []
        self.answers[f"{TOPIC_ID}/eventSubscriptions"] = {"value": self.subscriptions}
        self.subscribe("nsg", NSG)
        self.subscribe("vnet", VNET)
        self.assign(LOGS_ID, assignment(READER, LOGS_ID), assignment(QUEUES, LOGS_ID))
        self.assign(
            STATE_ID,
            assignment(OWNER, STATE_ID.lower()),
            assignment(QUEUES, STATE_ID),
            assignment(TABLES, f"{AT}/{GROUP}"),
        )
        self.assign(DEAD_ID, assignment(CONTRIBUTOR, DEAD_ID, TOPIC_PRINCIPAL))
        self.measure(
            metric("PublishSuccessCount", (NOW - timedelta(minutes=5), 60)),
            metric("DeliverySuccessCount", (NOW - timedelta(minutes=5), 60)),
            metric("DeliveryAttemptFailCount"),
        )

    @staticmethod
    def function(name: str, **properties: Any) -> dict[str, Any]:
        return example("function", **properties) | {"name": f"{APP}/{name}"}

    def assign(self, scope: str, *assignments: dict[str, Any]) -> None:
        self.answers[f"{scope}/{ROLES}"] = {"value": [*assignments]}

    def measure(self, *metrics: dict[str, Any]) -> None:
        self.answers[METRICS] = EXAMPLES["metric"]["body"] | {"value": [*metrics]}

    def subscribe(self, kind: str, container: str, function: str | None = None) -> dict[str, Any]:
        """As infra/modules/event-subscriptions.bicep makes it. Returns its properties."""
        function = f"functionName=Host.Functions.{kind}_logs&" if function is None else function
        base = f"https://{HOST}/runtime/webhooks/blobs"
        made = example(
            "event subscription",
            destination={"endpointType": "WebHook", "properties": {"endpointBaseUrl": base}},
            filter={
                "isSubjectCaseSensitive": False,
                "subjectBeginsWith": f"/blobServices/default/containers/{container}/blobs/",
                "subjectEndsWith": "PT1H.json",
                "includedEventTypes": ["Microsoft.Storage.BlobCreated"],
                "advancedFilters": [
                    {
                        "operatorType": "StringIn",
                        "key": "data.api",
                        "values": ["PutBlockList", "PutBlob", "CopyBlob", "FlushWithClose"],
                    }
                ],
            },
            deadLetterWithResourceIdentity={
                "identity": {"type": "SystemAssigned"},
                "deadLetterDestination": {
                    "endpointType": "StorageBlob",
                    "properties": {
                        "resourceId": STATE_ID,
                        "blobContainerName": "flowlog-event-dead-letters",
                    },
                },
            },
        )
        made |= {"id": f"{TOPIC_ID}/eventSubscriptions/{APP}-{kind}", "name": f"{APP}-{kind}"}
        self.subscriptions.append(made)
        address = example("full address") | {"endpointUrl": f"{base}?{function}code={KEY}"}
        self.answers[f"{made['id']}/getFullUrl"] = address
        properties: dict[str, Any] = made["properties"]
        return properties

    def use_event_queue(self) -> None:
        """As main.bicep makes it with `trigger=EventQueue`."""
        self.subscriptions.clear()
        for kind, container in (("nsg", NSG), ("vnet", VNET)):
            properties = self.subscribe(kind, container)
            made = self.subscriptions[-1]
            made |= {"id": f"{made['id']}-queue", "name": f"{made['name']}-queue"}
            properties["destination"] = None
            properties["filter"]["advancedFilters"] = None
            properties["deliveryWithResourceIdentity"] = {
                "identity": {"type": "SystemAssigned"},
                "destination": {
                    "endpointType": "StorageQueue",
                    "properties": {"resourceId": STATE_ID, "queueName": "flowlog-events"},
                },
            }
        self.answers[EVENT_QUEUE_ID] = {"id": EVENT_QUEUE_ID, "properties": {}}
        self.assign(EVENT_QUEUE_ID, assignment(SENDER, EVENT_QUEUE_ID.lower(), TOPIC_PRINCIPAL))
        self.assign(LOGS_ID, assignment(READER, LOGS_ID))
        names = ("events", "sweep", "cleanup")
        self.answers[f"{APP_ID}/functions"] = {"value": [self.function(one) for one in names]}
        self.answers[f"{APP_ID}/config/web"]["properties"]["publicNetworkAccess"] = "Disabled"
        self.settings(FLOWLOG_TRIGGER_SOURCE="EventQueue")

    def use_timer(self) -> None:
        """As main.bicep makes it with `trigger=Timer`."""
        self.use_event_queue()
        self.answers[TOPICS] = {"value": []}
        del self.answers[f"{APP_ID}/functions"]["value"][0]
        self.settings(FLOWLOG_TRIGGER_SOURCE="Timer")

    def settings(self, **changed: str) -> None:
        """The app settings, as infra/modules/function-app.bicep sets them."""
        values = {
            "FLOWLOG_SOURCES": "logs",
            "logs__blobServiceUri": "https://stlogs.blob.core.windows.net",
            "logs__queueServiceUri": "https://stlogs.queue.core.windows.net",
            "AzureWebJobsStorage__blobServiceUri": "https://ststate.blob.core.windows.net",
            "AzureWebJobsStorage__queueServiceUri": "https://ststate.queue.core.windows.net",
            "AzureWebJobsStorage__tableServiceUri": TABLE_SERVICE,
            "PYTHON_THREADPOOL_THREAD_COUNT": "20",
        }
        for name in ("logs", "AzureWebJobsStorage"):
            values |= {f"{name}__credential": "managedidentity", f"{name}__clientId": CLIENT}
        self.answers[SETTINGS] = {"properties": values | changed}

    def swept(self, at: datetime) -> None:
        for container in (NSG, VNET):
            self.answers[cursor_path(container)] = {"Timestamp": f"{at:%Y-%m-%dT%H:%M:%S.1234567Z}"}

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """As a credential of azure-identity."""
        return AccessToken(f"token for {scopes[0]}", 2**31)


@contextmanager
def running_azure() -> Iterator[FakeAzure]:
    """ARM and a storage table, at one address."""
    azure = FakeAzure()

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            address = urlsplit(self.path)
            path = unquote(address.path)
            azure.asked.append((self.command, path, parse_qs(address.query)))
            azure.tokens.add(str(self.headers["Authorization"]))
            found = azure.answers.get(path, 404)
            status = found if isinstance(found, int) else 200
            codes = {403: "AuthorizationFailed", 404: "ResourceNotFound"}
            error = {"error": {"code": codes.get(status, "InternalServerError"), "message": ""}}
            body = json.dumps(error if isinstance(found, int) else found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - as http.server asks for it

        def log_message(self, *_: object) -> None:
            pass

    with serving(Answer) as address:
        azure.address = address
        azure.settings()
        azure.swept(NOW - timedelta(minutes=3))
        yield azure


class ToFake(requests.adapters.HTTPAdapter):
    """Sends what is meant for the table service to the fake, without TLS."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        request.url = str(request.url).replace(TABLE_SERVICE, self._address)
        return super().send(request, *args, **options)


def look(azure: FakeAzure, **event_sources: str) -> list[tuple[str, Finding]]:
    """What an examination of the deployment finds."""
    cloud = Cloud(azure.address, "arm", "storage")
    deployment = Deployment(SUBSCRIPTION, GROUP, APP, event_sources or {"logs": LOGS_ID})
    session = requests.Session()
    session.mount(TABLE_SERVICE, ToFake(f"{azure.address}/ststate-tables"))
    arm = Arm(cloud, azure, session, now=lambda: NOW)
    return [(one.about, one.finding) for one in examine_azure(arm, deployment)]


def wrong(azure: FakeAzure) -> list[Finding]:
    """What is not well."""
    return [finding for _, finding in look(azure) if finding.level != "ok"]
