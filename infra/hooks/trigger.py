"""The way in that the deployment uses: FLOWLOG_TRIGGER, the `trigger` of main.bicep."""

from __future__ import annotations

import json

from infra.hooks.accounts import Refused
from infra.hooks.hook import INFRA, Hook

SETTING = "FLOWLOG_TRIGGER"
BLOB_TRIGGER, EVENT_QUEUE, TIMER = TRIGGERS = ("EventGrid", "EventQueue", "Timer")
_NAMES = json.loads((INFRA / "names.json").read_text())
_WATCHED = {
    name: one["container"]
    for name, one in zip(
        ("FLOWLOG_NSG_CONTAINER", "FLOWLOG_VNET_CONTAINER"), _NAMES["watched"], strict=True
    )
}
_FIXED = {
    "FLOWLOG_TRIGGER_SOURCE": "which would leave the event subscriptions and roles of another "
    f"trigger. Take it out, then 'azd env set {SETTING}' to one of {', '.join(TRIGGERS)}",
    "FLOWLOG_SOURCES": "which would leave accounts without roles and event subscriptions. Take it "
    "out, and name the accounts in FLOWLOG_LOG_ACCOUNTS",
    "FLOWLOG_EVENT_QUEUE": "but Event Grid delivers events to the queue "
    f"{_NAMES['eventQueue']}, where nobody would read them. Take it out",
} | {
    name: f"but the event subscriptions are of the container {container}. Take it out"
    for name, container in _WATCHED.items()
}
"""What the templates make other resources for by its name, and what would come of another name."""


def trigger_of(hook: Hook) -> str:
    """One of `TRIGGERS`; the blob trigger unless it is set. Raises `Refused`."""
    trigger = hook.value(SETTING) or BLOB_TRIGGER
    if trigger not in TRIGGERS:
        raise Refused(
            f"{SETTING}: '{trigger}' is none of {', '.join(TRIGGERS)}. Write one of them."
        )
    return trigger


def checked_trigger(hook: Hook) -> str:
    """As `trigger_of`, before anything is made: refuses what contradicts it."""
    trigger = trigger_of(hook)
    hook.switch("FLOWLOG_PUBLIC_ACCESS")
    if trigger == BLOB_TRIGGER and hook.value("FLOWLOG_PUBLIC_ACCESS") == "false":
        raise Refused(
            f"FLOWLOG_PUBLIC_ACCESS is false, and with {SETTING}={BLOB_TRIGGER} Event Grid calls "
            f"the app from the public network. Set one of them: 'azd env set {SETTING} "
            f"{EVENT_QUEUE}' or 'azd env set FLOWLOG_PUBLIC_ACCESS true'."
        )
    extras = {
        one.partition("=")[0].strip() for one in hook.value("FLOWLOG_EXTRA_SETTINGS").split(";")
    }
    for name, why in _FIXED.items():
        if name in extras and not (trigger == TIMER and name in _WATCHED):
            raise Refused(f"FLOWLOG_EXTRA_SETTINGS sets {name}, {why}.")
    return trigger


def recommend(hook: Hook, accounts: int) -> None:
    """Say what several log accounts are better served by, unless somebody has decided."""
    if accounts > 1 and not hook.value(SETTING):
        hook.say(
            f"There are {accounts} log accounts. With the blob trigger, the default, one account "
            "that cannot be read stops the Functions host, and with it all others. Recommended: "
            f"stop here, 'azd env set {SETTING} {EVENT_QUEUE}', then start again. To keep the blob "
            f"trigger and not see this again: 'azd env set {SETTING} {BLOB_TRIGGER}'. "
            "docs/ways-in.md compares them."
        )
