"""Which deployment to check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowlog_core.errors import SettingsError

_NEEDED = {
    "AZURE_SUBSCRIPTION_ID": "--subscription",
    "AZURE_RESOURCE_GROUP": "--resource-group",
    "FLOWLOG_FUNCTION_APP": "--app",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A function app in Azure."""

    subscription_id: str
    resource_group: str
    app: str
    event_sources: Mapping[str, str]
    """Resource id of each log account by connection name, as the templates deployed them; empty if
    the deployment is named by arguments."""

    @property
    def group_id(self) -> str:
        """The resource id of its resource group."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"

    @property
    def app_id(self) -> str:
        """The resource id of the function app."""
        return f"{self.group_id}/providers/Microsoft.Web/sites/{self.app}"

    @classmethod
    def find(
        cls, arguments: Mapping[str, str | None], environment: Mapping[str, str]
    ) -> Deployment:
        """By arguments (names as in `_NEEDED`), environment variables, or the azd environment.

        Raises `SettingsError` that says what is missing.
        """
        values = {**environment, **{name: value for name, value in arguments.items() if value}}
        missing = [name for name in _NEEDED if not values.get(name)]
        if missing:
            options = " ".join(f"{_NEEDED[name]} …" for name in _NEEDED)
            raise SettingsError(
                [
                    f"Cannot find the deployment: {', '.join(missing)} not set. Run this in the "
                    f"folder of azure.yaml after `azd provision`, or name it: {options}"
                ]
            )
        by_argument = arguments.get("FLOWLOG_FUNCTION_APP")
        sources = "" if by_argument else environment.get("FLOWLOG_EVENT_SOURCES", "")
        return cls(
            values["AZURE_SUBSCRIPTION_ID"],
            values["AZURE_RESOURCE_GROUP"],
            values["FLOWLOG_FUNCTION_APP"],
            dict(_source(entry) for entry in sources.split(",") if entry.strip()),
        )


def _source(entry: str) -> tuple[str, str]:
    """NAME=ACCOUNT_ID=TOPIC_NAME, as infra/main.bicep puts it out."""
    name, _, rest = entry.strip().partition("=")
    return name, rest.partition("=")[0]


def azd_values(folder: Path) -> dict[str, str]:
    """The values of azd's default environment, from `.azure` in `folder`; empty if there is none.

    As azd stores them: `config.json` names the default environment, and `NAME/.env` holds its
    values, each quoted as godotenv does it.
    """
    try:
        config = json.loads((folder / ".azure" / "config.json").read_text("utf-8"))
        name = config["defaultEnvironment"]
        text = (folder / ".azure" / name / ".env").read_text("utf-8")
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    pairs = re.findall(
        r'^(?:export )?([A-Za-z_]\w*)=(?:"((?:[^"\\]|\\.)*)"|(.*))$', text, re.MULTILINE
    )
    return {key: re.sub(r"\\(.)", r"\1", quoted) or plain.strip() for key, quoted, plain in pairs}
