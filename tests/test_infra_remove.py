"""infra/remove.py: what Flowlog has in the groups of log accounts, listed before it is deleted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from azure_stand_in import ROOT, Azure, alert, assignment, listed, site, topic, watcher, webhook

SUB = "5b4b650e-28b9-4790-b3ab-ddbd88d727c4"
LOGS = f"/subscriptions/{SUB}/resourceGroups/logs"
EAST = f"{LOGS}/providers/Microsoft.Storage/storageAccounts/logse"
WEST = f"{LOGS}/providers/Microsoft.Storage/storageAccounts/logsw"
OURS = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/evgt-6po65tvaib3tc-east"
THEIRS = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/defender"
TRIAL = EAST.replace("/logs/", "/rg-dev/").replace("logse", "stflowtrial")
SITE = f"/subscriptions/{SUB}/resourceGroups/rg-dev/providers/Microsoft.Web/sites/func-x"
PRINCIPAL = "ce2ce14e-85d7-4629-bdbc-454d0519d987"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
ROLES = "GET {}/providers/Microsoft.Authorization/roleAssignments $filter=principalId eq '{}'"
ALERTS = f"{LOGS}/providers/Microsoft.Insights/metricAlerts"
BASE = "https://func-x.azurewebsites.net/runtime/webhooks/blobs"

# What azd knows before `azd down`, and after it: the outputs are gone then (InvalidatedEnvKeys of
# bicep_provider.go in Azure/azure-dev), and what was set stays.
AFTER = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_SUBSCRIPTION_ID": SUB,
    "FLOWLOG_LOG_ACCOUNTS": f"east={EAST},west={WEST}",
    "FLOWLOG_LAST_APP": "func-x",
    "FLOWLOG_LAST_PRINCIPAL": PRINCIPAL,
}
BEFORE = {
    **AFTER,
    "AZURE_RESOURCE_GROUP": "rg-dev",
    "FLOWLOG_FUNCTION_APP": "func-x",
    "FLOWLOG_EVENT_SOURCES": f"east={EAST}=evgt-6po65tvaib3tc-east,west={WEST}=defender,"
    f"trial={TRIAL}=t",
}

EAST_THINGS = [
    OURS,
    f"{ALERTS}/flowlog-poison-queue-logse",
    f"{ALERTS}/flowlog-undelivered-events-logse",
    f"{EAST}/providers/Microsoft.Authorization/roleAssignments/mine",
]
WEST_THINGS = [f"{THEIRS}/eventSubscriptions/func-x-nsg"]


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    """Two accounts of one group: east with a topic of ours, west with another's."""
    azure = Azure(tmp_path)
    azure.answers(
        f"GET /subscriptions/{SUB}/providers/Microsoft.EventGrid/systemTopics",
        listed(topic(OURS, EAST, azd_env_name="dev"), topic(THEIRS, WEST)),
    )
    azure.answers(f"GET {THEIRS}", topic(THEIRS, WEST))
    azure.answers(
        f"GET {THEIRS}/eventSubscriptions",
        listed(
            webhook(THEIRS, "func-x-nsg", BASE),
            webhook(THEIRS, "scanner", "https://requestb.in/15ksip71"),
        ),
    )
    azure.answers(f"POST {THEIRS}/eventSubscriptions/func-x-nsg/getFullUrl", {"endpointUrl": BASE})
    azure.answers(
        f"GET {ALERTS}",
        listed(
            alert(LOGS, "flowlog-poison-queue-logse", azd_env_name="dev"),
            alert(LOGS, "flowlog-undelivered-events-logse", azd_env_name="dev"),
            alert(LOGS, "flowlog-poison-queue-logsw", azd_env_name="prod"),
            alert(LOGS, "highcpu", azd_env_name="dev"),
        ),
    )
    azure.answers(
        ROLES.format(EAST, PRINCIPAL),
        listed(
            assignment(EAST, READER, PRINCIPAL, "2022-01-01T00:00:00Z", "mine"),
            assignment(LOGS, READER, PRINCIPAL, "2022-01-01T00:00:00Z", "of-the-group"),
        ),
    )
    azure.answers(ROLES.format(WEST, PRINCIPAL), listed())
    return azure


def run(azure: Azure, values: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    azure.answers("env get-values", values)
    return azure.run(ROOT / "infra/remove.py", {}, options)


@pytest.mark.parametrize("values", [BEFORE, AFTER], ids=["before azd down", "after azd down"])
def test_everything_of_this_environment_is_listed_and_nothing_deleted(
    azure: Azure, values: dict[str, str]
) -> None:
    if values is BEFORE:
        azure.answers(f"GET {SITE}", site("func-x", PRINCIPAL))
    azure.answers("env get-values", values)
    ran = azure.run_alone(ROOT / "infra/remove.py", {})
    assert (ran.returncode, ran.stderr, azure.changes()) == (0, "", [])
    topics = "system topic, with its event subscriptions"
    kinds = [topics, "alert", "alert", "role assignment"]
    assert ran.stdout.splitlines() == [
        f"{EAST}:",
        *(f"  {kind}: {thing}" for kind, thing in zip(kinds, EAST_THINGS, strict=True)),
        f"{WEST}:",
        f"  event subscription: {WEST_THINGS[0]}",
        "Nothing was deleted. To delete these 5, add --yes.",
    ]


@pytest.mark.parametrize("values", [BEFORE, AFTER], ids=["before azd down", "after azd down"])
def test_what_is_listed_is_deleted_with_yes(azure: Azure, values: dict[str, str]) -> None:
    listing = run(azure, values).stdout.splitlines()[:-1]
    ran = run(azure, values, "--yes")
    assert (ran.returncode, ran.stderr) == (0, "")
    things = EAST_THINGS + WEST_THINGS
    assert azure.changes() == [f"delete {thing}" for thing in things]
    assert ran.stdout.splitlines() == listing + [f"Deleted {thing}" for thing in things]


@pytest.mark.parametrize("account", ["east", "East", EAST, EAST.upper()])
def test_one_account_is_named_by_name_or_id(azure: Azure, account: str) -> None:
    assert run(azure, BEFORE, "--account", account, "--yes").returncode == 0
    assert azure.changes() == [f"delete {thing}" for thing in EAST_THINGS]


def test_an_account_that_is_no_longer_in_the_list_is_named_by_id(azure: Azure) -> None:
    values = {**AFTER, "FLOWLOG_LOG_ACCOUNTS": f"west={WEST}"}
    assert run(azure, values, "--account", EAST, "--yes").returncode == 0
    assert azure.changes() == [f"delete {thing}" for thing in EAST_THINGS]


def test_an_unknown_name_is_refused(azure: Azure) -> None:
    ran = run(azure, BEFORE, "--account", "north")
    assert (ran.returncode, azure.changes()) == (1, [])
    assert ran.stderr == (
        "Flowlog: --account: 'north' is neither a resource id nor the name of an account. Names: "
        "east, west.\n"
    )


def test_where_nobody_is_known_roles_are_said_not_to_be_looked_for(azure: Azure) -> None:
    ran = run(azure, {**AFTER, "FLOWLOG_LAST_PRINCIPAL": ""}, "--account", "east")
    assert "role assignments: not looked for, as the app is gone" in ran.stdout
    assert "add --yes" in ran.stdout
    assert "roleAssignments" not in json.dumps(azure.calls)


def test_a_second_run_finds_nothing(azure: Azure) -> None:
    azure.answers(f"GET /subscriptions/{SUB}/providers/Microsoft.EventGrid/systemTopics", listed())
    azure.answers(f"GET {ALERTS}", listed())
    azure.answers(ROLES.format(EAST, PRINCIPAL), listed())
    ran = run(azure, AFTER, "--yes")
    assert ran.stdout.splitlines() == [
        f"{EAST}: nothing",
        f"{WEST}: nothing",
        "Nothing is left to remove.",
    ]
    assert azure.changes() == []


def test_without_any_account_it_says_how_to_name_one(azure: Azure) -> None:
    ran = run(azure, {"AZURE_SUBSCRIPTION_ID": SUB})
    assert ran.returncode == 1
    assert ran.stderr == (
        "Flowlog: no log account is known: FLOWLOG_LOG_ACCOUNTS is empty. Name them: --account "
        "RESOURCE_ID\n"
    )


def test_a_failure_in_the_middle_says_to_run_it_again(azure: Azure) -> None:
    azure.answers(f"DELETE {OURS}", (1, "ERROR: (ScopeLocked) locked\n"))
    ran = run(azure, AFTER, "--yes")
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "Flowlog: ERROR: (ScopeLocked) locked",
        "Flowlog: the Azure CLI failed; see above. Run this again.",
    ]


def test_the_flow_log_of_the_trial_is_found_by_its_tag(azure: Azure) -> None:
    """Shape: specification/network/…/2023-11-01/examples/NetworkWatcherFlowLogList.json."""
    group = f"/subscriptions/{SUB}/resourceGroups/NetworkWatcherRG"
    there = watcher("NetworkWatcher_westeurope", group, "westeurope")
    azure.answers(f"GET {there['id']}", there)
    logs = [
        {"id": f"{there['id']}/flowLogs/{name}", "name": name, "tags": {"azd-env-name": name}}
        for name in ("dev", "prod")
    ]
    azure.answers(f"GET {there['id']}/flowLogs", listed(*logs))
    values = {
        "AZURE_ENV_NAME": "dev",
        "AZURE_SUBSCRIPTION_ID": SUB,
        "AZURE_LOCATION": "westeurope",
        "FLOWLOG_TRIAL": "true",
    }
    assert run(azure, values, "--yes").returncode == 0
    assert azure.changes() == [f"delete {there['id']}/flowLogs/dev"]
