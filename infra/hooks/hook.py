"""What the hooks share: their environment, their output, and their exit code.

azd runs a hook with the Python of a virtual environment that it makes beside requirements.txt, in
the folder of the script, with the values of the azd environment among the variables
(cli/azd/pkg/tools/language/python_executor.go and cli/azd/pkg/ext/hooks_runner.go of
Azure/azure-dev, ae35809f).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from infra.hooks import programs
from infra.hooks.accounts import Refused
from infra.hooks.azure_cli import Az, AzFailed

INFRA = Path(__file__).resolve().parents[1]


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
    azd: str | None = field(init=False)

    def __post_init__(self) -> None:
        azd = shutil.which("azd", path=self.environment.get("PATH", ""))
        object.__setattr__(self, "azd", azd)

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
        if self.azd is None or not self.value("AZURE_ENV_NAME"):
            self.say(f"{name}={value}")
            return
        environment = self.value("AZURE_ENV_NAME")
        ran = programs.run(
            [self.azd, "env", "set", name, value, "--environment", environment, "--no-prompt"],
            self.environment,
            INFRA,
        )
        if ran.returncode:
            raise Refused(*ran.stderr.splitlines(), f"azd could not store {name}; see above.")


def run(name: str, action: Callable[[Hook], None]) -> int:
    """Run a hook, and print what it refuses on standard error. Returns the exit code."""
    hook = Hook(name, os.environ, Az(os.environ))
    try:
        action(hook)
    except Refused as refused:
        lines = refused.lines
    except AzFailed as failed:
        lines = (*str(failed).splitlines(), f"the Azure CLI failed; see above. {_again(name)}")
    except KeyboardInterrupt:
        lines = (f"stopped. {_again(name)}",)
    else:
        return 0
    for line in lines:
        print(f"Flowlog: {line}", file=sys.stderr)  # noqa: T201 - azd shows it
    return 1


def _again(name: str) -> str:
    return f"Run 'azd hooks run {name}' to continue." if name.startswith("p") else "Run it again."
