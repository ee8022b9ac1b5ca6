"""The way in that the deployment uses: FLOWLOG_TRIGGER, the `trigger` of main.bicep."""

from __future__ import annotations

from infra.hooks.accounts import Refused
from infra.hooks.hook import Hook

SETTING = "FLOWLOG_TRIGGER"
BLOB_TRIGGER, EVENT_QUEUE, TIMER = TRIGGERS = ("EventGrid", "EventQueue", "Timer")


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
    extras = hook.value("FLOWLOG_EXTRA_SETTINGS").split(";")
    if any(one.partition("=")[0].strip() == "FLOWLOG_TRIGGER_SOURCE" for one in extras):
        raise Refused(
            "FLOWLOG_EXTRA_SETTINGS sets FLOWLOG_TRIGGER_SOURCE, which would leave the event "
            f"subscriptions and roles of another trigger. Take it out, then 'azd env set {SETTING}'"
            f" to one of {', '.join(TRIGGERS)}."
        )
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
