"""What the hooks share: their environment, their output, and their exit code.

azd runs a hook with the Python of a virtual environment that it makes beside requirements.txt, in
the folder of the script, with the values of the azd environment among the variables
(cli/azd/pkg/tools/language/python_executor.go and cli/azd/pkg/ext/hooks_runner.go of
Azure/azure-dev, ae35809f).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.hooks import programs
from infra.hooks.accounts import Refused
from infra.hooks.azure_cli import Az, AzFailed

INFRA = Path(__file__).resolve().parents[1]
NAMES: dict[str, Any] = json.loads((INFRA / "names.json").read_text())
"""What the app, the templates and the hooks call alike: `eventQueue`, and what is `watched`."""


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - azd shows it, and at once


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Hook:
    """One run of a hook, named as in azure.yaml."""

    name: str
    environment: Mapping[str, str]
    az: Az
    say: Callable[[str], None] = _print
    now: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], None] = time.sleep

    def value(self, name: str) -> str:
        """A value of the azd environment; empty if it is not set."""
        return self.environment.get(name, "").strip()

    def switch(self, name: str) -> bool:
        """A value that is `true` or `false`, and false if it is not set. Raises `Refused`."""
        text = self.value(name)
        if text not in ("", "true", "false"):
            raise Refused(f"{name}: '{text}' is neither true nor false. Write one of them.")
        return text == "true"

    @property
    def state_id(self) -> str:
        """The resource id of the app's own storage account."""
        subscription, group, account = map(
            self.value, ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "FLOWLOG_STORAGE_ACCOUNT")
        )
        return (
            f"/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.Storage/storageAccounts/{account}"
        )

    @property
    def state_queues_id(self) -> str:
        """What the resource ids of that account's queues begin with."""
        return f"{self.state_id}/queueServices/default/queues"

    def needed(self, *names: str) -> tuple[str, ...]:
        """Values that must be set. Raises `Refused` naming all that are not."""
        missing = [name for name in names if not self.value(name)]
        if missing:
            raise Refused(f"not set: {', '.join(missing)}. 'azd provision' sets them.")
        return tuple(self.value(name) for name in names)

    def remember(self, name: str, value: str) -> None:
        """Set a value of the azd environment, unless it is set so. Without azd, print it."""
        if self.value(name) == value:
            return
        set_it = ("env", "set", name, value, "--environment", self.value("AZURE_ENV_NAME"))
        ran = run_azd(self.environment, *set_it) if self.value("AZURE_ENV_NAME") else None
        if ran is None:
            self.say(f"{name}={value}")
        elif ran.returncode:
            raise Refused(*ran.stderr.splitlines(), f"azd could not store {name}; see above.")


def run_azd(
    environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str] | None:
    """Run `azd`, which asks nothing; None where it is not installed."""
    azd = shutil.which("azd", path=environment.get("PATH", ""))
    if azd is None:
        return None
    return programs.run([azd, *arguments, "--no-prompt"], environment, INFRA)


def run(name: str, action: Callable[[Hook], None]) -> int:
    """Run a hook, and print what it refuses on standard error. Returns the exit code."""
    hook = Hook(name, os.environ, Az(os.environ))
    return exit_code_of(lambda: action(hook), f"Run 'azd hooks run {name}' to continue.")


def exit_code_of(action: Callable[[], None], again: str) -> int:
    """0, or 1 after a fault, which is printed on standard error; `again` says how to go on."""
    try:
        action()
    except Refused as refused:
        lines = refused.lines
    except AzFailed as failed:
        lines = (*failed.lines, f"the Azure CLI failed; see above. {again}")
    except KeyboardInterrupt:
        lines = (f"stopped. {again}",)
    else:
        return 0
    for line in lines:
        print(f"Flowlog: {line}", file=sys.stderr)  # noqa: T201 - azd shows it
    return 1
