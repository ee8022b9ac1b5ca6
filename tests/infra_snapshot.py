"""The resources that infra/ asks Azure for, evaluated by Microsoft's compiler (`bicep snapshot`).

The compiler evaluates modules, loops, conditions and names. What only Azure knows, such as a
principal's id, stays an expression; `Known` is its value.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.bicep import MISSING, environment, find

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep"))
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


class Compiler:
    """The compiler as a server, `bicep jsonrpc`: warm, it answers in a fifth of the time."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program, "jsonrpc", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        atexit.register(self._end)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the compiler's. Raises `ValueError` with its complaint."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"jsonrpc": "2.0", "id": 1, "method": f"bicep/{method}", "params": parameters}
        body = json.dumps(asked).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()
        headers = dict(
            line.decode().strip().lower().split(": ")
            for line in iter(self._process.stdout.readline, b"\r\n")
        )
        answer = json.loads(self._process.stdout.read(int(headers["content-length"])))
        if "error" in answer:
            raise ValueError(answer["error"]["message"])
        result: dict[str, Any] = answer["result"]
        return result

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


@cache
def compiler() -> Compiler:
    """Started once in each process. Skips the test, with the reason, where there is none."""
    found = find()
    if found is None:
        pytest.skip(MISSING)
    return Compiler(found)


@cache
def built(name: str) -> dict[str, Any]:
    """One file of infra/: its JSON template in `contents`, and `diagnostics`."""
    return compiler().ask("compile", path=str(INFRA / name))


def compiled(name: str) -> Any:
    """The JSON template of one file of infra/."""
    return json.loads(built(name)["contents"])


@cache
def _predicted(template: str, parameters: str, group: str) -> str:
    """JSON of what `bicep snapshot` says. Raises `ValueError` with the compiler's complaint.

    A snapshot takes a second, so it is kept, by all that goes into it, for the other processes.
    """
    inputs = [_version(), template, parameters, group, _sources()]
    kept = KEPT / f"{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()}.json"
    if not kept.exists():
        made = _compute(template, parameters, group)
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=KEPT, delete=False, encoding="utf-8") as file:
            file.write(made)
        Path(file.name).replace(kept)
    return kept.read_text(encoding="utf-8")


@cache
def _version() -> str:
    return str(compiler().ask("version")["version"])


@cache
def _sources() -> list[str]:
    return [p.read_text(encoding="utf-8") for p in [*FILES, *sorted(INFRA.glob("*.json"))]]


def _compute(template: str, parameters: str, group: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "made.bicepparam")
        lines = [f"using '{os.path.relpath(INFRA / template, folder)}'"]
        lines += [f"param {n} = {_literal(v)}" for n, v in json.loads(parameters).items()]
        file.write_text("\n".join(lines), encoding="utf-8")
        where = {"subscriptionId": OURS, "tenantId": OURS, "location": "westeurope"}
        where |= {"deploymentName": "flowlog", **({"resourceGroup": group} if group else {})}
        try:
            made = compiler().ask("getSnapshot", path=str(file), metadata=where, externalInputs=[])
        except ValueError as failed:
            said = compiler().ask("compileParams", path=str(file), parameterOverrides={})
            raise ValueError(json.dumps(said["diagnostics"])) from failed
        return str(made["snapshot"])


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
