"""After something was made: has Event Grid send the events of the log accounts to the app.

To its blob triggers, or to the event queue; with Timer there are no events.

What is there already is brought up to date, so it does no harm to run this again, and helps after
a key was renewed.
"""

from __future__ import annotations

from infra.hooks.access import senders_in_force_at, wait_for_access
from infra.hooks.accounts import LogAccount, Refused, read_event_sources
from infra.hooks.azure_cli import AzFailed
from infra.hooks.hook import INFRA, NAMES, Hook
from infra.hooks.remains import name_remains
from infra.hooks.subscriptions import App, find_app, remove_stale, to_event_queue
from infra.hooks.trigger import BLOB_TRIGGER, EVENT_QUEUE, TIMER, trigger_of

KEY = "blobs_extension"
NEEDED = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "FLOWLOG_FUNCTION_APP",
    "FLOWLOG_STORAGE_ACCOUNT",
    "FLOWLOG_EVENT_SOURCES",
)
LAST_APP, LAST_PRINCIPAL = "FLOWLOG_LAST_APP", "FLOWLOG_LAST_PRINCIPAL"
"""What remove.py needs after `azd down`, which deletes the outputs."""
KEY_LOOKS, BETWEEN_LOOKS_S = 60, 10.0
DEPLOYMENT_TRIES, BETWEEN_REFUSALS_S = 3, 60.0
_QUEUE: str = NAMES["eventQueue"]


def postdeploy(hook: Hook) -> None:
    """Wait for the key of the blob triggers where they are used, then send the events."""
    trigger = trigger_of(hook)
    hook.needed(*NEEDED)
    hook.az.sign_in_checked(hook.value("AZURE_SUBSCRIPTION_ID"), hook.name)
    if trigger == BLOB_TRIGGER:
        _wait_for_key(hook)
    _send_events(hook, trigger)


def postprovision(hook: Hook) -> None:
    """Send the events; to blob triggers if the app has its code already.

    Accounts may be new or have new names, and the trigger may be another.
    """
    trigger = trigger_of(hook)
    hook.needed(*NEEDED)
    hook.az.sign_in_checked(hook.value("AZURE_SUBSCRIPTION_ID"), hook.name)
    if trigger != BLOB_TRIGGER:
        _send_events(hook, trigger)
        return
    app = hook.value("FLOWLOG_FUNCTION_APP")
    try:
        has_key = KEY in _keys(hook)
    except AzFailed as failed:  # as of an app without code, often
        hook.say(
            f"{app} has not started with its code: {' '.join(failed.lines)}. Events are sent to "
            "it after 'azd deploy'."
        )
        return
    if not has_key and not _uses_event_queue(hook):
        hook.say(f"{app} has no code yet. Events are sent to it after 'azd deploy'.")
        return
    if not has_key:
        _wait_for_key(hook)  # the app restarts with the other trigger
    _send_events(hook, trigger)


def _keys(hook: Hook) -> list[str]:
    """The names of the app's system keys; the keys themselves are not asked for.

    Raises `AzFailed`.
    """
    subscription, group, app = (hook.value(name) for name in NEEDED[:3])
    where = ("--subscription", subscription, "--resource-group", group, "--name", app)
    query = ("--query", "systemKeys | keys(@)", "--output", "tsv")
    return hook.az.run("functionapp", "keys", "list", *where, *query).split()


def _wait_for_key(hook: Hook) -> None:
    """The host makes the key when it first starts with the code."""
    app = hook.value("FLOWLOG_FUNCTION_APP")
    said: tuple[str, ...] = ()
    for look in range(KEY_LOOKS):
        if look == 1:
            hook.say(f"Waiting for {app} to start with the new code")
        if look:
            hook.sleep(BETWEEN_LOOKS_S)
        try:
            if KEY in _keys(hook):
                return
            said = ()
        except AzFailed as failed:
            said = failed.lines
    raise Refused(
        *said,
        f"{app} has no key '{KEY}' after {KEY_LOOKS} looks, so its blob triggers have not started.",
        "Its log in Application Insights says why; a wrong setting is the first line there.",
        f"Then run 'azd hooks run {hook.name}'.",
    )


def _uses_event_queue(hook: Hook) -> bool:
    """Whether events still go to the event queue."""
    accounts = read_event_sources(hook.value("FLOWLOG_EVENT_SOURCES"))
    return any(to_event_queue(hook, account) for account in accounts)


def _send_events(hook: Hook, trigger: str) -> None:
    accounts = read_event_sources(hook.value("FLOWLOG_EVENT_SOURCES"))
    app = find_app(hook)
    if app is None:
        raise Refused("the function app no longer exists. 'azd up' creates it again.")
    # Kept before anything can fail, so that remove.py knows whose the roles are.
    hook.remember(LAST_APP, app.name)
    hook.remember(LAST_PRINCIPAL, " ".join(app.principals))
    if trigger == BLOB_TRIGGER:
        wait_for_access(hook, accounts, app)
    if trigger != TIMER:
        _deploy(hook, accounts, trigger)
    for account in accounts:
        remove_stale(hook, account, app, trigger)
    name_remains(hook, accounts, app, trigger)
    _say_what_is_sent(hook, accounts, app, trigger)


def _deploy(hook: Hook, accounts: tuple[LogAccount, ...], trigger: str) -> None:
    """Deploy events.bicep.

    Event Grid calls the app before it accepts the address of a blob trigger. It may refuse the
    event queue until its role there is in force, which is tried once a minute.
    """
    subscription, group, app, storage, sources = (hook.value(name) for name in NEEDED)
    in_force = None
    failed_times = 0
    while True:
        try:
            hook.az.run(
                *("deployment", "group", "create", "--subscription", subscription),
                *("--resource-group", group, "--name", "flowlog-events"),
                *("--template-file", str(INFRA / "events.bicep"), "--parameters"),
                *(f"functionAppName={app}", f"storageName={storage}", f"eventSources={sources}"),
                f"trigger={trigger}",
                *("--output", "none"),
            )
            return
        except AzFailed as failed:
            if in_force is None and trigger == EVENT_QUEUE:
                queue = f"{hook.state_queues_id}/{_QUEUE}"
                in_force = senders_in_force_at(hook, accounts, queue)
                if hook.now() < in_force:
                    hook.say(
                        "The event subscriptions were refused, perhaps as Event Grid may not send "
                        f"to the queue {_QUEUE} yet: its role is new, and Azure can take 10 "
                        f"minutes to apply it. Trying again every minute until {in_force:%H:%M} "
                        "UTC."
                    )
            if in_force is not None and hook.now() < in_force:
                hook.sleep(BETWEEN_REFUSALS_S)
                continue
            failed_times += 1
            if failed_times == DEPLOYMENT_TRIES:
                raise Refused(
                    *failed.lines,
                    "the event subscriptions could not be made; see above. Until they are, the "
                    "sweep forwards the logs, minutes late.",
                    f"Then run 'azd hooks run {hook.name}'.",
                ) from failed
        hook.sleep(BETWEEN_LOOKS_S)  # an app that has just started may be late to answer


def _say_what_is_sent(hook: Hook, accounts: tuple[LogAccount, ...], app: App, trigger: str) -> None:
    if trigger == TIMER:
        hook.say(f"No events are sent: {app.name} looks for new flow logs every minute")
    for account in accounts if trigger != TIMER else ():
        to = f"the queue {_QUEUE} of {hook.value('FLOWLOG_STORAGE_ACCOUNT')}"
        to = f"{app.name} as {account.name}" if trigger == BLOB_TRIGGER else to
        hook.say(f"Events of {account.account} go to {to}")
    if trigger != BLOB_TRIGGER:
        if hook.value("FLOWLOG_PUBLIC_ACCESS") != "false":
            hook.say(
                f"Nobody needs to call {app.name}. Once its code is deployed, you can close it to "
                "the public network: 'azd env set FLOWLOG_PUBLIC_ACCESS false', then 'azd "
                "provision'. To deploy code again, set it to true first."
            )
    elif hook.value("FLOWLOG_EVENT_GRID_ONLY") != "true":
        hook.say(
            "Once records arrive, you can turn away every caller but Event Grid: "
            "'azd env set FLOWLOG_EVENT_GRID_ONLY true', then 'azd provision'."
        )
