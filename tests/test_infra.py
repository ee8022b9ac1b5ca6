"""infra/ as Microsoft's compiler evaluates it, against the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from infra_snapshot import (
    EAST,
    FILES,
    FOREIGN,
    GROUP,
    INFRA,
    INGESTION,
    ONE,
    OURS,
    PRIVATE,
    QUEUED,
    ROOT,
    SUBSCRIPTION,
    TIMED,
    TWO,
    Snapshot,
    app_of,
    built,
    compiled,
    compiler,
    events,
    main,
    queues_of,
    settings_of,
    state_of,
)

from flowlog_core.config.checks import cheap_findings
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import TABLE, Settings
from flowlog_core.schemas import SCHEMAS
from flowlog_core.shape.rules import parse
from flowlog_core.sinks.shards import MAX_SHARDS

# Of the host and of Application Insights, beside the settings of the app's own.
HOST_SETTINGS = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}


@pytest.mark.parametrize("name", ["main.bicep", "events.bicep"])
def test_the_compiler_has_nothing_to_say(name: str) -> None:
    """Not even a warning. Among them: a name declared and not used, a property that Azure drops."""
    assert built(name)["diagnostics"] == []


def test_make_infra_check_fails_on_a_finding_of_the_compiler(tmp_path: Path) -> None:
    compiler()  # skips where there is none
    (tmp_path / "wrong.bicep").write_text(
        "param unused string\n"
        "resource log 'Microsoft.Network/networkWatchers/flowLogs@2023-11-01' = {\n"
        "  name: 'watcher/log'\n  location: 'westeurope'\n  identity: {\n"
        "    type: 'SystemAssigned'\n  }\n  properties: {\n    storageId: 'a'\n"
        "    targetResourceId: 'b'\n  }\n}\n"
    )
    ran = subprocess.run(
        [sys.executable, ROOT / "tools/bicep.py", "check", tmp_path / "wrong.bicep"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert re.findall(r"(?:Warning|Error) ([\w-]+)", ran.stderr) == ["no-unused-params", "BCP187"]


def test_every_module_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    used = {
        name.rpartition("/")[2]
        for name in re.findall(r"^(?:module|import)\b.*? '(.+?)'", text, re.MULTILINE)
    }
    assert {p.name for p in FILES} - used == {"main.bicep", "events.bicep"}


@pytest.mark.parametrize(
    ("parameters", "finding"),
    [
        ({"silenceMinutes": 7}, "BCP033"),
        ({"sinck": "queue"}, "BCP259"),
        ({"trigger": "LogsAndContainerScan"}, "BCP033"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        main(**ONE, **parameters)


def test_the_app_accepts_the_settings_that_it_is_given() -> None:
    made = main(**PRIVATE)
    settings = Settings.from_environment(settings_of(made))
    assert [source.name for source in settings.sources] == ["eastus", "west_europe", "trial"]
    assert (settings.sink, settings.trigger_source) == ("queue", "EventGrid")
    client = settings.state.client_id
    assert client == "id-flowlog-" + state_of(made)[-13:] + ".clientId"
    assert settings.sources[0] == Connection(
        "eastus",
        uris={s: f"https://logse.{s}.core.windows.net" for s in ("blob", "queue")},
        client_id=client,
    )
    assert settings.state == settings.sink_connection
    assert settings.state.uris == {
        service: f"https://{state_of(made)}.{service}.core.windows.net"
        for service in ("table", "blob", "queue")
    }


@pytest.mark.parametrize(
    "parameters",
    [
        *(TWO, PRIVATE, {"trial": True, "sink": "table"}, {**TWO, "sink": "eventhub"}),
        *(QUEUED, TIMED),
    ],
)
def test_the_app_has_nothing_to_say_against_its_settings(parameters: dict[str, Any]) -> None:
    environment = {**settings_of(main(**parameters)), "WEBSITE_SKU": "FlexConsumption"}
    found = cheap_findings(Settings.from_environment(environment), environment)
    assert [finding.what for finding in found if finding.level != "ok"] == []


@pytest.mark.parametrize("trigger", ["EventQueue", "Timer"])
def test_without_a_blob_trigger_the_log_accounts_are_read_and_nothing_else(trigger: str) -> None:
    settings = Settings.from_environment(settings_of(main(**TWO, trigger=trigger)))
    assert (settings.trigger_source, settings.has_blob_triggers) == (trigger, False)
    assert [source.uris for source in settings.sources] == [
        {"blob": "https://logse.blob.core.windows.net"},
        {"blob": "https://logsw.blob.core.windows.net"},
    ]


def test_other_settings_are_added_as_written() -> None:
    extra = "FLOWLOG_SWEEP_MINUTES=10; FLOWLOG_QUEUE_ENCODING=gzip"
    settings = Settings.from_environment(
        settings_of(main(**TWO, sink="table", extraSettings=extra))
    )
    found = settings.sweep_minutes, settings.queue_encoding, settings.sink
    assert found == (10, "gzip", "table")


def test_a_setting_among_the_others_is_set_once() -> None:
    """Azure refuses a name that is there twice; it was written there before it was a parameter."""
    made = main(**TWO, extraSettings="FLOWLOG_QUEUE_ENCODING=json;FLOWLOG_SHARDS=3")
    (site,) = made.of("Microsoft.Web/sites")
    names = [one["name"] for one in site.body["properties"]["siteConfig"]["appSettings"]]
    assert sorted(set(names)) == sorted(names)
    settings = Settings.from_environment(settings_of(made))
    assert (settings.queue_encoding, settings.shards) == ("json", 3)


def test_what_is_sent_has_parameters_of_its_own() -> None:
    """A rule contains `;`, which separates the other settings."""
    made = settings_of(
        main(
            **TWO,
            queueEncoding="json",
            keep="action=deny; dst_port=443,8000-8999",
            drop="bytes>=1000;rule=DefaultRule_*",
            fields="time,src_ip,tuples",
            aggregate=True,
        )
    )
    settings = Settings.from_environment(made)
    assert settings.queue_encoding == "json"
    assert (settings.keep, settings.drop) == (
        parse("action=deny;dst_port=443,8000-8999"),
        parse("bytes>=1000;rule=DefaultRule_*"),
    )
    assert (str(settings.fields), settings.aggregate) == ("id,time,src_ip,tuples", True)


def test_the_schemas_that_are_deployed_are_those_of_the_app() -> None:
    parameters = compiled("main.bicep")["parameters"]
    assert parameters["schema"]["allowedValues"] == [*SCHEMAS]
    made = settings_of(main(**TWO, schema="asim"))
    assert Settings.from_environment(made).schema == "asim"


def test_bicep_sets_what_the_app_and_the_host_know_and_repeats_the_defaults() -> None:
    """A test elsewhere compares docs/settings.md with `TABLE`; docs/host.md names the host's."""
    made = settings_of(main(**TWO))
    of_connections = re.compile(r"(AzureWebJobsStorage|eastus|west_europe)__\w+")
    defaults = {row.name: row.default for row in TABLE}
    rest = {name: value for name, value in made.items() if not of_connections.fullmatch(name)}
    assert rest.keys() - defaults.keys() == HOST_SETTINGS
    changed = {n: v for n, v in rest.items() if n in defaults and v != defaults[n]}
    assert changed == {
        "FLOWLOG_SOURCES": "eastus,west_europe",
        "FLOWLOG_TRAFFIC_ENDPOINT": INGESTION["logsIngestion"],
        "FLOWLOG_TRAFFIC_RULE": INGESTION["immutableId"],
    }
    assert made["PYTHON_THREADPOOL_THREAD_COUNT"] == "20"
    assert "| `PYTHON_THREADPOOL_THREAD_COUNT` | `20` |" in (ROOT / "docs/host.md").read_text()


def test_the_local_sample_has_only_settings_that_mean_something() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    known = {row.name for row in TABLE} | {"FlowLogs", "AzureWebJobsStorage"}
    # Which language it is says functionAppConfig on Flex Consumption, where this is refused.
    assert sample.keys() - known == {"FUNCTIONS_WORKER_RUNTIME"}
    assert "FUNCTIONS_WORKER_RUNTIME" not in settings_of(main(**TWO))


def test_what_the_app_needs_in_its_account_is_created() -> None:
    made = main(**TWO)
    settings = Settings.from_environment(settings_of(made))
    services = "Microsoft.Storage/storageAccounts"
    assert {one.name for one in made.of(f"{services}/tableServices/tables")} == {
        settings.checkpoint_table,
        settings.table,
    }
    assert queues_of(made) == settings.queues == ("flowlog-records",)
    containers = [one.name for one in made.of(f"{services}/blobServices/containers")]
    assert containers == [
        "deployments",
        settings.dead_letter_container,
        "flowlog-event-dead-letters",
    ]
    deployed_to = app_of(made)["functionAppConfig"]["deployment"]["storage"]["value"]
    assert deployed_to == f"https://{state_of(made)}.blob.core.windows.net/deployments"


@pytest.mark.parametrize("shards", [2, MAX_SHARDS])
def test_the_queue_of_every_shard_is_created(shards: int) -> None:
    made = main(**TWO, shards=shards)
    settings = Settings.from_environment(settings_of(made))
    assert (settings.shards, queues_of(made)) == (shards, settings.queues)


def test_the_event_hub_of_the_settings_is_created_with_the_sink_alone() -> None:
    assert main(**TWO).of("Microsoft.EventHub/namespaces") == []
    made = main(**TWO, sink="eventhub", eventHubPartitions=12)
    settings = Settings.from_environment(settings_of(made))
    (namespace,) = made.of("Microsoft.EventHub/namespaces")
    (hub,) = made.of("Microsoft.EventHub/namespaces/eventhubs")
    assert (settings.sink, settings.event_hub) == ("eventhub", hub.name)
    assert settings.sink_connection == Connection(
        "FlowlogHub",
        client_id=settings.state.client_id,
        namespace=f"{namespace.name}.servicebus.windows.net",
    )
    assert hub.body["properties"]["partitionCount"] == 12


def test_no_more_shards_are_deployed_than_the_app_accepts() -> None:
    shards = compiled("main.bicep")["parameters"]["shards"]
    assert (shards["minValue"], shards["maxValue"]) == (1, MAX_SHARDS)


def registered(environment: dict[str, str]) -> dict[str, str]:
    """Function -> container, of the blob triggers that function_app.py registers."""
    code = (
        "import json, function_app\n"
        "found = {}\n"
        "for f in function_app.app.get_functions():\n"
        "    trigger = f.get_trigger().get_dict_repr()\n"
        "    if trigger['type'] == 'blobTrigger':\n"
        "        found[f.get_function_name()] = trigger['path']\n"
        "print(json.dumps(found))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, str] = json.loads(ran.stdout)
    return {name: path.partition("/")[0] for name, path in found.items()}


def test_each_event_subscription_calls_the_function_that_watches_its_container() -> None:
    made = main(**TWO)
    environment = settings_of(made)
    # Nothing is sent: there is no such place.
    environment["APPLICATIONINSIGHTS_CONNECTION_STRING"] = ""
    called = {}
    for one in events(made).resources:
        url = one.body["properties"]["destination"]["properties"]["endpointUrl"]
        function = re.search(r"functionName=Host\.Functions\.(\w+)&", url)
        container = one.body["properties"]["filter"]["subjectBeginsWith"].split("/")[4]
        assert function
        called[function[1]] = container
    assert called == registered(environment)
    assert len(called) == 4


def test_events_are_of_commits_to_flow_logs_and_none_is_lost() -> None:
    made = main(**TWO)
    app = f"{GROUP}/providers/Microsoft.Web/sites/{made.outputs['FLOWLOG_FUNCTION_APP']}"
    found = events(made, defaultHostName="app.azurewebsites.net")
    topic = made.outputs["FLOWLOG_EVENT_SOURCES"].split(",")[0].rpartition("=")[2]
    first = found.resources[0]
    assert first.id == (
        f"{SUBSCRIPTION}/resourceGroups/logs/providers/Microsoft.EventGrid/systemTopics/"
        f"{topic}/eventSubscriptions/{made.outputs['FLOWLOG_FUNCTION_APP']}-nsg"
    )
    assert topic in {one.name for one in made.of("Microsoft.EventGrid/systemTopics")}
    assert [one.id.split("/")[8] for one in found.resources[2:]] == ["their-topic"] * 2
    assert first.body["properties"] == {
        "destination": {
            "endpointType": "WebHook",
            "properties": {
                "endpointUrl": "https://app.azurewebsites.net/runtime/webhooks/blobs"
                "?functionName=Host.Functions.nsg_eastus"
                f"&code=key of {app}/host/default.systemKeys.blobs_extension",
                "maxEventsPerBatch": 1,
                "preferredBatchSizeInKilobytes": 64,
            },
        },
        **subscribed(made, "insights-logs-networksecuritygroupflowevent"),
    }


def subscribed(made: Snapshot, container: str) -> dict[str, Any]:
    """What every event subscription says, whatever it sends the events to."""
    account = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{state_of(made)}"
    return {
        "eventDeliverySchema": "EventGridSchema",
        "filter": {
            "includedEventTypes": ["Microsoft.Storage.BlobCreated"],
            "subjectBeginsWith": f"/blobServices/default/containers/{container}/blobs/",
            "subjectEndsWith": "PT1H.json",
            "isSubjectCaseSensitive": False,
        },
        "retryPolicy": {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440},
        "deadLetterWithResourceIdentity": {
            "identity": {"type": "SystemAssigned"},
            "deadLetterDestination": {
                "endpointType": "StorageBlob",
                "properties": {
                    "resourceId": account,
                    "blobContainerName": "flowlog-event-dead-letters",
                },
            },
        },
    }


def test_the_event_queue_is_subscribed_by_the_template_itself() -> None:
    made = main(**QUEUED)
    found = made.of("Microsoft.EventGrid/systemTopics/eventSubscriptions")
    account = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{state_of(made)}"
    delivery = {
        "identity": {"type": "SystemAssigned"},
        "destination": {
            "endpointType": "StorageQueue",
            "properties": {
                "resourceId": account,
                "queueName": "flowlog-events",
                "queueMessageTimeToLiveInSeconds": 7 * 24 * 3600,
            },
        },
    }
    nsg, vnet = (
        "insights-logs-networksecuritygroupflowevent",
        "insights-logs-flowlogflowevent",
    )
    assert [one.body["properties"] for one in found] == [
        {"deliveryWithResourceIdentity": delivery, **subscribed(made, container)}
        for container in (nsg, vnet) * 2
    ]
    app = made.outputs["FLOWLOG_FUNCTION_APP"]
    token = state_of(made)[-13:]
    assert [one.id.split("/")[8:] for one in found] == [
        [topic, "eventSubscriptions", f"{app}-{kind}-queue"]
        for topic in (f"evgt-{token}-eastus", "their-topic")
        for kind in ("nsg", "vnet")
    ]
    assert Settings.from_environment(settings_of(made)).event_queue in queues_of(made)


def test_the_hook_makes_the_same_subscriptions_and_azd_leaves_them_to_it() -> None:
    """azd runs no hook after a template that failed, as it would where a role is not in force."""
    made = main(**QUEUED)
    kind = "Microsoft.EventGrid/systemTopics/eventSubscriptions"
    assert [(one.id, one.body) for one in events(made).resources] == [
        (one.id, one.body) for one in made.of(kind)
    ]
    assert main(**QUEUED, subscribe=False).of(kind) == []


def test_the_role_of_a_topic_comes_before_its_subscriptions() -> None:
    (module,) = (
        one for one in compiled("main.bicep")["resources"] if "flowlog-queue-events-" in one["name"]
    )
    assert {"eventSenders", "eventDeadLetters", "logAccount"} <= {*module["dependsOn"]}


def test_a_timer_has_neither_topics_nor_events() -> None:
    made = main(**TIMED)
    assert [one.type for one in made.resources if "EventGrid" in one.type] == []
    assert queues_of(made) == ("flowlog-records",)
    assert Settings.from_environment(settings_of(made)).sweep_minutes == 1


def test_azd_hands_over_every_parameter_with_the_default_of_the_template() -> None:
    text = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    declared = compiled("main.bicep")["parameters"]
    assert text.keys() == declared.keys()
    readme = (INFRA / "README.md").read_text()
    # azd runs no hook after a template that failed, so a hook makes them.
    assert text.pop("subscribe") == {"value": False}
    assert declared["subscribe"]["defaultValue"] is True
    for name, one in text.items():
        match = re.fullmatch(r"\$\{(\w+)(?:=(.*))?\}", one["value"])
        assert match, one
        default = declared[name].get("defaultValue", "")
        written = json.dumps(default) if isinstance(default, bool) else str(default)
        assert (match[2] or "") == written
        # The hook before provisioning checks the list, and hands it over under this name.
        assert f"`{match[1].removesuffix('_CHECKED')}`" in readme


# As published: github.com/MicrosoftDocs/azure-docs, resource-name-rules.md in
# articles/azure-resource-manager/management, at commit 849e815a68648a37b5a5aa400ffa61a3143686e8.
PUBLISHED_NAMES = {
    "Microsoft.Resources/resourceGroups": r"[\w().-]{1,89}[\w()-]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Storage/storageAccounts/blobServices/containers": r"(?!.*--)[a-z0-9][a-z0-9-]{2,62}",
    "Microsoft.Storage/storageAccounts/managementPolicies": r"default",
    "Microsoft.Storage/storageAccounts/queueServices/queues": (
        r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
    ),
    "Microsoft.Storage/storageAccounts/tableServices/tables": r"[A-Za-z][A-Za-z0-9]{2,62}",
    "Microsoft.EventHub/namespaces": r"[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]",
    "Microsoft.EventHub/namespaces/eventhubs": r"[A-Za-z0-9][\w.-]{0,254}[A-Za-z0-9]",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,40}",
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.Network/virtualNetworks": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "Microsoft.EventGrid/systemTopics": r"[A-Za-z0-9-]{3,50}",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": r"[A-Za-z0-9-]{3,64}",
    "Microsoft.Network/networkSecurityGroups": r"[A-Za-z0-9][\w.-]{0,78}\w",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
}


def test_the_names_of_resources_fit() -> None:
    long = {"logAccounts": f"{'a' * 30}={EAST}", "environmentName": "e" * 40}
    made = main(**long, trial=True, privateNetwork=True, shards=MAX_SHARDS)
    resources = made.resources + main(**long, sink="eventhub").resources
    resources += events(made).resources
    assert PUBLISHED_NAMES.keys() - {one.type for one in resources} == set()
    wrong = [
        one.id
        for one in resources
        if one.type in PUBLISHED_NAMES and not re.fullmatch(PUBLISHED_NAMES[one.type], one.name)
    ]
    assert wrong == []


def test_nothing_is_created_twice() -> None:
    made = main(**PRIVATE)
    ids = [one.id.lower() for one in made.resources + events(made).resources]
    assert len(set(ids)) == len(ids)


def outside(made: Snapshot) -> set[tuple[str, str, str]]:
    """Subscription or group, type and name of what lies outside the group of the environment."""
    found = set()
    for one in made.resources:
        scope, _, rest = one.id.partition("/providers/")
        in_ours = f"[resourceId('{OURS}', 'rg-dev',"  # an id that was not evaluated
        if GROUP in (scope, one.id) or one.id.startswith(in_ours):
            continue
        name = rest.rpartition("/")[2]
        if one.type == "Microsoft.Authorization/roleAssignments":
            name = rest.split("/")[2]  # of the account
        found.add((scope, one.type.partition("/")[2], name))
    return found


def test_only_what_must_lies_in_the_groups_of_others() -> None:
    made = main(**PRIVATE)
    found = outside(made)
    token = state_of(made)[-13:]
    logs, more = f"{SUBSCRIPTION}/resourceGroups/logs", f"{FOREIGN}/resourceGroups/more"
    watcher = f"{SUBSCRIPTION}/resourceGroups/NetworkWatcherRG"
    assert found == {
        (logs, "roleAssignments", "logse"),
        (logs, "systemTopics", f"evgt-{token}-eastus"),
        (logs, "diagnosticSettings", "flowlog"),
        (more, "roleAssignments", "logsw"),
        (more, "metricAlerts", "flowlog-poison-queue-logsw"),
        (more, "metricAlerts", "flowlog-undelivered-events-logsw"),
        (watcher, "networkWatchers/flowLogs", f"flowlog-trial-{token}"),
    }
    readme = (INFRA / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"## What is made where\n(.*?)\n## ", readme, re.DOTALL)
    for _, type_, _ in found:
        assert f"`{type_}`" in section


@pytest.mark.parametrize("parameters", [ONE, PRIVATE, {"trial": True}])
def test_no_output_holds_a_secret(parameters: dict[str, Any]) -> None:
    outputs = main(**parameters).outputs
    assert outputs.keys() == {
        "AZURE_RESOURCE_GROUP",
        "AZURE_LOCATION",
        "FLOWLOG_FUNCTION_APP",
        "FLOWLOG_STORAGE_ACCOUNT",
        "FLOWLOG_EVENT_SOURCES",
    }
    secret = re.compile(r"key|secret|password|connectionstring|sig=", re.IGNORECASE)
    assert [v for v in outputs.values() if secret.search(str(v))] == []
    assert [n for p in FILES for n in re.findall(r"output \w+ .*list\w+\(", p.read_text())] == []


def test_the_workflow_hands_over_every_variable_and_pins_what_it_runs() -> None:
    workflow = (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
    read = re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text())
    wanted = [name.removesuffix("_CHECKED") for name in read]
    given = re.findall(r"^ {6}(\w+): \$\{\{ vars\.(\w+)", workflow, re.MULTILINE)
    assert [name for name, variable in given if name != variable] == []
    signing_in = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}
    assert {name for name, _ in given} == {*wanted, *signing_in}
    used = re.findall(r"uses: (.*)", workflow)
    assert [one for one in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", one)] == []
    assert "secrets." not in workflow
