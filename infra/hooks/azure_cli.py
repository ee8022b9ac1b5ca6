"""The Azure CLI, as the hooks call it: `az rest` for what Azure Resource Manager holds.

Its answers are then those of the REST API, whose shapes are published in
https://github.com/Azure/azure-rest-api-specs.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from infra.hooks import programs
from infra.hooks.accounts import Refused


class AzFailed(Exception):
    """`az` ended with an error; the text is what it said."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What it said, to be shown line by line."""
        return tuple(str(self).splitlines())

    @property
    def not_found(self) -> bool:
        """Whether what was asked for does not exist."""
        # `az rest` writes Not Found({"error":…}): send_raw_request in azure/cli/core/util.py.
        return re.search(r"Not Found\(|\((\w*NotFound)\)", str(self)) is not None


class Az:
    """Runs `az` with the environment of the hook."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        # By its whole name, as on Windows it is az.cmd.
        self._program = shutil.which("az", path=environment.get("PATH", ""))

    def sign_in_checked(self, subscription: str, hook: str) -> None:
        """Raise `Refused` unless `az` is there and may use `subscription`; empty: any."""
        if self._program is None:
            raise Refused(
                "the Azure CLI, 'az', was not found. Install it "
                f"(https://aka.ms/installazurecli), then run 'azd hooks run {hook}'."
            )
        try:
            which = ("--subscription", subscription) if subscription else ()
            self.run("account", "show", *which, "--output", "none")
        except AzFailed as failed:
            raise Refused(
                *failed.lines,
                f"the Azure CLI cannot use subscription {subscription or 'any'}. Run 'az login', "
                f"then 'azd hooks run {hook}'.",
            ) from failed

    def run(self, *arguments: str) -> str:
        """What `az` prints. Raises `AzFailed`."""
        if self._program is None:
            raise AzFailed("the Azure CLI, 'az', was not found")
        ran = programs.run([self._program, *arguments], self._environment)
        if ran.returncode:
            raise AzFailed(ran.stderr.strip() or f"az ended with {ran.returncode}")
        return ran.stdout

    def rest(self, method: str, path: str, *, version: str = "", **query: str) -> dict[str, Any]:
        """Call Azure Resource Manager; `version` is the API's. Raises `AzFailed`.

        The query is passed beside the path: on Windows a `&` would end the command.
        """
        if version:
            query = {"api-version": version, **query}
        text = self.run(
            *("rest", "--method", method, "--uri", path, "--uri-parameters"),
            *(f"{name}={value}" for name, value in query.items()),
            *("--output", "json"),
        )
        answer = json.loads(text) if text.strip() else {}
        return answer if isinstance(answer, dict) else {}

    def find(self, path: str, *, version: str) -> dict[str, Any] | None:
        """One resource, or None if it does not exist. Raises `AzFailed`."""
        try:
            return self.rest("get", path, version=version)
        except AzFailed as failed:
            if failed.not_found:
                return None
            raise

    def list(self, path: str, *, version: str, **query: str) -> list[dict[str, Any]]:
        """All resources of a collection, of all its pages. Raises `AzFailed`."""
        items: list[dict[str, Any]] = []
        page = self.rest("get", path, version=version, **query)
        while True:
            items += page.get("value") or []
            link = page.get("nextLink")
            if not link:
                return items
            path, _, text = str(link).partition("?")
            page = self.rest("get", path, **dict(parse_qsl(text)))
