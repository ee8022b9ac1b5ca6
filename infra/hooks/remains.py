"""What another trigger left behind: a deployment deletes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from infra.hooks.access import ROLES, assignments_of
from infra.hooks.accounts import LogAccount
from infra.hooks.hook import NAMES, Hook
from infra.hooks.subscriptions import App
from infra.hooks.topics import is_ours, topics_of
from infra.hooks.trigger import BLOB_TRIGGER, EVENT_QUEUE, SETTING, TIMER

_QUEUES_API = "2023-05-01"
_EVENT_QUEUE: str = NAMES["eventQueue"]
_HOST_QUEUE = "azure-webjobs-blobtrigger-"
_POISON_OF_BLOB_TRIGGER = "webjobs-blobtrigger-poison"
_ROLE = "Storage Queue Data Contributor"


def name_remains(hook: Hook, accounts: Iterable[LogAccount], app: App, trigger: str) -> None:
    """Say which queues, roles and topics of another trigger are left, and how to remove each."""
    for queue in _old_queues(hook, accounts, trigger):
        count = (queue.get("properties") or {}).get("approximateMessageCount")
        if count == 0:
            continue
        where = str(queue["id"]).split("/")[8]
        events = "may hold events" if count is None else f"holds {count} events"
        hook.say(
            f"The queue {queue['name']} of {where} {events} of another trigger. With {SETTING}="
            f"{trigger} nothing reads them; the sweep forwards their logs. To remove the queue: "
            f"az resource delete --ids {queue['id']}"
        )
    for account in accounts:
        if trigger != BLOB_TRIGGER:
            _name_roles(hook, account, app)
        if trigger == TIMER:
            _name_topics(hook, account)


def _old_queues(
    hook: Hook, accounts: Iterable[LogAccount], trigger: str
) -> Iterator[dict[str, Any]]:
    state = hook.state_queues_id
    paths = []
    if trigger != EVENT_QUEUE:
        paths += [f"{state}/{_EVENT_QUEUE}", f"{state}/{_EVENT_QUEUE}-poison"]
    if trigger != BLOB_TRIGGER:
        # A list has no counts.
        names = [str(one["name"]) for one in hook.az.list(state, version=_QUEUES_API)]
        paths += [f"{state}/{name}" for name in names if name.startswith(_HOST_QUEUE)]
        paths += [
            f"{account.id}/queueServices/default/queues/{_POISON_OF_BLOB_TRIGGER}"
            for account in accounts
        ]
    for path in paths:
        queue = hook.az.find(path, version=_QUEUES_API)
        if queue is not None:
            yield queue


def _name_roles(hook: Hook, account: LogAccount, app: App) -> None:
    for principal in app.principals:
        for one in assignments_of(hook, account.id, principal):
            is_role = one["roleDefinitionId"].rsplit("/", 1)[-1].lower() == ROLES[_ROLE]
            if is_role and account.is_at(one["scope"]):  # one of a whole group is not ours
                hook.say(
                    f"{app.name} still has the role '{_ROLE}' on {account.account}, which only a "
                    f"blob trigger needs. To remove it: az role assignment delete --ids {one['id']}"
                )


def _name_topics(hook: Hook, account: LogAccount) -> None:
    for topic in topics_of(hook.az, account):
        if is_ours(topic, hook.value("AZURE_ENV_NAME")):
            hook.say(
                f"The system topic {topic['name']} of {account.account} is no longer needed. To "
                f"remove it: az resource delete --ids {topic['id']}"
            )
