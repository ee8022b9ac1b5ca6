"""Stand-ins for `az` and `azd`: programs that record their calls and answer.

Answers of `az rest` have the shapes of the examples in Azure/azure-rest-api-specs, which are named
at each. A call without a prepared answer is an error, as is a resource that no test created.
"""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from azure_programs import answer

from infra.hooks import programs

ROOT = Path(__file__).resolve().parents[1]
HOOKS = ROOT / "infra/hooks"

_PROGRAM = """#!{python} -S
import pathlib, sys
sys.path.insert(0, {tests!r})
from azure_programs import answer
me = pathlib.Path(__file__)
code, out, err = answer(me.parent, me.name, sys.argv[1:])
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

Answer = Mapping[str, Any] | str | tuple[int, str]
"""An object as JSON, a text as it is, or an exit code with what is on standard error."""


class Azure:
    """The stand-ins in a folder, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("az", "azd"):
            (folder / name).write_text(
                _PROGRAM.format(python=sys.executable, tests=str(ROOT / "tests"))
            )
            (folder / name).chmod(0o755)
        (folder / "calls").write_text("")
        (folder / "answers").write_text("{}")
        self.answers("account show", "")

    def answers(self, call: str, *answers: Answer) -> None:
        """What `call` gets: one after another, and the last one from then on."""
        texts = [
            [0, answer, ""]
            if isinstance(answer, str)
            else [answer[0], "", answer[1]]
            if isinstance(answer, tuple)
            else [0, json.dumps(answer), ""]
            for answer in answers
        ]
        known = json.loads((self.folder / "answers").read_text())
        (self.folder / "answers").write_text(json.dumps({**known, call: texts}))

    @property
    def calls(self) -> list[list[str]]:
        """All calls so far, each with the program's name first."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def changes(self) -> list[str]:
        """The calls that change something, in short."""
        found = []
        for program, *words in self.calls:
            if words[0] == "rest" and words[2] == "delete":
                found.append(f"delete {words[4]}")
            elif words[:2] in (["provider", "register"], ["deployment", "group"]):
                found.append(" ".join(words))
            elif program == "azd" and words[:2] == ["env", "set"]:
                found.append(f"set {words[2]}={words[3]}")
        return found

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The environment of a hook with these values of the azd environment."""
        return {"PATH": f"{self.folder}:{os.defpath}", **settings}

    @contextmanager
    def answers_here(self) -> Iterator[None]:
        """The stand-ins run in this process: the start of one takes longer than a test."""

        def run(
            command: Sequence[str],
            environment: Mapping[str, str],  # noqa: ARG001 - as `programs.run`
            folder: Path | None = None,  # noqa: ARG001 - as `programs.run`
        ) -> subprocess.CompletedProcess[str]:
            program, *words = command
            answered = answer(Path(program).parent, Path(program).name, words)
            return subprocess.CompletedProcess(command, *answered)

        with patch.object(programs, "run", run):
            yield

    def run(
        self, script: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in this process, as `run_alone` does in one of its own."""
        out, err = io.StringIO(), io.StringIO()
        with (
            self.answers_here(),
            patch.dict(os.environ, self.environment(settings), clear=True),
            patch("sys.argv", [str(script), *arguments]),
            patch("sys.path", ["", *sys.path]),
            chdir(script.parent),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            runpy.run_path(str(script), run_name="__main__")
        code = left.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def run_alone(
        self, script: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as azd does: by its whole path, in its folder, the values as variables.

        `Execute` in cli/azd/pkg/tools/language/python_executor.go of Azure/azure-dev (ae35809f).
        """
        return subprocess.run(
            [sys.executable, script, *arguments],
            env=self.environment(settings),
            cwd=script.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def listed(*items: Mapping[str, Any]) -> dict[str, Any]:
    """A collection of one page."""
    return {"value": list(items)}


def provider(state: str) -> dict[str, Any]:
    """specification/resources/…/Microsoft.Resources/stable/2021-04-01/examples/GetProvider.json."""
    return {"namespace": "Microsoft.TestRP1", "registrationState": state, "resourceTypes": []}


def topic(
    resource_id: str, source: str, identity: str | None = "SystemAssigned", **tags: str
) -> dict[str, Any]:
    """specification/eventgrid/…/2022-06-15/examples/SystemTopics_ListBySubscription.json.

    Its source is in lower case, as there; identity: `IdentityInfo` of EventGrid.json beside it.
    """
    made: dict[str, Any] = {
        "properties": {"provisioningState": "Succeeded", "source": source.lower()},
        "location": "centraluseuap",
        "tags": {name.replace("_", "-"): value for name, value in tags.items()} or None,
        "id": resource_id,
        "name": resource_id.rsplit("/", 1)[-1],
        "type": "Microsoft.EventGrid/systemTopics",
    }
    if identity is not None:
        made["identity"] = {"type": identity, "principalId": "bc9cd6b0", "tenantId": "72f988bf"}
    return made


def webhook(topic_id: str, name: str, base: str) -> dict[str, Any]:
    """…/2022-06-15/examples/EventSubscriptions_GetForCustomTopic_WebhookDestination.json."""
    return {
        "properties": {
            "destination": {"properties": {"endpointBaseUrl": base}, "endpointType": "WebHook"},
            "provisioningState": "Succeeded",
            "topic": topic_id,
        },
        "id": f"{topic_id}/eventSubscriptions/{name}",
        "name": name,
        "type": "Microsoft.EventGrid/systemTopics/eventSubscriptions",
    }


def queue_subscription(
    topic_id: str, name: str, account_id: str = "", queue: str = "que"
) -> dict[str, Any]:
    """…/2022-06-15/examples/SystemTopicEventSubscriptions_Get.json: an end that is no webhook.

    With `account_id` it is delivered by the topic's identity: `DeliveryWithResourceIdentity` in
    EventGrid.json beside it.
    """
    destination = {
        "properties": {"resourceId": account_id, "queueName": queue},
        "endpointType": "StorageQueue",
    }
    return {
        "properties": {
            "deliveryWithResourceIdentity": {
                "identity": {"type": "SystemAssigned"},
                "destination": destination,
            }
        }
        if account_id
        else {"destination": destination},
        "id": f"{topic_id}/eventSubscriptions/{name}",
        "name": name,
    }


def assignment(
    scope: str, role: str, principal: str, created: str, name: str = "b0f43c54"
) -> dict[str, Any]:
    """specification/authorization/…/2022-04-01/examples/RoleAssignments_ListForScope.json.

    With `createdOn` of `RoleAssignmentProperties` in authorization-RoleAssignmentsCalls.json.
    """
    return {
        "properties": {
            "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "principalId": principal,
            "principalType": "ServicePrincipal",
            "scope": scope,
            "createdOn": created,
        },
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "type": "Microsoft.Authorization/roleAssignments",
        "name": name,
    }


def site(name: str, principal: str) -> dict[str, Any]:
    """specification/web/…/2023-12-01/examples/GetWebApp.json, with a user-assigned identity.

    That is `ManagedServiceIdentity` in CommonDefinitions.json beside it.
    """
    return {
        "name": name,
        "properties": {"state": "Running", "defaultHostName": f"{name}.azurewebsites.net"},
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {
                "/x/id-flowlog": {"principalId": principal, "clientId": "5b4b650e"}
            },
        },
    }


def watcher(name: str, group_id: str, location: str) -> dict[str, Any]:
    """specification/network/…/2023-11-01/examples/NetworkWatcherListAll.json."""
    return {
        "name": name,
        "id": f"{group_id}/providers/Microsoft.Network/networkWatchers/{name}",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    }


def queue(account_id: str, name: str, messages: int) -> dict[str, Any]:
    """specification/storage/…/2023-05-01/examples/QueueOperationGet.json.

    With `approximateMessageCount` of `QueueProperties` in queue.json beside it.
    """
    return {
        "id": f"{account_id}/queueServices/default/queues/{name}",
        "name": name,
        "type": "Microsoft.Storage/storageAccounts/queueServices/queues",
        "properties": {"metadata": {}, "approximateMessageCount": messages},
    }


def alert(group_id: str, name: str, **tags: str) -> dict[str, Any]:
    """specification/monitor/…/2018-03-01/examples/listMetricAlert.json, which has no `name`."""
    return {
        "id": f"{group_id}/providers/microsoft.insights/metricalerts/{name}",
        "type": "Microsoft.Insights/metricAlerts",
        "tags": {tag.replace("_", "-"): value for tag, value in tags.items()},
    }
