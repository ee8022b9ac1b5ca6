"""The resources that infra/ asks Azure for, evaluated by Microsoft's compiler (`bicep snapshot`).

The compiler evaluates modules, loops, conditions and names. What only Azure knows, such as a
principal's id, stays an expression; `Known` is its value.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep"))
BICEP = ROOT / "tools/bicep.py"
NOT_FOUND = 3
KEPT = ROOT / ".pytest_cache/bicep"

OURS = "00000000-0000-0000-0000-000000000000"
SUBSCRIPTION = f"/subscriptions/{OURS}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-dev"
FOREIGN = "/subscriptions/22222222-2222-2222-2222-222222222222"
STORAGE = "providers/Microsoft.Storage/storageAccounts"
EAST = f"{SUBSCRIPTION}/resourceGroups/logs/{STORAGE}/logse"
WEST = f"{FOREIGN}/resourceGroups/more/{STORAGE}/logsw"
ONE = {"logAccounts": f"eastus={EAST}"}
TWO = {"logAccounts": f"eastus={EAST},west_europe={WEST}=their-topic"}
QUEUED = {**TWO, "trigger": "EventQueue"}
TIMED = {**TWO, "trigger": "Timer"}
PRIVATE = {**TWO, "trial": True, "privateNetwork": True}
INGESTION = {
    "logsIngestion": "https://dcr.westeurope-1.ingest.monitor.azure.com",
    "immutableId": "dcr-0123456789abcdef0123456789abcdef",
}
"""What Azure knows of a data collection rule once it has created it."""


class Known(str):
    """A value that Azure knows when it deploys; the text says how it is reached."""

    facts: dict[str, Any]

    def __new__(cls, text: str, facts: dict[str, Any]) -> Known:
        made = super().__new__(cls, text)
        made.facts = facts
        return made

    def __getattr__(self, name: str) -> Any:
        if name in self.facts:
            return self.facts[name]
        return Known(f"{self}.{name}", self.facts)


@dataclass(frozen=True)
class Resource:
    """One that would be created."""

    type: str
    id: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """The last part of it: a child's own name."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True)
class Snapshot:
    """Everything that one template would create, its modules included."""

    resources: list[Resource]
    outputs: dict[str, Any]

    def of(self, type_: str) -> list[Resource]:
        return [one for one in self.resources if one.type.lower() == type_.lower()]


@cache
def version() -> str:
    """Of the compiler."""
    return bicep("--version").stdout


def bicep(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the compiler. Skips the test, with the reason, where there is none."""
    command = [sys.executable, str(BICEP), *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode == NOT_FOUND:
        pytest.skip(ran.stderr.strip())
    return ran


@cache
def compiled(name: str) -> Any:
    """The JSON template of one file of infra/."""
    return json.loads(bicep("build", INFRA / name, "--stdout").stdout)


@cache
def _predicted(template: str, parameters: str, group: str) -> str:
    """JSON of what `bicep snapshot` says. Raises `ValueError` with the compiler's complaint.

    A snapshot takes seconds, so it is kept, by all that goes into it, for the other processes.
    """
    inputs = [version(), template, parameters, group, _sources()]
    kept = KEPT / f"{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()}.json"
    if not kept.exists():
        made = _compute(template, parameters, group)
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=KEPT, delete=False, encoding="utf-8") as file:
            file.write(made)
        Path(file.name).replace(kept)
    return kept.read_text(encoding="utf-8")


@cache
def _sources() -> list[str]:
    return [p.read_text(encoding="utf-8") for p in [*FILES, *sorted(INFRA.glob("*.json"))]]


def _compute(template: str, parameters: str, group: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "made.bicepparam")
        lines = [f"using '{os.path.relpath(INFRA / template, folder)}'"]
        lines += [f"param {n} = {_literal(v)}" for n, v in json.loads(parameters).items()]
        file.write_text("\n".join(lines), encoding="utf-8")
        where = ["--subscription-id", OURS, "--tenant-id", OURS, "--location", "westeurope"]
        where += ["--deployment-name", "flowlog", *(["--resource-group", group] if group else [])]
        ran = bicep("snapshot", file, *where)
        if ran.returncode:
            raise ValueError(ran.stderr + ran.stdout)
        return Path(folder, "made.snapshot.json").read_text(encoding="utf-8")


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def predict(template: str, parameters: dict[str, Any], group: str = "", **facts: Any) -> Snapshot:
    """`facts`: what Azure knows, by the last part of how it is reached."""
    found = json.loads(_predicted(template, json.dumps(parameters, sort_keys=True), group))
    resources = [_evaluated(one, facts) for one in found["predictedResources"]]
    return Snapshot(
        [Resource(one["type"], one["id"], one) for one in resources],
        _evaluated(found.get("outputs", {}), facts),
    )


def main(**parameters: Any) -> Snapshot:
    given = {"environmentName": "dev", "location": "westeurope", **parameters}
    return predict("main.bicep", given, **INGESTION)


def events(made: Snapshot, **facts: Any) -> Snapshot:
    """What the hook deploys, given what main.bicep puts out."""
    given = {
        "functionAppName": made.outputs["FLOWLOG_FUNCTION_APP"],
        "storageName": made.outputs["FLOWLOG_STORAGE_ACCOUNT"],
        "eventSources": made.outputs["FLOWLOG_EVENT_SOURCES"],
        "trigger": settings_of(made)["FLOWLOG_TRIGGER_SOURCE"],
    }
    return predict("events.bicep", given, "rg-dev", **facts)


def _evaluated(value: Any, facts: dict[str, Any]) -> Any:
    """With what is left of expressions worked out: Python can read the syntax of ARM's."""
    if isinstance(value, dict):
        return {k: _evaluated(v, facts) for k, v in value.items()}
    if isinstance(value, list):
        return [_evaluated(v, facts) for v in value]
    if not (isinstance(value, str) and value.startswith("[") and value.endswith("]")):
        return value
    if "lambda(" in value:
        return value  # the ids of the links of DNS zones; their names can be read
    names: dict[str, Any] = {
        "concat": lambda *lists: [item for one in lists for item in one],
        "createArray": lambda *values: list(values),
        "false": lambda: False,
        "null": lambda: None,
        "true": lambda: True,
        "coalesce": lambda *values: next(v for v in values if v is not None),
        "environment": lambda: SimpleNamespace(
            suffixes=SimpleNamespace(storage="core.windows.net")
        ),
        "extensionResourceId": lambda scope, type_, name: f"{scope}/providers/{type_}/{name}",
        "format": lambda text, *values: text.format(*values),
        "guid": lambda *parts: "guid:" + "|".join(map(str, parts)).replace("/", ":"),
        "iif": lambda condition, yes, no: yes if condition else no,
        "listKeys": lambda id_, _version: Known(f"key of {id_}", {}),
        "reference": lambda id_, *_: Known(id_.rpartition("/")[2], facts),
        "resourceId": lambda sub, group, type_, name: (
            f"/subscriptions/{sub}/resourceGroups/{group}/providers/{type_}/{name}"
        ),
        "tryGet": getattr,
    }
    # Only what the compiler made of our own templates is evaluated, with these names and no others.
    text = value[1:-1].replace("if(", "iif(")
    return eval(text, {"__builtins__": {}}, names)


def app_of(made: Snapshot) -> dict[str, Any]:
    (app,) = made.of("Microsoft.Web/sites")
    properties: dict[str, Any] = app.body["properties"]
    return properties


def settings_of(made: Snapshot) -> dict[str, str]:
    listed = app_of(made)["siteConfig"]["appSettings"]
    named = {one["name"]: str(one["value"]) for one in listed}
    assert len(named) == len(listed), "a setting is there twice"
    return named


def queues_of(made: Snapshot) -> tuple[str, ...]:
    """The queues for records that are created, in order."""
    queues = made.of("Microsoft.Storage/storageAccounts/queueServices/queues")
    return tuple(one.name for one in queues)


def state_of(made: Snapshot) -> str:
    return str(made.outputs["FLOWLOG_STORAGE_ACCOUNT"])
