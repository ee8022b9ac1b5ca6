"""The list of log accounts, `FLOWLOG_LOG_ACCOUNTS`: parsed and validated here only.

A valid list is rewritten in one form, which main.bicep divides with `split`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from flowlog_core.config.connection_names import breaks_sections, is_connection_name
from infra.hooks.host_names import taken_by_host

SETTING = "FLOWLOG_LOG_ACCOUNTS"
MAX_NAME_CHARACTERS = 30
"""More would not fit into the name of the account's system topic, which has at most 50."""

# Settings of the host, of Azure and of the app: a connection of that name would be set twice.
_RESERVED = ("azurewebjobs", "flowlog_", "functions_", "website_", "applicationinsights_")
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/resourceGroups/(?P<group>[\w.()-]{1,90})"
    r"/providers/Microsoft\.Storage/storageAccounts/(?P<account>[a-z0-9]{3,24})(?P<deeper>/.*)?",
    re.IGNORECASE,
)
_TOPIC = re.compile("[A-Za-z0-9-]{3,50}")
_HOW_TO = "'az storage account show --name ACCOUNT --query id --output tsv' prints it"


class Refused(Exception):
    """The user has to change something first. `lines` holds sentences and commands."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class LogAccount:
    """A storage account with flow logs."""

    name: str
    """Of the connection, and part of the names of the functions that read the account."""
    subscription: str
    group: str
    account: str
    topic: str = ""
    """Name of its Event Grid system topic, in the same group; empty: the template makes one."""

    @property
    def id(self) -> str:
        """The resource id."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.Storage/storageAccounts/{self.account}"
        )

    @property
    def topic_id(self) -> str:
        """The resource id of the system topic."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.EventGrid/systemTopics/{self.topic}"
        )

    @property
    def text(self) -> str:
        """The entry as main.bicep reads it."""
        return f"{self.name}={self.id}" + (f"={self.topic}" if self.topic else "")

    def is_at(self, resource_id: str) -> bool:
        """Whether `resource_id` is this account's. Azure returns ids in any letter case."""
        return self.id.casefold() == resource_id.casefold()


def parse_accounts(text: str, *, trial: bool = False) -> tuple[LogAccount, ...]:
    """Read the user's list. Raises `Refused` with every fault; an empty list is none.

    `trial` says that the template adds an account of its own, under the name `trial`.
    """
    if not text.strip(" "):
        return ()
    if re.search(r"[\t\r\n\v\f]", text):
        raise Refused(
            f"{SETTING} contains a line break or a tab. Write it on one line, with commas between "
            "the accounts."
        )
    faults: list[str] = []
    accounts = []
    entries = [entry.strip(" ") for entry in text.split(",")]
    for number, entry in enumerate(entries, 1):
        account = _entry(entry, number, len(entries), faults)
        if account is not None:
            accounts.append(account)
    faults += _doubles(accounts, trial=trial)
    if faults:
        raise Refused(*(f"{SETTING}: {fault}" for fault in faults))
    return tuple(accounts)


def read_event_sources(text: str) -> tuple[LogAccount, ...]:
    """The accounts as main.bicep outputs them in FLOWLOG_EVENT_SOURCES, each with its topic.

    Deployed names are accepted, even if `parse_accounts` would refuse them now.
    """
    accounts = []
    for entry in filter(None, text.split(",")):
        name, resource_id, topic = (*entry.split("="), "", "")[:3]
        found = _ID.fullmatch(resource_id)
        if not found or not topic:
            raise Refused(
                f"FLOWLOG_EVENT_SOURCES: '{entry}' cannot be read. Run 'azd provision', which "
                "writes it again."
            )
        subscription, group, account = found.group("subscription", "group", "account")
        accounts.append(LogAccount(name, subscription, group, account, topic))
    return tuple(accounts)


def _entry(entry: str, number: int, count: int, faults: list[str]) -> LogAccount | None:
    """Read one entry; what is wrong with it is added to `faults`."""
    if not entry:
        where = {1: "at the beginning", count: "at the end"}.get(number, "between two accounts")
        faults.append(f"there is a comma too many {where}. Remove it.")
        return None
    parts = [part.strip(" ") for part in entry.split("=")]
    if len(parts) == 1 or len(parts) > 3:
        faults.append(f"'{entry}' is not an account. Write NAME=RESOURCE_ID; {_HOW_TO}.")
        return None
    name, resource_id = parts[:2]
    found = _ID.fullmatch(resource_id)
    wrong = [*_name(name, entry), *_id(resource_id, found), *_topic(parts[2:], entry)]
    faults += wrong
    if wrong or not found:
        return None
    subscription, group, account = found.group("subscription", "group", "account")
    topic = parts[2] if len(parts) > 2 else ""
    return LogAccount(name, subscription.lower(), group, account.lower(), topic)


def _name(name: str, entry: str) -> list[str]:
    if not is_connection_name(name):
        return [
            f"'{name}' in '{entry}' cannot be the name of a connection. Write letters, "
            "digits and _, a letter first: NAME=RESOURCE_ID."
        ]
    if len(name) > MAX_NAME_CHARACTERS:
        return [f"the name '{name}' is longer than {MAX_NAME_CHARACTERS} characters. Shorten it."]
    if breaks_sections(name):
        return [
            f"the name '{name}' contains __ or ends in _, which separates the parts of a setting's "
            "name. Write single underscores, and none at the end."
        ]
    if (setting := taken_by_host(name)) is not None:
        return [
            f"the name '{name}' cannot be used: the Functions host reads its own setting {setting} "
            "first, and so the wrong account. Choose another name."
        ]
    if name.lower().startswith(_RESERVED):
        return [
            f"the name '{name}' begins like a setting of the Functions host or of Flowlog. Choose "
            "another name."
        ]
    return []


def _id(resource_id: str, found: re.Match[str] | None) -> list[str]:
    if found is None:
        return [f"'{resource_id}' is not the resource id of a storage account; {_HOW_TO}."]
    if found["deeper"]:
        return [
            f"'{resource_id}' goes beyond the storage account. Leave out '{found['deeper']}' at "
            "the end."
        ]
    if found["group"].endswith("."):
        return [f"'{resource_id}': no resource group ends in a full stop; {_HOW_TO}."]
    return []


def _topic(topics: list[str], entry: str) -> list[str]:
    if topics == [""]:
        return [
            f"'{entry}' ends in '='. Remove it: a system topic that the account has already is "
            "found without being named."
        ]
    if topics and not _TOPIC.fullmatch(topics[0]):
        return [
            f"'{topics[0]}' is not the name of a system topic. Leave it out, with the '=' before "
            "it: a system topic that the account has already is found without being named."
        ]
    return []


def _doubles(accounts: list[LogAccount], *, trial: bool) -> list[str]:
    faults = []
    seen: dict[str, str] = {}
    for account in accounts:
        first = seen.setdefault(account.name.lower(), account.name)
        if trial and account.name.lower() == "trial":
            faults.append(
                f"the name '{account.name}' belongs to the account of FLOWLOG_TRIAL. Choose "
                "another name."
            )
        elif seen[account.name.lower()] is not account.name:
            faults.append(
                f"'{first}' and '{account.name}' are one name to the Functions host, which ignores "
                "case. Give each account a name of its own."
            )
    by_id = sorted(accounts, key=lambda account: account.id.casefold())
    faults += [
        f"'{first.name}' and '{second.name}' are the same account, {first.account}, and Flowlog "
        "tells accounts apart by their names. Remove one of them."
        for first, second in pairwise(by_id)
        if first.is_at(second.id)
    ]
    return faults
