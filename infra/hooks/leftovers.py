"""Lists, and removes on request, Flowlog's resources in the groups of log accounts."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.hooks.access import assignments_of
from infra.hooks.accounts import SETTING, LogAccount, Refused, parse_accounts, read_event_sources
from infra.hooks.after import LAST_APP, LAST_PRINCIPAL
from infra.hooks.azure_cli import Az
from infra.hooks.hook import Hook, exit_code_of, run_azd
from infra.hooks.subscriptions import App, find_app, webhooks
from infra.hooks.topics import API, is_ours, topics_of

_DESCRIPTION = "List what Flowlog has in the resource groups of log accounts, and remove it."


@dataclass(frozen=True, slots=True)
class Leftover:
    """One resource to delete."""

    kind: str
    id: str
    version: str


def main(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """List, and with `--yes` delete. The exit code."""
    parser = argparse.ArgumentParser(prog="infra/remove.py", description=_DESCRIPTION)
    parser.add_argument(
        "--account", action="append", help="name or resource id of one account; may be repeated"
    )
    parser.add_argument("--yes", action="store_true", help="delete what is listed")
    options = parser.parse_args(arguments)
    values = _with_azd_values(os.environ if environment is None else environment)
    hook = Hook("remove", values, Az(values))
    return exit_code_of(
        lambda: _remove(hook, options.account or [], delete=options.yes), "Run this again."
    )


def _with_azd_values(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, with the values of azd's default environment where azd is."""
    ran = run_azd(environment, "env", "get-values", "--output", "json")
    return {**environment, **(json.loads(ran.stdout) if ran and ran.returncode == 0 else {})}


def _remove(hook: Hook, wanted: list[str], *, delete: bool) -> None:
    accounts = _accounts(hook, wanted)
    hook.az.sign_in_checked(
        hook.value("AZURE_SUBSCRIPTION_ID") or "".join(a.subscription for a in accounts[:1]),
        hook.name,
    )
    app = find_app(hook)
    principals = app.principals if app else tuple(hook.value(LAST_PRINCIPAL).split())
    found: list[Leftover] = []
    for account in accounts:
        of_account = list(_of_account(hook, account, app, principals))
        found += of_account
        hook.say(f"{account.id}: {'nothing' if not of_account else ''}".rstrip())
        for leftover in of_account:
            hook.say(f"  {leftover.kind}: {leftover.id}")
        if not principals:
            hook.say(
                "  role assignments: not looked for, as the app is gone and nothing says what its "
                "identity was. 'az role assignment list --scope ACCOUNT_ID' shows them; those "
                "whose principal has no name are of identities that are gone."
            )
    flow_logs = [] if wanted else list(_trial_flow_logs(hook))
    for leftover in flow_logs:
        hook.say(f"NetworkWatcherRG:\n  {leftover.kind}: {leftover.id}")
    found += flow_logs
    if not found:
        hook.say("Nothing is left to remove.")
    elif not delete:
        hook.say(f"Nothing was deleted. To delete these {len(found)}, add --yes.")
    for leftover in found if delete else ():
        hook.az.rest("delete", leftover.id, version=leftover.version)
        hook.say(f"Deleted {leftover.id}")


def _accounts(hook: Hook, wanted: list[str]) -> list[LogAccount]:
    """The accounts meant: those wanted, or all that the azd environment knows of."""
    known = [*read_event_sources(hook.value("FLOWLOG_EVENT_SOURCES"))]
    for account in parse_accounts(hook.value(SETTING)):
        if not any(account.is_at(other.id) for other in known):
            known.append(account)
    # The trial's account is in the group that `azd down` deletes.
    own = hook.value("AZURE_RESOURCE_GROUP").casefold()
    known = [account for account in known if account.group.casefold() != own]
    if wanted:
        return [_one(known, text) for text in wanted]
    if not known and not hook.value("FLOWLOG_TRIAL"):
        raise Refused(
            f"no log account is known: {SETTING} is empty. Name them: --account RESOURCE_ID"
        )
    return known


def _one(known: list[LogAccount], text: str) -> LogAccount:
    for account in known:
        if account.name.casefold() == text.casefold() or account.is_at(text):
            return account
    try:
        return parse_accounts(f"x={text}")[0]
    except (Refused, IndexError) as error:
        names = ", ".join(account.name for account in known) or "none"
        raise Refused(
            f"--account: '{text}' is neither a resource id nor the name of an account. "
            f"Names: {names}."
        ) from error


def _of_account(
    hook: Hook, account: LogAccount, app: App | None, principals: tuple[str, ...]
) -> Iterator[Leftover]:
    environment = hook.value("AZURE_ENV_NAME")
    for topic in topics_of(hook.az, account):
        if is_ours(topic, environment):
            yield Leftover("system topic, with its event subscriptions", topic["id"], API)
        else:
            yield from _subscriptions(hook, account, topic, app)
    group = f"/subscriptions/{account.subscription}/resourceGroups/{account.group}"
    ours = {
        f"flowlog-{kind}-{account.account}".lower()
        for kind in ("poison-queue", "undelivered-events")
    }
    for alert in hook.az.list(
        f"{group}/providers/Microsoft.Insights/metricAlerts", version="2018-03-01"
    ):
        name = str(alert["id"]).rsplit("/", 1)[-1]
        if name.lower() in ours and is_ours(alert, environment):
            yield Leftover(
                "alert", f"{group}/providers/Microsoft.Insights/metricAlerts/{name}", "2018-03-01"
            )
    for principal in principals:
        for assignment in assignments_of(hook, account.id, principal):
            if account.is_at(assignment["scope"]):  # one of a whole group is not ours
                yield Leftover("role assignment", assignment["id"], "2022-04-01")


def _trial_flow_logs(hook: Hook) -> Iterator[Leftover]:
    """The trial's flow log, which belongs to the Network Watcher of the region."""
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_LOCATION", "AZURE_ENV_NAME")
    subscription, location, environment = map(hook.value, names)
    if not (subscription and location and environment):
        return
    watcher = (
        f"/subscriptions/{subscription}/resourceGroups/NetworkWatcherRG/providers"
        f"/Microsoft.Network/networkWatchers/NetworkWatcher_{location}"
    )
    if hook.az.find(watcher, version="2023-11-01") is None:
        return
    for one in hook.az.list(f"{watcher}/flowLogs", version="2023-11-01"):
        if is_ours(one, environment):
            yield Leftover("flow log of the trial", one["id"], "2023-11-01")


def _subscriptions(
    hook: Hook, account: LogAccount, topic: dict[str, Any], app: App | None
) -> Iterator[Leftover]:
    """Ours among the event subscriptions of a topic that others made."""
    name = app.name if app else hook.value(LAST_APP)
    if not name:
        return
    group = str(topic["id"]).split("/")[4]
    where = LogAccount(
        account.name, account.subscription, group, account.account, str(topic["name"])
    )
    to_app = {webhook.id for webhook in webhooks(hook, where, app)} if app else set()
    for one in hook.az.list(f"{where.topic_id}/eventSubscriptions", version=API):
        if one["id"] in to_app or str(one["name"]).lower().startswith(f"{name}-".lower()):
            yield Leftover("event subscription", one["id"], API)
