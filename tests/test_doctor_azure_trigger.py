"""The checks of a deployment with the event queue or the timer, against a fake ARM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure_deployment import (
    APP,
    APP_ID,
    EVENT_QUEUE_ID,
    LOGS_ID,
    NSG,
    QUEUES,
    STATE_ID,
    TOPIC_PRINCIPAL,
    TOPICS,
    VNET,
    FakeAzure,
    assignment,
    look,
    running_azure,
    wrong,
)

ABOUT_NSG = f"Event subscription {APP}-nsg-queue"
FILTER = f"{ABOUT_NSG}: its subject filter"
NSG_IS_MISSED = (
    "fault",
    f"No event subscription delivers container {NSG} to queue flowlog-events. Only the sweep "
    "forwards its flow logs",
)


@pytest.fixture
def queued() -> Iterator[FakeAzure]:
    with running_azure() as azure:
        azure.use_event_queue()
        yield azure


@pytest.fixture
def timed() -> Iterator[FakeAzure]:
    with running_azure() as azure:
        azure.use_timer()
        yield azure


def whats(azure: FakeAzure) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in wrong(azure)]


def test_an_event_queue_as_the_templates_make_it_is_well(queued: FakeAzure) -> None:
    found = [finding for _, finding in look(queued)]
    assert [finding for finding in found if finding.level != "ok"] == []
    said = [finding.what for finding in found]
    assert f"{ABOUT_NSG} delivers to queue flowlog-events" in said
    assert (
        "The system topic's identity has the role Storage Queue Data Message Sender on "
        "flowlog-events"
    ) in said
    assert "Queue flowlog-events exists" in said
    assert "All 2 functions are deployed and enabled" in said
    assert [what for what in said if "Event Grid" in what and "restrictions" in what] == []
    # No key is asked for: getFullUrl would return it.
    assert {path.rpartition("/")[2] for method, path, _ in queued.asked if method == "POST"} == {
        "list"
    }


def test_a_timer_as_the_templates_make_it_is_well(timed: FakeAzure) -> None:
    found = [finding for _, finding in look(timed)]
    assert [finding for finding in found if finding.level != "ok"] == []
    assert "The function sweep is deployed and enabled" in [finding.what for finding in found]


def no_queue(azure: FakeAzure) -> None:
    del azure.answers[EVENT_QUEUE_ID]


def poison(azure: FakeAzure) -> None:
    azure.answers[f"{EVENT_QUEUE_ID}-poison"] = {"properties": {"approximateMessageCount": 3}}


def no_role(azure: FakeAzure) -> None:
    azure.assign(EVENT_QUEUE_ID)


def larger_role_on_the_account(azure: FakeAzure) -> None:
    azure.assign(EVENT_QUEUE_ID, assignment(QUEUES, STATE_ID, TOPIC_PRINCIPAL))


def no_function(azure: FakeAzure) -> None:
    del azure.answers[f"{APP_ID}/functions"]["value"][0]


def no_topic(azure: FakeAzure) -> None:
    azure.answers[TOPICS] = {"value": []}


def no_reader(azure: FakeAzure) -> None:
    azure.assign(LOGS_ID)


def change(**changes: Any) -> Callable[[FakeAzure], None]:
    return lambda azure: azure.subscriptions[0]["properties"].update(changes)


def change_filter(**changes: Any) -> Callable[[FakeAzure], None]:
    return lambda azure: azure.subscriptions[0]["properties"]["filter"].update(changes)


def other_place(**place: str) -> Callable[[FakeAzure], None]:
    def move(azure: FakeAzure) -> None:
        delivery = azure.subscriptions[0]["properties"]["deliveryWithResourceIdentity"]
        delivery["destination"]["properties"].update(place)

    return move


@pytest.mark.parametrize(
    ("wrong_with", "expected"),
    [
        (
            no_queue,
            [
                (
                    "fault",
                    "Queue flowlog-events does not exist, so Event Grid cannot deliver. Only the "
                    "sweep forwards flow logs",
                )
            ],
        ),
        (
            poison,
            [
                (
                    "warning",
                    "3 events are in the queue flowlog-events-poison. The host gave up on each "
                    "after ten tries",
                )
            ],
        ),
        (
            no_role,
            [
                (
                    "fault",
                    "The system topic's identity does not have the role Storage Queue Data Message "
                    "Sender on flowlog-events, needed to deliver events",
                )
            ],
        ),
        (larger_role_on_the_account, []),
        (no_function, [("fault", f"App {APP} has no function events")]),
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
            no_reader,
            [
                (
                    "fault",
                    "The app's identity does not have the role Storage Blob Data Reader on stlogs, "
                    "needed to read flow logs",
                )
            ],
        ),
        (other_place(queueName="other"), [NSG_IS_MISSED]),
        (other_place(resourceId=LOGS_ID), [NSG_IS_MISSED]),
        (other_place(resourceId=STATE_ID.upper()), []),
        (
            change(provisioningState="Creating"),
            [("fault", f"{ABOUT_NSG} is in state Creating")],
        ),
        (
            change(expirationTimeUtc="2026-02-01T00:00:00Z"),
            [("warning", f"{ABOUT_NSG} expires at 2026-02-01T00:00:00Z")],
        ),
        (
            change(deadLetterWithResourceIdentity=None),
            [
                (
                    "warning",
                    f"{ABOUT_NSG} has no dead-letter destination: events that Event Grid cannot "
                    "deliver leave no trace",
                )
            ],
        ),
        (
            change_filter(subjectBeginsWith="/blobServices/default/containers/else/"),
            [
                (
                    "warning",
                    f"{ABOUT_NSG}: its subject filter names no container of flow logs. Its events "
                    "are ignored",
                ),
                NSG_IS_MISSED,
            ],
        ),
        (
            change_filter(subjectBeginsWith=""),
            [
                (
                    "fault",
                    f"{ABOUT_NSG}: its subject filter does not limit events to container {NSG}",
                )
            ],
        ),
        (
            change_filter(subjectEndsWith=".csv"),
            [("fault", f"{FILTER} excludes PT1H.json, the name of all flow logs")],
        ),
    ],
)
def test_what_the_event_queue_lacks_is_named(
    queued: FakeAzure,
    wrong_with: Callable[[FakeAzure], None],
    expected: list[tuple[str, str]],
) -> None:
    wrong_with(queued)
    assert whats(queued) == expected


def test_the_missing_role_comes_with_the_command_that_assigns_it(queued: FakeAzure) -> None:
    no_role(queued)
    (finding,) = wrong(queued)
    assert finding.to_do == (
        "Run `azd provision`, or: az role assignment create --assignee-principal-type "
        f"ServicePrincipal --assignee-object-id {TOPIC_PRINCIPAL} --role 'Storage Queue Data "
        f"Message Sender' --scope {EVENT_QUEUE_ID}"
    )


def test_a_webhook_that_the_blob_trigger_left_is_named(queued: FakeAzure) -> None:
    queued.subscribe("vnet", VNET)
    assert whats(queued) == [
        (
            "warning",
            f"Event subscription {APP}-vnet still delivers to the app's webhook, where nothing "
            "takes its events: FLOWLOG_TRIGGER_SOURCE is EventQueue. Each event is billed",
        )
    ]


@pytest.mark.parametrize("trigger", ["Timer", "EventGrid"])
def test_subscriptions_that_the_event_queue_left_are_named(queued: FakeAzure, trigger: str) -> None:
    queued.settings(FLOWLOG_TRIGGER_SOURCE=trigger)
    assert [what for level, what in whats(queued) if "still delivers" in what] == [
        f"Event subscription {one['name']} still delivers to queue flowlog-events, where nothing "
        f"takes its events: FLOWLOG_TRIGGER_SOURCE is {trigger}. Each event is billed"
        for one in queued.subscriptions
    ]
