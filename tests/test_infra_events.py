"""The hooks after something was made: when events are sent to the app, and which no longer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure_stand_in import (
    HOOKS,
    Azure,
    assignment,
    listed,
    queue_subscription,
    site,
    topic,
    webhook,
)

from infra.hooks.accounts import Refused
from infra.hooks.after import postdeploy, postprovision
from infra.hooks.azure_cli import Az
from infra.hooks.hook import Hook

SUB = "5b4b650e-28b9-4790-b3ab-ddbd88d727c4"
LOGS = f"/subscriptions/{SUB}/resourceGroups/logs"
EAST = f"{LOGS}/providers/Microsoft.Storage/storageAccounts/logse"
WEST = f"{LOGS}/providers/Microsoft.Storage/storageAccounts/logsw"
EAST_TOPIC = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/te"
WEST_TOPIC = f"{LOGS}/providers/Microsoft.EventGrid/systemTopics/tw"
SOURCES = f"east={EAST}=te,west={WEST}=tw"
SITE = f"/subscriptions/{SUB}/resourceGroups/rg-dev/providers/Microsoft.Web/sites/func-x"
PRINCIPAL = "ce2ce14e-85d7-4629-bdbc-454d0519d987"
ROLES = "GET {}/providers/Microsoft.Authorization/roleAssignments $filter=principalId eq '{}'"
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
QUEUES = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
DEPLOYED = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_SUBSCRIPTION_ID": SUB,
    "AZURE_RESOURCE_GROUP": "rg-dev",
    "FLOWLOG_FUNCTION_APP": "func-x",
    "FLOWLOG_STORAGE_ACCOUNT": "stx",
    "FLOWLOG_EVENT_SOURCES": SOURCES,
    "FLOWLOG_EVENT_GRID_ONLY": "true",
    "FLOWLOG_LAST_APP": "func-x",
    "FLOWLOG_LAST_PRINCIPAL": PRINCIPAL,
}
DEPLOY = (
    f"deployment group create --subscription {SUB} --resource-group rg-dev --name flowlog-events "
    f"--template-file {HOOKS.parent / 'events.bicep'} --parameters functionAppName=func-x "
    f"storageName=stx eventSources={SOURCES} trigger=EventGrid --output none"
)
SAID = "Events of logse go to func-x as east\nEvents of logsw go to func-x as west\n"
BASE = "https://func-x.azurewebsites.net/runtime/webhooks/blobs"
LONG_AGO = "2022-01-01T00:00:00.1234567Z"
NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    """An app that has started, may read both accounts, and has their events already."""
    azure = Azure(tmp_path)
    azure.answers("functionapp keys", "blobs_extension\n")
    azure.answers(f"GET {SITE}", site("func-x", PRINCIPAL))
    azure.answers("deployment group", "")
    azure.answers("env set", "")
    for account, topic_id, name in ((EAST, EAST_TOPIC, "east"), (WEST, WEST_TOPIC, "west")):
        roles(
            azure,
            account,
            assignment(account, READER, PRINCIPAL, LONG_AGO),
            assignment(account, QUEUES, PRINCIPAL, LONG_AGO),
        )
        azure.answers(f"GET {topic_id}", topic(topic_id, account))
        subscriptions(
            azure,
            topic_id,
            **{f"func-x-{kind}": f"Host.Functions.{kind}_{name}" for kind in ("nsg", "vnet")},
        )
    return azure


def roles(azure: Azure, account: str, *assignments: dict[str, object]) -> None:
    azure.answers(ROLES.format(account, PRINCIPAL), listed(*assignments))


def subscriptions(azure: Azure, topic_id: str, **functions: str) -> None:
    """Make the topic's subscriptions: those of these names, to the app, and others' three."""
    made = [webhook(topic_id, name, BASE) for name in functions]
    others = (
        webhook(topic_id, "theirs", "https://requestb.in/15ksip71"),
        webhook(topic_id, "other-app", BASE.replace("func-x", "func-y")),
        queue_subscription(topic_id, "que"),
    )
    azure.answers(f"GET {topic_id}/eventSubscriptions", listed(*made, *others))
    for name, function in functions.items():
        query = f"functionName={function}&code=key-of-app" if function else "code=key-of-app"
        azure.answers(
            f"POST {topic_id}/eventSubscriptions/{name}/getFullUrl",
            {"endpointUrl": f"{BASE}?{query}"},
        )


def run(
    azure: Azure, hook: str = "postdeploy", **settings: str
) -> subprocess.CompletedProcess[str]:
    return azure.run(HOOKS / f"{hook}.py", {**DEPLOYED, **settings})


@dataclass
class Watched:
    """A hook run in this process, with a clock that only waiting moves."""

    azure: Azure
    settings: dict[str, str] = field(default_factory=dict)
    now: datetime = NOW
    said: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    while_waiting: Callable[[int], None] = lambda _: None

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += timedelta(seconds=seconds)
        self.while_waiting(len(self.waits))

    def run(self, action: Callable[[Hook], None] = postdeploy) -> None:
        environment = self.azure.environment({**DEPLOYED, **self.settings})
        az = Az(environment)
        hook = Hook("postdeploy", environment, az, self.said.append, lambda: self.now, self.wait)
        with self.azure.answers_here():
            action(hook)


@pytest.mark.parametrize("hook", ["postdeploy", "postprovision"])
def test_events_are_sent_to_the_app_in_one_deployment_for_all_accounts(
    azure: Azure, hook: str
) -> None:
    ran = azure.run_alone(HOOKS / f"{hook}.py", DEPLOYED)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, SAID, "")
    assert azure.changes() == [DEPLOY]


def test_a_second_run_does_the_same_again_and_removes_nothing(azure: Azure) -> None:
    run(azure)
    first = azure.calls
    assert run(azure).returncode == 0
    assert azure.calls == first + first
    assert azure.changes() == [DEPLOY, DEPLOY]


def test_before_the_code_is_there_provisioning_leaves_the_events_to_the_deployment(
    azure: Azure,
) -> None:
    """An app that is starting has no keys, or other ones, or gives no answer at all."""
    azure.answers("functionapp keys", "", "masterKey\n", (1, "ERROR: Bad Gateway\n"))
    for said in (
        "has no code yet",
        "has no code yet",
        "has not started with its code: ERROR: Bad Gateway",
    ):
        ran = run(azure, "postprovision")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == f"func-x {said}. Events are sent to it after 'azd deploy'.\n"
    assert azure.changes() == []


def test_the_deployment_waits_for_the_key_that_the_host_makes(azure: Azure) -> None:
    azure.answers(
        "functionapp keys",
        (1, "ERROR: Bad Gateway\n"),
        "",
        "blobs_extension_2\n",
        "other\r\nblobs_extension\r\n",
    )
    watched = Watched(azure)
    watched.run()
    assert watched.waits == [10, 10, 10]
    assert watched.said == ["Waiting for func-x to start with the new code", *SAID.splitlines()]


def test_a_key_that_does_not_come_is_told_with_what_az_said_last(azure: Azure) -> None:
    azure.answers("functionapp keys", "", (3, "ERROR: not allowed\n"))
    watched = Watched(azure)
    with pytest.raises(Refused) as refused:
        watched.run()
    assert sum(watched.waits) == 590
    assert azure.changes() == []
    assert refused.value.lines == (
        "ERROR: not allowed",
        "func-x has no key 'blobs_extension' after 60 looks, so its blob triggers have not "
        "started.",
        "Its log in Application Insights says why; a wrong setting is the first line there.",
        "Then run 'azd hooks run postdeploy'.",
    )


def test_the_keys_themselves_are_not_asked_for(azure: Azure) -> None:
    run(azure)
    call = next(call for call in azure.calls if call[1:4] == ["functionapp", "keys", "list"])
    assert call[call.index("--query") + 1] == "systemKeys | keys(@)"


def test_no_key_is_shown_when_something_fails(azure: Azure) -> None:
    subscriptions(azure, EAST_TOPIC, old="Host.Functions.nsg_old")
    azure.answers(f"DELETE {EAST_TOPIC}/eventSubscriptions/old", (1, "ERROR: no\n"))
    ran = run(azure)
    assert ran.returncode == 1
    assert "key-of-app" not in ran.stdout + ran.stderr
    assert ran.stderr.splitlines()[-1] == (
        "Flowlog: the Azure CLI failed; see above. Run 'azd hooks run postdeploy' to continue."
    )


def test_an_app_that_is_late_to_answer_event_grid_is_asked_again(azure: Azure) -> None:
    azure.answers("deployment group", (1, "ERROR: Webhook validation handshake failed\n"), "")
    watched = Watched(azure)
    watched.run()
    assert (azure.changes(), watched.waits) == ([DEPLOY, DEPLOY], [10])


def test_a_deployment_that_keeps_failing_ends_with_what_to_do(azure: Azure) -> None:
    azure.answers("deployment group", (1, "why\n"))
    with pytest.raises(Refused) as refused:
        Watched(azure).run()
    assert azure.changes() == [DEPLOY] * 3
    assert refused.value.lines == (
        "why",
        "the event subscriptions could not be made; see above. Until they are, the sweep forwards "
        "the logs, minutes late.",
        "Then run 'azd hooks run postdeploy'.",
    )


def test_events_wait_until_the_youngest_role_is_ten_minutes_old(azure: Azure) -> None:
    roles(
        azure,
        WEST,
        assignment(WEST, READER, PRINCIPAL, "2026-01-31T08:57:30.7654321Z"),
        assignment(WEST, QUEUES, PRINCIPAL, "2026-01-31T08:55:00Z"),
    )
    watched = Watched(azure)
    watched.while_waiting = lambda _: _nothing_sent(azure)
    watched.run()
    assert watched.waits == [7.5 * 60 + 0.765432]
    assert watched.said[0] == (
        "Waiting 8 min before events are sent: the app was given its roles on logsw at 08:57 UTC, "
        "and Azure can take 10 minutes to apply them. Until then the first event would stop the "
        "Functions host."
    )
    assert azure.changes() == [DEPLOY]


def _nothing_sent(azure: Azure) -> None:
    assert azure.changes() == []


def test_a_later_run_does_not_wait(azure: Azure) -> None:
    roles(
        azure,
        WEST,
        assignment(WEST, READER, PRINCIPAL, "2026-01-31T08:50:00Z"),
        assignment(WEST, QUEUES, PRINCIPAL, "2026-01-31T08:49:59Z"),
    )
    watched = Watched(azure)
    watched.run()
    assert watched.waits == []


def test_a_role_that_is_there_twice_counts_from_when_it_was_there_first(azure: Azure) -> None:
    """One of the whole group, long ago, is in force whatever was assigned beside it."""
    roles(
        azure,
        WEST,
        assignment(WEST, READER, PRINCIPAL, "2026-01-31T08:59:00Z"),
        assignment(LOGS, OWNER, PRINCIPAL, LONG_AGO),
        assignment(WEST, QUEUES, PRINCIPAL, LONG_AGO),
    )
    watched = Watched(azure)
    watched.run()
    assert watched.waits == []


def test_a_role_that_is_not_seen_yet_is_looked_for_again(azure: Azure) -> None:
    complete = listed(
        assignment(EAST, OWNER, PRINCIPAL, LONG_AGO), assignment(EAST, QUEUES, PRINCIPAL, LONG_AGO)
    )
    azure.answers(
        ROLES.format(EAST, PRINCIPAL),
        listed(),
        listed(assignment(EAST, QUEUES, PRINCIPAL, LONG_AGO)),
        complete,
    )
    watched = Watched(azure)
    watched.run()
    assert watched.waits == [10, 10]
    assert azure.changes() == [DEPLOY]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], "Storage Blob Data Reader"),
        ([(EAST, QUEUES)], "Storage Blob Data Reader"),
        ([(EAST, READER)], "Storage Queue Data Contributor"),
        (
            [(EAST, QUEUES), (f"{EAST}/blobServices/default/containers/c", READER)],
            "Storage Blob Data Reader",
        ),
    ],
    ids=["none", "no blobs", "no queues", "one container alone"],
)
def test_no_event_is_sent_before_both_roles_are_there(
    azure: Azure, there: list[tuple[str, str]], missing: str
) -> None:
    roles(azure, EAST, *(assignment(scope, role, PRINCIPAL, LONG_AGO) for scope, role in there))
    watched = Watched(azure)
    with pytest.raises(Refused) as refused:
        watched.run()
    assert (sum(watched.waits), azure.changes()) == (110, [])
    assert refused.value.lines == (
        f"the identity of func-x does not have the role '{missing}' on logse: the Functions host "
        "would stop at its first event. 'azd provision' assigns it; or:",
        f"  az role assignment create --assignee-object-id {PRINCIPAL} --assignee-principal-type "
        f"ServicePrincipal --role '{missing}' --scope {EAST}",
    )


def test_subscriptions_that_no_function_answers_are_removed(azure: Azure) -> None:
    subscriptions(
        azure,
        WEST_TOPIC,
        **{
            "func-x-nsg": "Host.Functions.nsg_west",
            "renamed": "Host.Functions.vnet_old",
            "wrong-account": "Host.Functions.nsg_east",
            "nameless": "",
            "other-case": "host.functions.VNET_west",
        },
    )
    ran = run(azure)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert azure.changes() == [
        DEPLOY,
        *(
            f"delete {WEST_TOPIC}/eventSubscriptions/{name}"
            for name in ("renamed", "wrong-account", "nameless")
        ),
    ]
    assert ran.stdout.splitlines()[:3] == [
        "Removed the event subscription renamed: no function Host.Functions.vnet_old reads logsw",
        "Removed the event subscription wrong-account: no function Host.Functions.nsg_east reads "
        "logsw",
        "Removed the event subscription nameless: its address names no function, which stops the "
        "Functions host",
    ]


def test_the_functions_are_those_that_the_app_registers() -> None:
    """function_app.py, read as text: it is indexed in test_worker.py."""
    text = (HOOKS.parents[1] / "function_app.py").read_text()
    assert '@app.function_name(f"{kind}_{connection}")' in text
    assert [kind for kind in ("nsg", "vnet") if f'watch("{kind}", source.name,' in text] == [
        "nsg",
        "vnet",
    ]


@pytest.mark.parametrize(("value", "said"), [("", True), ("false", True), ("true", False)])
def test_how_to_turn_other_callers_away_is_said_until_it_is_done(
    azure: Azure, value: str, said: bool
) -> None:
    ran = run(azure, FLOWLOG_EVENT_GRID_ONLY=value)
    assert ran.returncode == 0
    hint = (
        "Once records arrive, you can turn away every caller but Event Grid: "
        "'azd env set FLOWLOG_EVENT_GRID_ONLY true', then 'azd provision'.\n"
    )
    assert ran.stdout == SAID + (hint if said else "")


def test_what_azd_down_forgets_is_kept_for_remove(azure: Azure) -> None:
    assert run(azure, FLOWLOG_LAST_APP="", FLOWLOG_LAST_PRINCIPAL="before").returncode == 0
    assert azure.changes() == [
        "set FLOWLOG_LAST_APP=func-x",
        f"set FLOWLOG_LAST_PRINCIPAL={PRINCIPAL}",
        DEPLOY,
    ]


def test_an_app_that_is_gone_is_named(azure: Azure) -> None:
    azure.answers(f"GET {SITE}", (3, 'ERROR: Not Found({"error":{"code":"ResourceNotFound"}})\n'))
    with pytest.raises(Refused, match=r"the function app no longer exists\. 'azd up' creates"):
        Watched(azure).run(postprovision)
