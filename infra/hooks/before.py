"""Before azd creates anything: checks the log accounts and what the templates require."""

from __future__ import annotations

from infra.hooks.accounts import SETTING, LogAccount, Refused, parse_accounts, read_event_sources
from infra.hooks.azure_cli import AzFailed
from infra.hooks.hook import Hook
from infra.hooks.subscriptions import find_app, remove, to_event_queue, webhooks
from infra.hooks.topics import with_topics
from infra.hooks.trigger import TIMER, checked_trigger, recommend

CHECKED = "FLOWLOG_LOG_ACCOUNTS_CHECKED"
"""The value that main.parameters.json reads: the list in one form, with existing topics."""

_NO_ACCOUNT = (
    "no storage account with flow logs is named. Either",
    f'  azd env set {SETTING} "NAME=RESOURCE_ID" (several: separated by commas)',
    "or, to try it out with a network and a log of its own,",
    "  azd env set FLOWLOG_TRIAL true",
)


def preprovision(hook: Hook) -> None:
    """Refuse settings that would fail or mislead later; register the resource providers."""
    trial = hook.switch("FLOWLOG_TRIAL")
    private = hook.switch("FLOWLOG_PRIVATE_NETWORK")
    hook.switch("FLOWLOG_EVENT_GRID_ONLY")
    hook.switch("FLOWLOG_AGGREGATE")
    trigger = checked_trigger(hook)
    accounts = parse_accounts(hook.value(SETTING), trial=trial)
    if not accounts and not trial:
        raise Refused(*_NO_ACCOUNT)
    own = hook.value("AZURE_SUBSCRIPTION_ID")
    hook.az.sign_in_checked(own, hook.name)
    recommend(hook, len(accounts) + trial)
    providers = ["Microsoft.Insights"] + ["Microsoft.EventGrid"] * (trigger != TIMER)
    _register(hook, accounts, own, providers, trial=trial, private=private)
    if trigger != TIMER:
        accounts = with_topics(hook.az, accounts, hook.value("AZURE_ENV_NAME"))
    if trial:
        _check_watcher(hook, own)
    _stop_events_of_removed(hook, accounts, trial=trial)
    hook.remember(CHECKED, ",".join(account.text for account in accounts))


def _register(
    hook: Hook,
    accounts: tuple[LogAccount, ...],
    own: str,
    providers: list[str],
    *,
    trial: bool,
    private: bool,
) -> None:
    """Register `providers` and those of the private network where they are not yet."""
    subscriptions = [account.subscription for account in accounts] + [own] * (trial and bool(own))
    needed = dict.fromkeys(
        (subscription, provider) for subscription in subscriptions for provider in providers
    )
    if private and own:
        # The app's subnet is lent to this one; nothing in the templates would register it.
        needed[own, "Microsoft.App"] = None
    if (trial or private) and not own:
        hook.say(
            "AZURE_SUBSCRIPTION_ID is not set yet, so its resource providers are not checked. "
            "Should the deployment name one that is not registered, run 'azd provision' again."
        )
    faults: list[str] = []
    for subscription, provider in needed:
        path = f"/subscriptions/{subscription}/providers/{provider}"
        register = (
            f"az provider register --subscription {subscription} --namespace {provider} --wait"
        )
        try:
            if (
                hook.az.rest("get", path, version="2021-04-01").get("registrationState")
                == "Registered"
            ):
                continue
            hook.say(f"Registering {provider} in subscription {subscription}; this takes a minute")
            hook.az.run(*register.split()[1:], "--output", "none")
        except AzFailed as failed:
            faults += [
                *failed.lines,
                f"the provider {provider} could not be registered in subscription {subscription}; "
                "see above. Ask someone who may register it, such as a Contributor, to run:",
                f"  {register}",
            ]
    if faults:
        raise Refused(*faults)


def _check_watcher(hook: Hook, own: str) -> None:
    """The trial's flow log belongs to the region's Network Watcher, of which there is one."""
    location = hook.value("AZURE_LOCATION")
    if not own or not location:
        hook.say(
            "AZURE_SUBSCRIPTION_ID and AZURE_LOCATION are not set yet, so it is not checked that "
            "the region has a Network Watcher, which the trial's flow log needs."
        )
        return
    wanted = f"NetworkWatcher_{location}"
    path = f"/subscriptions/{own}/providers/Microsoft.Network/networkWatchers"
    there = [
        watcher
        for watcher in hook.az.list(path, version="2023-11-01")
        if watcher.get("location", "").replace(" ", "").lower() == location.lower()
    ]
    if not there:
        raise Refused(
            f"the trial needs the Network Watcher of {location}, and the subscription has none "
            "there. Create it:",
            f"  az group create --subscription {own} --name NetworkWatcherRG --location {location}",
            f"  az resource create --subscription {own} --resource-group NetworkWatcherRG "
            "--resource-type Microsoft.Network/networkWatchers "
            f"--name {wanted} --location {location} --properties {{}}",
        )
    name, group = there[0]["name"], str(there[0]["id"]).split("/")[4]
    if (name.lower(), group.lower()) != (wanted.lower(), "networkwatcherrg"):
        raise Refused(
            f"the Network Watcher of {location} is '{name}' in the resource group '{group}'. The "
            f"trial can use '{wanted}' in 'NetworkWatcherRG' alone, and a region has one watcher. "
            "Try another region:",
            "  azd env set AZURE_LOCATION REGION",
        )


def _stop_events_of_removed(hook: Hook, accounts: tuple[LogAccount, ...], *, trial: bool) -> None:
    """Remove the event subscriptions of accounts that are no longer in the list.

    This must come before their functions are removed: the host accepts events of a function that
    does not exist, and drops them.
    """
    try:
        deployed = read_event_sources(hook.value("FLOWLOG_EVENT_SOURCES"))
    except Refused:
        return  # the deployment that follows writes it anew
    removed = [
        old
        for old in deployed
        if not any(account.is_at(old.id) for account in accounts)
        and not (trial and old.name == "trial")
    ]
    if not removed or (app := find_app(hook)) is None:
        return
    for old in removed:
        sent = [*webhooks(hook, old, app), *to_event_queue(hook, old)]
        for subscription in sent:
            remove(hook, subscription, f"{old.account} is no longer in {SETTING}")
        hook.say(
            f"{old.account} keeps its system topic, alerts and role assignments. To list them, and "
            f"then to remove them: python infra/remove.py --account {old.id}"
        )
