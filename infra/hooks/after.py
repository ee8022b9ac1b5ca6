"""After something was made: has Event Grid send the events of the log accounts to the app.

What is there already is brought up to date, so it does no harm to run this again, and helps after
a key was renewed.
"""

from __future__ import annotations

from infra.hooks.access import wait_for_access
from infra.hooks.accounts import LogAccount, Refused, read_event_sources
from infra.hooks.azure_cli import AzFailed
from infra.hooks.hook import INFRA, Hook
from infra.hooks.subscriptions import App, find_app, remove_stale

KEY = "blobs_extension"
NEEDED = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "FLOWLOG_FUNCTION_APP",
    "FLOWLOG_STORAGE_ACCOUNT",
    "FLOWLOG_EVENT_SOURCES",
)
LAST_APP, LAST_PRINCIPAL = "FLOWLOG_LAST_APP", "FLOWLOG_LAST_PRINCIPAL"
"""What remove.py needs to know after `azd down`, which forgets the outputs."""
KEY_LOOKS, BETWEEN_LOOKS_S = 60, 10.0
DEPLOYMENT_TRIES = 3


class NoAnswer(Exception):
    """The app did not say which keys it has; the arguments are what `az` said, line by line."""

    def __str__(self) -> str:
        return " ".join(self.args)


def postdeploy(hook: Hook) -> None:
    """Wait for the key of the blob triggers, then send the events."""
    hook.needed(*NEEDED)
    hook.az.sign_in_checked(hook.value("AZURE_SUBSCRIPTION_ID"), hook.name)
    _wait_for_key(hook)
    _send_events(hook)


def postprovision(hook: Hook) -> None:
    """Send the events if the app has its code already: accounts may be new, or have new names."""
    hook.needed(*NEEDED)
    hook.az.sign_in_checked(hook.value("AZURE_SUBSCRIPTION_ID"), hook.name)
    app = hook.value("FLOWLOG_FUNCTION_APP")
    try:
        if KEY in _keys(hook):
            _send_events(hook)
            return
        hook.say(f"{app} has no code yet. Events are sent to it after 'azd deploy'.")
    except NoAnswer as failed:  # as of an app without code, often
        hook.say(
            f"{app} has not started with its code: {failed}. Events are sent to it after "
            "'azd deploy'."
        )


def _keys(hook: Hook) -> list[str]:
    """The names of the app's system keys; the keys themselves are not asked for.

    Raises `NoAnswer`.
    """
    subscription, group, app = (hook.value(name) for name in NEEDED[:3])
    where = ("--subscription", subscription, "--resource-group", group, "--name", app)
    query = ("--query", "systemKeys | keys(@)", "--output", "tsv")
    try:
        return hook.az.run("functionapp", "keys", "list", *where, *query).split()
    except AzFailed as failed:
        raise NoAnswer(*str(failed).splitlines()) from failed


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
        except NoAnswer as failed:
            said = failed.args
    raise Refused(
        *said,
        f"{app} has no key '{KEY}' after {KEY_LOOKS} looks, so its blob triggers have not started.",
        "Its log in Application Insights says why; a wrong setting is the first line there.",
        f"Then run 'azd hooks run {hook.name}'.",
    )


def _send_events(hook: Hook) -> None:
    accounts = read_event_sources(hook.value("FLOWLOG_EVENT_SOURCES"))
    app = find_app(hook)
    if app is None:
        raise Refused("the function app is gone. 'azd up' makes it again.")
    # Kept before anything can fail, so that remove.py knows whose the roles are.
    hook.remember(LAST_APP, app.name)
    hook.remember(LAST_PRINCIPAL, " ".join(app.principals))
    wait_for_access(hook, accounts, app)
    _deploy(hook)
    for account in accounts:
        remove_stale(hook, account, app)
    _say_what_is_sent(hook, accounts, app)


def _deploy(hook: Hook) -> None:
    """Deploy events.bicep. Event Grid calls the app before it accepts the address."""
    subscription, group, app, storage, sources = (hook.value(name) for name in NEEDED)
    for tried in range(1, DEPLOYMENT_TRIES + 1):
        try:
            hook.az.run(
                *("deployment", "group", "create", "--subscription", subscription),
                *("--resource-group", group, "--name", "flowlog-events"),
                *("--template-file", str(INFRA / "events.bicep"), "--parameters"),
                *(f"functionAppName={app}", f"storageName={storage}", f"eventSources={sources}"),
                *("--output", "none"),
            )
            return
        except AzFailed as failed:
            said = str(failed).splitlines()
            if tried == DEPLOYMENT_TRIES:
                raise Refused(
                    *said,
                    "the event subscriptions could not be made; see above. Until they are, the "
                    "sweep forwards the logs, minutes late.",
                    f"Then run 'azd hooks run {hook.name}'.",
                ) from failed
        hook.sleep(BETWEEN_LOOKS_S)  # an app that has just started may be late to answer


def _say_what_is_sent(hook: Hook, accounts: tuple[LogAccount, ...], app: App) -> None:
    for account in accounts:
        hook.say(f"Events of {account.account} go to {app.name} as {account.name}")
    if hook.value("FLOWLOG_EVENT_GRID_ONLY") != "true":
        hook.say(
            "Once records arrive, you can turn away every caller but Event Grid: "
            "'azd env set FLOWLOG_EVENT_GRID_ONLY true', then 'azd provision'."
        )
