"""The hook before anything is made: what it refuses, registers, finds and keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from azure_stand_in import (
    HOOKS,
    Azure,
    listed,
    provider,
    queue_subscription,
    site,
    topic,
    watcher,
    webhook,
)

SUB, OTHER = "5b4b650e-28b9-4790-b3ab-ddbd88d727c4", "a925f2f7-5c63-4b7b-8799-25a5f97bc3b2"
LOGS = f"/subscriptions/{SUB}/resourceGroups/logs"
EAST = f"{LOGS}/providers/Microsoft.Storage/storageAccounts/logse"
WEST = f"/subscriptions/{OTHER}/resourceGroups/w/providers/Microsoft.Storage/storageAccounts/logsw"
TOPICS = "GET /subscriptions/{}/providers/Microsoft.EventGrid/systemTopics"
SITE = f"/subscriptions/{SUB}/resourceGroups/rg-dev/providers/Microsoft.Web/sites/func-x"
SETTINGS = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_SUBSCRIPTION_ID": SUB,
    "AZURE_LOCATION": "westeurope",
    "FLOWLOG_LOG_ACCOUNTS": f"east={EAST}",
}
TRIAL = {**SETTINGS, "FLOWLOG_LOG_ACCOUNTS": "", "FLOWLOG_TRIAL": "true"}
CHECKED = "set FLOWLOG_LOG_ACCOUNTS_CHECKED="


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    """Two subscriptions in which all providers are registered, and no topic."""
    azure = Azure(tmp_path)
    azure.answers("env set", "")
    for subscription in (SUB, OTHER):
        azure.answers(TOPICS.format(subscription), listed())
        for name in ("EventGrid", "Insights", "App"):
            register(azure, subscription, name, "Registered")
    return azure


def register(azure: Azure, subscription: str, name: str, state: str) -> None:
    azure.answers(f"GET /subscriptions/{subscription}/providers/Microsoft.{name}", provider(state))


def run(azure: Azure, **settings: str) -> subprocess.CompletedProcess[str]:
    return azure.run(HOOKS / "preprovision.py", {**SETTINGS, **settings})


def test_the_list_is_kept_in_the_form_that_the_template_reads(azure: Azure) -> None:
    accounts = f" east = {EAST.lower()}, west={WEST}"
    settings = {**SETTINGS, "FLOWLOG_LOG_ACCOUNTS": accounts, "FLOWLOG_TRIGGER": "EventGrid"}
    ran = azure.run_alone(HOOKS / "preprovision.py", settings)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert azure.changes() == [f"{CHECKED}east={EAST},west={WEST}"]
    assert ["azd", "env", "set"] == azure.calls[-1][:3]
    assert azure.calls[-1][5:] == ["--environment", "dev", "--no-prompt"]


def test_the_template_reads_the_value_that_is_kept() -> None:
    parameters = (HOOKS.parent / "main.parameters.json").read_text()
    assert '"${FLOWLOG_LOG_ACCOUNTS_CHECKED}"' in parameters
    assert "${FLOWLOG_LOG_ACCOUNTS}" not in parameters


def test_what_is_kept_already_is_not_set_again(azure: Azure) -> None:
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS_CHECKED=f"east={EAST}")
    assert (ran.returncode, azure.changes()) == (0, [])


def test_without_azd_the_list_is_printed(azure: Azure) -> None:
    (azure.folder / "azd").unlink()
    assert run(azure).stdout == f"FLOWLOG_LOG_ACCOUNTS_CHECKED=east={EAST}\n"


@pytest.mark.parametrize("trial", ["", "false"])
def test_no_account_and_no_trial_is_refused_with_both_commands(azure: Azure, trial: str) -> None:
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS="", FLOWLOG_TRIAL=trial)
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr.splitlines() == [
        "Flowlog: no storage account with flow logs is named. Either",
        'Flowlog:   azd env set FLOWLOG_LOG_ACCOUNTS "NAME=RESOURCE_ID" (several: separated by '
        "commas)",
        "Flowlog: or, to try it out with a network and a log of its own,",
        "Flowlog:   azd env set FLOWLOG_TRIAL true",
    ]


def test_a_wrong_list_is_refused_before_azure_is_asked(azure: Azure) -> None:
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS=f"east={EAST},")
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr == (
        "Flowlog: FLOWLOG_LOG_ACCOUNTS: there is a comma too many at the end. Remove it.\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "FLOWLOG_TRIAL",
        "FLOWLOG_PRIVATE_NETWORK",
        "FLOWLOG_EVENT_GRID_ONLY",
        "FLOWLOG_PUBLIC_ACCESS",
    ],
)
def test_a_switch_is_true_or_false(azure: Azure, name: str) -> None:
    """The template's parameter is a bool: azd would fail in the middle of its own words."""
    ran = run(azure, **{name: "yes"})
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr == f"Flowlog: {name}: 'yes' is neither true nor false. Write one of them.\n"


def test_providers_are_registered_in_the_subscription_of_each_account(azure: Azure) -> None:
    register(azure, OTHER, "EventGrid", "NotRegistered")
    register(azure, SUB, "App", "Registering")
    azure.answers("provider register", "")
    ran = run(
        azure, FLOWLOG_LOG_ACCOUNTS=f"east={EAST},west={WEST}", FLOWLOG_PRIVATE_NETWORK="true"
    )
    assert ran.returncode == 0
    how = "--wait --output none"
    assert azure.changes()[:-1] == [
        f"provider register --subscription {OTHER} --namespace Microsoft.EventGrid {how}",
        f"provider register --subscription {SUB} --namespace Microsoft.App {how}",
    ]
    assert f"Registering Microsoft.EventGrid in subscription {OTHER}" in ran.stdout


def test_a_provider_that_may_not_be_registered_is_named_with_the_command(azure: Azure) -> None:
    register(azure, SUB, "Insights", "NotRegistered")
    azure.answers("provider register", (1, "ERROR: (AuthorizationFailed) no\n"))
    ran = run(azure)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "Flowlog: ERROR: (AuthorizationFailed) no",
        f"Flowlog: the provider Microsoft.Insights could not be registered in subscription {SUB}; "
        "see above. Ask someone who may register it, such as a Contributor, to run:",
        f"Flowlog:   az provider register --subscription {SUB} --namespace Microsoft.Insights "
        "--wait",
    ]
    assert not any(change.startswith(CHECKED) for change in azure.changes())


THEIRS = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/defender-x"
OURS = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/evgt-6po65tvaib3tc-east"


def test_a_topic_that_the_account_has_is_found(azure: Azure) -> None:
    azure.answers(
        TOPICS.format(SUB),
        {**listed(topic(OURS, WEST)), "nextLink": "https://management.azure.com/next?$skip=1&a=b"},
    )
    azure.answers("GET https://management.azure.com/next $skip=1 a=b", listed(topic(THEIRS, EAST)))
    assert run(azure).returncode == 0
    assert azure.changes() == [f"{CHECKED}east={EAST}=defender-x"]


def test_a_topic_that_this_environment_made_is_left_to_the_template(azure: Azure) -> None:
    azure.answers(TOPICS.format(SUB), listed(topic(OURS, EAST, azd_env_name="dev")))
    assert run(azure).returncode == 0
    assert azure.changes() == [f"{CHECKED}east={EAST}"]


@pytest.mark.parametrize(
    ("name", "environment"), [("east", "prod"), ("renamed", "dev")], ids=["of another", "renamed"]
)
def test_a_topic_of_ours_under_another_name_is_used(
    azure: Azure, name: str, environment: str
) -> None:
    """Azure allows one topic an account, so the template must not make a second."""
    azure.answers(TOPICS.format(SUB), listed(topic(OURS, EAST, azd_env_name=environment)))
    assert run(azure, FLOWLOG_LOG_ACCOUNTS=f"{name}={EAST}").returncode == 0
    assert azure.changes() == [f"{CHECKED}{name}={EAST}=evgt-6po65tvaib3tc-east"]


@pytest.mark.parametrize("identity", [None, "None", "UserAssigned"])
def test_a_topic_without_identity_is_named_with_the_command(
    azure: Azure, identity: str | None
) -> None:
    azure.answers(TOPICS.format(SUB), listed(topic(THEIRS, EAST, identity)))
    ran = run(azure)
    assert (ran.returncode, azure.changes()) == (1, [])
    assert ran.stderr.splitlines() == [
        "Flowlog: the system topic 'defender-x' of logse has no identity. Event Grid needs one to "
        "store the events that it cannot deliver. Turn it on:",
        f"Flowlog:   az eventgrid system-topic update --subscription {SUB} --resource-group logs "
        "--name defender-x --identity systemassigned",
    ]


def test_a_topic_in_another_group_is_named_with_the_command(azure: Azure) -> None:
    elsewhere = THEIRS.replace("/logs/", "/shared/")
    azure.answers(TOPICS.format(SUB), listed(topic(elsewhere, EAST)))
    ran = run(azure)
    assert (ran.returncode, azure.changes()) == (1, [])
    assert f"az resource move --destination-group logs --ids {elsewhere}" in ran.stderr


@pytest.mark.parametrize(
    ("there", "complaint"),
    [
        (listed(), "the account logse has no system topic named 'mine'."),
        (listed(topic(THEIRS, EAST)), "of logse is 'defender-x', not 'mine'. Leave out '=mine'"),
    ],
)
def test_a_topic_that_is_not_the_accounts_is_refused(
    azure: Azure, there: dict[str, object], complaint: str
) -> None:
    azure.answers(TOPICS.format(SUB), there)
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS=f"east={EAST}=mine")
    assert (ran.returncode, azure.changes()) == (1, [])
    assert complaint in ran.stderr


WATCHERS = f"GET /subscriptions/{SUB}/providers/Microsoft.Network/networkWatchers"
RG = f"/subscriptions/{SUB}/resourceGroups"


def test_the_trial_finds_its_network_watcher(azure: Azure) -> None:
    there = watcher("NetworkWatcher_westeurope", f"{RG}/NetworkWatcherRG", "westeurope")
    azure.answers(WATCHERS, listed(watcher("nw2", f"{RG}/rg1", "westus"), there))
    ran = azure.run(HOOKS / "preprovision.py", TRIAL)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_region_without_network_watcher_is_named_with_the_commands(azure: Azure) -> None:
    azure.answers(WATCHERS, listed(watcher("nw2", f"{RG}/rg1", "westus")))
    ran = azure.run(HOOKS / "preprovision.py", TRIAL)
    assert (ran.returncode, azure.changes()) == (1, [])
    assert ran.stderr.splitlines() == [
        "Flowlog: the trial needs the Network Watcher of westeurope, and the subscription has none "
        "there. Create it:",
        f"Flowlog:   az group create --subscription {SUB} --name NetworkWatcherRG --location "
        "westeurope",
        f"Flowlog:   az resource create --subscription {SUB} --resource-group NetworkWatcherRG "
        "--resource-type Microsoft.Network/networkWatchers --name NetworkWatcher_westeurope "
        "--location westeurope --properties {}",
    ]


def test_a_network_watcher_of_another_name_is_refused(azure: Azure) -> None:
    azure.answers(WATCHERS, listed(watcher("nw1", f"{RG}/rg1", "westeurope")))
    ran = azure.run(HOOKS / "preprovision.py", TRIAL)
    assert ran.returncode == 1
    assert "the Network Watcher of westeurope is 'nw1' in the resource group 'rg1'." in ran.stderr
    assert "azd env set AZURE_LOCATION REGION" in ran.stderr


def test_what_cannot_be_checked_before_a_subscription_is_chosen_is_said(azure: Azure) -> None:
    ran = azure.run(
        HOOKS / "preprovision.py", {**TRIAL, "AZURE_SUBSCRIPTION_ID": "", "AZURE_LOCATION": ""}
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("not set yet") == 2


def test_an_account_that_was_removed_from_the_list_stops_sending_events(azure: Azure) -> None:
    """Before its functions are gone: the host would accept its events, and drop them."""
    theirs = WEST.replace("Microsoft.Storage/storageAccounts/logsw", "")
    topic_id = f"{theirs}Microsoft.EventGrid/systemTopics/t"
    azure.answers(f"GET {SITE}", site("func-x", "principal"))
    azure.answers(f"GET {topic_id}", topic(topic_id, WEST))
    base = "https://func-x.azurewebsites.net/runtime/webhooks/blobs"
    azure.answers(
        f"GET {topic_id}/eventSubscriptions",
        listed(
            webhook(topic_id, "func-x-nsg", base),
            webhook(topic_id, "theirs", "https://requestb.in/15ksip71"),
        ),
    )
    full = f"{base}?functionName=Host.Functions.nsg_west&code=key-of-the-app"
    azure.answers(
        f"POST {topic_id}/eventSubscriptions/func-x-nsg/getFullUrl", {"endpointUrl": full}
    )
    deployed = {
        "AZURE_RESOURCE_GROUP": "rg-dev",
        "FLOWLOG_FUNCTION_APP": "func-x",
        "FLOWLOG_EVENT_SOURCES": f"east={EAST}=e,west={WEST}=t",
    }
    ran = run(azure, **deployed)
    assert ran.returncode == 0
    assert azure.changes() == [
        f"delete {topic_id}/eventSubscriptions/func-x-nsg",
        f"{CHECKED}east={EAST}",
    ]
    assert ran.stdout.splitlines() == [
        "Removed the event subscription func-x-nsg: logsw is no longer in FLOWLOG_LOG_ACCOUNTS",
        "logsw keeps its system topic, alerts and role assignments. To list them, and then to "
        f"remove them: python infra/remove.py --account {WEST}",
    ]


def test_a_renamed_account_goes_on_sending_events(azure: Azure) -> None:
    """Its subscriptions are brought up to date after the deployment."""
    azure.answers(f"GET {SITE}", site("func-x", "principal"))
    deployed = {
        "AZURE_RESOURCE_GROUP": "rg-dev",
        "FLOWLOG_FUNCTION_APP": "func-x",
        "FLOWLOG_EVENT_SOURCES": f"old={EAST.lower()}=t",
    }
    ran = run(azure, **deployed)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert [call for call in azure.calls if "Microsoft.Web" in str(call)] == []


def test_what_was_deployed_and_cannot_be_read_does_not_hinder_the_next_deployment(
    azure: Azure,
) -> None:
    assert run(azure, FLOWLOG_EVENT_SOURCES="east=?").returncode == 0


def test_the_event_queue_is_recommended_before_anything_is_made_for_several_accounts(
    azure: Azure,
) -> None:
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS=f"east={EAST},west={WEST}")
    assert (ran.returncode, ran.stdout) == (
        0,
        "There are 2 log accounts. With the blob trigger, the default, one account that cannot be "
        "read stops the Functions host, and with it all others. Recommended: stop here, 'azd env "
        "set FLOWLOG_TRIGGER EventQueue', then start again. To keep the blob trigger and not see "
        "this again: 'azd env set FLOWLOG_TRIGGER EventGrid'. docs/ways-in.md compares them.\n",
    )
    both = run(azure, FLOWLOG_TRIAL="true", AZURE_LOCATION="")
    assert "There are 2 log accounts." in both.stdout


@pytest.mark.parametrize("trigger", ["EventGrid", "EventQueue", "Timer"])
def test_a_choice_that_was_made_is_not_commented_on(azure: Azure, trigger: str) -> None:
    ran = run(azure, FLOWLOG_LOG_ACCOUNTS=f"east={EAST},west={WEST}", FLOWLOG_TRIGGER=trigger)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"FLOWLOG_TRIGGER": "Queue"},
            "FLOWLOG_TRIGGER: 'Queue' is none of EventGrid, EventQueue, Timer. Write one of them.",
        ),
        (
            {"FLOWLOG_PUBLIC_ACCESS": "false"},
            "FLOWLOG_PUBLIC_ACCESS is false, and with FLOWLOG_TRIGGER=EventGrid Event Grid calls "
            "the app from the public network. Set one of them: 'azd env set FLOWLOG_TRIGGER "
            "EventQueue' or 'azd env set FLOWLOG_PUBLIC_ACCESS true'.",
        ),
        (
            {"FLOWLOG_EXTRA_SETTINGS": "FLOWLOG_CLAIM_S=90; FLOWLOG_TRIGGER_SOURCE =Timer"},
            "FLOWLOG_EXTRA_SETTINGS sets FLOWLOG_TRIGGER_SOURCE, which would leave the event "
            "subscriptions and roles of another trigger. Take it out, then 'azd env set "
            "FLOWLOG_TRIGGER' to one of EventGrid, EventQueue, Timer.",
        ),
        (
            {"FLOWLOG_TRIGGER": "EventQueue", "FLOWLOG_EXTRA_SETTINGS": "FLOWLOG_EVENT_QUEUE=mine"},
            "FLOWLOG_EXTRA_SETTINGS sets FLOWLOG_EVENT_QUEUE, but Event Grid delivers events to "
            "the queue flowlog-events, where nobody would read them. Take it out.",
        ),
        (
            {"FLOWLOG_EXTRA_SETTINGS": "FLOWLOG_VNET_CONTAINER=copies"},
            "FLOWLOG_EXTRA_SETTINGS sets FLOWLOG_VNET_CONTAINER, but the event subscriptions are "
            "of the container insights-logs-flowlogflowevent. Take it out.",
        ),
        (
            {"FLOWLOG_TRIGGER": "Timer", "FLOWLOG_EXTRA_SETTINGS": "FLOWLOG_SOURCES=east"},
            "FLOWLOG_EXTRA_SETTINGS sets FLOWLOG_SOURCES, which would leave accounts without roles "
            "and event subscriptions. Take it out, and name the accounts in FLOWLOG_LOG_ACCOUNTS.",
        ),
    ],
)
def test_a_trigger_that_something_contradicts_is_refused_before_azure_is_asked(
    azure: Azure, settings: dict[str, str], complaint: str
) -> None:
    ran = run(azure, **settings)
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr == f"Flowlog: {complaint}\n"


def test_a_timer_needs_no_event_grid(azure: Azure) -> None:
    """Neither its provider nor a topic of the account, whatever state those are in."""
    register(azure, SUB, "EventGrid", "NotRegistered")
    azure.answers(TOPICS.format(SUB), listed(topic(THEIRS, EAST, None)))
    other = "FLOWLOG_NSG_CONTAINER=copies"  # no subscription watches another
    settings = {"FLOWLOG_PUBLIC_ACCESS": "false", "FLOWLOG_EXTRA_SETTINGS": other}
    ran = run(azure, FLOWLOG_TRIGGER="Timer", **settings)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert azure.changes() == [f"{CHECKED}east={EAST}"]


def test_an_account_that_was_removed_from_the_list_stops_filling_the_event_queue(
    azure: Azure,
) -> None:
    topic_id = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/t"
    state = SITE.replace("Microsoft.Web/sites/func-x", "Microsoft.Storage/storageAccounts/stx")
    azure.answers(f"GET {SITE}", site("func-x", "principal"))
    azure.answers(f"GET {topic_id}", topic(topic_id, EAST))
    ours = queue_subscription(topic_id, "func-x-nsg-queue", state, "flowlog-events")
    theirs = queue_subscription(topic_id, "other", state, "que")
    azure.answers(f"GET {topic_id}/eventSubscriptions", listed(ours, theirs))
    ran = run(
        azure,
        FLOWLOG_LOG_ACCOUNTS=f"west={WEST}",
        FLOWLOG_TRIGGER="EventQueue",
        AZURE_RESOURCE_GROUP="rg-dev",
        FLOWLOG_FUNCTION_APP="func-x",
        FLOWLOG_STORAGE_ACCOUNT="stx",
        FLOWLOG_EVENT_SOURCES=f"east={EAST}=t,west={WEST}=t",
    )
    assert ran.returncode == 0
    assert azure.changes() == [f"delete {ours['id']}", f"{CHECKED}west={WEST}"]
