"""The hooks after something was made, with another trigger than the blob trigger, or a new one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure_stand_in import Azure, assignment, listed, queue, queue_subscription, topic
from test_infra_events import (
    DEPLOY,
    EAST,
    EAST_TOPIC,
    NOW,
    PRINCIPAL,
    QUEUES,
    READER,
    SITE,
    SUB,
    WEST,
    WEST_TOPIC,
    Watched,
    azure,
    roles,
    run,
)

from infra.hooks.accounts import Refused
from infra.hooks.after import postprovision

__all__ = ["azure"]  # the fixture

STATE = SITE.replace("Microsoft.Web/sites/func-x", "Microsoft.Storage/storageAccounts/stx")
EVENT_QUEUE = f"{STATE}/queueServices/default/queues/flowlog-events"
TOPIC_PRINCIPAL = "bc9cd6b0"  # of azure_stand_in.topic
SENDERS = (
    f"GET {EVENT_QUEUE}/providers/Microsoft.Authorization/roleAssignments "
    f"$filter=principalId eq '{TOPIC_PRINCIPAL}'"
)
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
SENDER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"
DEPLOY_QUEUE = DEPLOY.replace("trigger=EventGrid", "trigger=EventQueue")
REMOVED = [
    f"delete {topic_id}/eventSubscriptions/func-x-{kind}"
    for topic_id in (EAST_TOPIC, WEST_TOPIC)
    for kind in ("nsg", "vnet")
]
CLOSE = (
    "Nobody needs to call func-x. Once its code is deployed, you can close it to the public "
    "network: 'azd env set FLOWLOG_PUBLIC_ACCESS false', then 'azd provision'. To deploy code "
    "again, set it to true first.\n"
)


@pytest.fixture(autouse=True)
def only_readers(azure: Azure) -> None:
    """The app may read the log accounts; the state account has no queues but that for records."""
    for account in (EAST, WEST):
        roles(azure, account, assignment(account, READER, PRINCIPAL, "2022-01-01T00:00:00Z"))
    azure.answers(f"GET {STATE}/queueServices/default/queues", listed(queue(STATE, "flowlog", 5)))
    azure.answers(f"GET /subscriptions/{SUB}/providers/Microsoft.EventGrid/systemTopics", listed())


def subscribed(azure: Azure) -> list[str]:
    """Subscriptions of the event queue alone, beside one that is somebody else's; their ids."""
    ours = []
    for topic_id in (EAST_TOPIC, WEST_TOPIC):
        made = queue_subscription(topic_id, "func-x-nsg-queue", STATE.upper(), "flowlog-events")
        theirs = queue_subscription(topic_id, "theirs", EAST, "flowlog-events")
        azure.answers(f"GET {topic_id}/eventSubscriptions", listed(made, theirs))
        ours.append(f"delete {made['id']}")
    return ours


@pytest.mark.parametrize("hook", ["postprovision", "postdeploy"])
def test_the_event_queue_waits_for_neither_code_nor_roles_and_replaces_the_webhooks(
    azure: Azure,
    hook: str,
) -> None:
    azure.answers("functionapp keys", "")
    ran = run(azure, hook, FLOWLOG_TRIGGER="EventQueue")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert azure.changes() == [DEPLOY_QUEUE, *REMOVED]
    assert ran.stdout == (
        "".join(
            f"Removed the event subscription func-x-{kind}: FLOWLOG_TRIGGER is EventQueue\n"
            for kind in ("nsg", "vnet") * 2
        )
        + "Events of logse go to the queue flowlog-events of stx\n"
        + "Events of logsw go to the queue flowlog-events of stx\n"
        + CLOSE
    )


@pytest.mark.parametrize("hook", ["postprovision", "postdeploy"])
def test_with_a_timer_no_events_are_sent_any_more(azure: Azure, hook: str) -> None:
    azure.answers("functionapp keys", "")
    removed = subscribed(azure)
    ran = run(azure, hook, FLOWLOG_TRIGGER="Timer", FLOWLOG_PUBLIC_ACCESS="false")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert azure.changes() == removed
    assert ran.stdout == (
        "Removed the event subscription func-x-nsg-queue: FLOWLOG_TRIGGER is Timer\n" * 2
        + "No events are sent: func-x looks for new flow logs every minute\n"
    )


def has_roles_of_the_blob_trigger(azure: Azure) -> None:
    """The app has had them at both log accounts for long."""
    for account in (EAST, WEST):
        roles(
            azure,
            account,
            assignment(account, READER, PRINCIPAL, "2022-01-01T00:00:00Z"),
            assignment(account, QUEUES, PRINCIPAL, "2022-01-01T00:00:00Z"),
        )


def test_back_to_the_blob_trigger_it_waits_for_the_restart_and_removes_the_queues_events(
    azure: Azure,
) -> None:
    has_roles_of_the_blob_trigger(azure)
    removed = subscribed(azure)
    azure.answers("functionapp keys", "", "", "blobs_extension\n")
    watched = Watched(azure)
    watched.run(postprovision)
    assert azure.changes() == [DEPLOY, *removed]
    assert watched.waits == [10]


def test_what_another_trigger_left_is_named_with_the_command_that_removes_it(
    azure: Azure,
) -> None:
    host_queue = queue(STATE, "azure-webjobs-blobtrigger-abc", 12)
    poison = queue(WEST, "webjobs-blobtrigger-poison", 3)
    events = queue(STATE, "flowlog-events-poison", 0)
    records = queue(STATE, "flowlog-records", 7)
    azure.answers(f"GET {STATE}/queueServices/default/queues", listed(host_queue, events, records))
    for one in (host_queue, poison, events, records):
        azure.answers(f"GET {one['id']}", one)
    role = assignment(WEST, QUEUES, PRINCIPAL, "2022-01-01T00:00:00Z")
    roles(azure, WEST, role)
    made = topic(EAST_TOPIC, EAST, azd_env_name="dev")
    azure.answers(
        f"GET /subscriptions/{SUB}/providers/Microsoft.EventGrid/systemTopics",
        listed(made, topic(WEST_TOPIC, WEST)),
    )
    ran = run(azure, "postprovision", FLOWLOG_TRIGGER="Timer", FLOWLOG_PUBLIC_ACCESS="false")
    assert [line for line in ran.stdout.splitlines() if not line.startswith("Removed")] == [
        "The queue azure-webjobs-blobtrigger-abc of stx holds 12 events of another trigger. With "
        "FLOWLOG_TRIGGER=Timer nothing reads them; the sweep forwards their logs. To remove the "
        f"queue: az resource delete --ids {host_queue['id']}",
        "The queue webjobs-blobtrigger-poison of logsw holds 3 events of another trigger. With "
        "FLOWLOG_TRIGGER=Timer nothing reads them; the sweep forwards their logs. To remove the "
        f"queue: az resource delete --ids {poison['id']}",
        "The system topic te of logse is no longer needed. To remove it: az resource delete --ids "
        f"{EAST_TOPIC}",
        "func-x still has the role 'Storage Queue Data Contributor' on logsw, which only a blob "
        f"trigger needs. To remove it: az role assignment delete --ids {role['id']}",
        "No events are sent: func-x looks for new flow logs every minute",
    ]


def test_events_left_in_the_event_queue_are_named_where_blob_triggers_run(
    azure: Azure,
) -> None:
    has_roles_of_the_blob_trigger(azure)
    azure.answers(f"GET {EVENT_QUEUE}", queue(STATE, "flowlog-events", 40))
    assert (
        "The queue flowlog-events of stx holds 40 events of another trigger. With FLOWLOG_TRIGGER="
        "EventGrid nothing reads them;" in run(azure, "postprovision").stdout
    )


def sender_since(azure: Azure, minutes: int) -> None:
    since = (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    azure.answers(SENDERS, listed(assignment(EVENT_QUEUE, SENDER, TOPIC_PRINCIPAL, since)))


def test_subscriptions_that_a_new_role_cannot_carry_yet_are_tried_again_every_minute(
    azure: Azure,
) -> None:
    sender_since(azure, 4)
    azure.answers("deployment group", (1, "ERROR: no access\n"), (1, "ERROR: no access\n"), "")
    watched = Watched(azure, {"FLOWLOG_TRIGGER": "EventQueue"})
    watched.run(postprovision)
    assert watched.waits == [60, 60]
    assert azure.changes()[:3] == [DEPLOY_QUEUE] * 3
    assert watched.said[0] == (
        "The event subscriptions were refused, perhaps as Event Grid may not send to the queue "
        "flowlog-events yet: its role is new, and Azure can take 10 minutes to apply it. Trying "
        "again every minute until 09:06 UTC."
    )


@pytest.mark.parametrize(("minutes", "waits"), [(60, [10, 10]), (8, [60, 60, 10, 10])])
def test_subscriptions_that_an_old_role_does_not_help_end_with_what_to_do(
    azure: Azure,
    minutes: int,
    waits: list[int],
) -> None:
    sender_since(azure, minutes)
    azure.answers("deployment group", (1, "why\n"))
    watched = Watched(azure, {"FLOWLOG_TRIGGER": "EventQueue"})
    with pytest.raises(Refused, match="the event subscriptions could not be made"):
        watched.run(postprovision)
    assert watched.waits == waits


def test_without_the_sender_role_nothing_is_waited_for(azure: Azure) -> None:
    azure.answers(SENDERS, listed())
    azure.answers("deployment group", (1, "why\n"))
    watched = Watched(azure, {"FLOWLOG_TRIGGER": "EventQueue"})
    with pytest.raises(Refused):
        watched.run(postprovision)
    assert watched.waits == [10, 10]


def test_a_word_that_is_no_trigger_is_refused(azure: Azure) -> None:
    ran = run(azure, "postdeploy", FLOWLOG_TRIGGER="timer")
    assert (ran.returncode, azure.changes()) == (1, [])
    assert ran.stderr == (
        "Flowlog: FLOWLOG_TRIGGER: 'timer' is none of EventGrid, EventQueue, Timer. Write one of "
        "them.\n"
    )
