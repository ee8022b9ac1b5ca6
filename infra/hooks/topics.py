"""The Event Grid system topic that a log account already has. Azure allows one an account."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from infra.hooks.accounts import LogAccount, Refused
from infra.hooks.azure_cli import Az

API = "2022-06-15"


def topics_of(az: Az, account: LogAccount) -> list[dict[str, Any]]:
    """The system topics whose source is `account`, as Azure Resource Manager shows them."""
    path = f"/subscriptions/{account.subscription}/providers/Microsoft.EventGrid/systemTopics"
    return [
        topic
        for topic in az.list(path, version=API)
        if account.is_at(topic.get("properties", {}).get("source") or "")
    ]


def is_ours(resource: dict[str, Any], environment: str) -> bool:
    """Whether this azd environment made it."""
    return bool(environment) and (resource.get("tags") or {}).get("azd-env-name") == environment


def with_topics(az: Az, accounts: Iterable[LogAccount], environment: str) -> tuple[LogAccount, ...]:
    """The accounts, each with its existing topic, which the template must not create.

    Raises `Refused` with all topics that cannot be used as they are, and what to do.
    """
    found, faults = [], []
    for account in accounts:
        topics = topics_of(az, account)
        if not topics:
            faults += _no_such_topic(account)
            found.append(account)
            continue
        topic = topics[0]
        name, group = str(topic["name"]), str(topic["id"]).split("/")[4]
        if is_ours(topic, environment) and _made_for(account, name):
            found.append(replace(account, topic=""))  # the template keeps it up to date
            continue
        faults += _unusable(account, topic, name, group)
        found.append(replace(account, topic=name))
    if faults:
        raise Refused(*faults)
    return tuple(found)


def _made_for(account: LogAccount, topic: str) -> bool:
    """Whether the template gives the account's topic this name; it knows the part in the middle."""
    name = re.escape(account.name.replace("_", "-"))
    return re.fullmatch(f"evgt-[a-z0-9]{{13}}-{name}", topic, re.IGNORECASE) is not None


def _no_such_topic(account: LogAccount) -> list[str]:
    if not account.topic:
        return []
    return [
        f"the account {account.account} has no system topic named '{account.topic}'. "
        f"Leave out '={account.topic}' in FLOWLOG_LOG_ACCOUNTS; a topic is then created."
    ]


def _unusable(account: LogAccount, topic: dict[str, Any], name: str, group: str) -> list[str]:
    faults = []
    if account.topic and account.topic.lower() != name.lower():
        faults.append(
            f"the system topic of {account.account} is '{name}', not '{account.topic}'. Leave out "
            f"'={account.topic}' in FLOWLOG_LOG_ACCOUNTS; the topic is found without it."
        )
    if group.lower() != account.group.lower():
        faults += [
            f"the system topic '{name}' of {account.account} is in the resource group '{group}', "
            f"and must be in that of the account, '{account.group}'. Move it there:",
            f"  az resource move --destination-group {account.group} --ids {topic['id']}",
        ]
    if "SystemAssigned" not in str((topic.get("identity") or {}).get("type", "")):
        faults += [
            f"the system topic '{name}' of {account.account} has no identity. Event Grid "
            "needs one to store the events that it cannot deliver. Turn it on:",
            f"  az eventgrid system-topic update --subscription {account.subscription} "
            f"--resource-group {group} --name {name} --identity systemassigned",
        ]
    return faults
