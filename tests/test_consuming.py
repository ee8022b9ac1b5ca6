"""docs/consuming.md: its examples read what is sent. tests/test_host_consumer.py has Python's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import orjson
import pytest
from consuming import example
from jsonschema import Draft202012Validator
from support import ROOT

from flowlog_core.blob import Position
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import Encoding, messages_of
from flowlog_core.testing.memory import some_blob

RECORDS = [{"id": "x.0", "rule": "größer"}, {"id": "x.1", "rule": "b"}]


def message_text(encoding: Encoding) -> str:
    """As the queue holds it."""
    lines = [orjson.dumps(record).decode() for record in RECORDS]
    ((_, text),), _ = messages_of(EntryRecords(Position(some_blob()), lines), encoding)
    return text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("encoding", ["json", "gzip"])
def test_the_javascript_function_reads_both_forms(tmp_path: Path, encoding: Encoding) -> None:
    package = tmp_path / "node_modules/@azure/functions"
    package.mkdir(parents=True)
    # In place of Microsoft's package: calls the function with what its worker would pass on.
    package.joinpath("index.js").write_text(
        "exports.app = { storageQueue: (_, { handler }) =>"
        " handler(JSON.parse(process.env.PASSED_ON)) };"
    )
    code = example("javascript", of="storageQueue")
    tmp_path.joinpath("take.js").write_text(
        "function store(records) { process.stdout.write(JSON.stringify(records)); }\n" + code
    )
    text = b64decode(message_text(encoding)).decode()
    passed_on = text if encoding == "json" else json.dumps(text)  # JSON arrives parsed
    ran = subprocess.run(
        ["node", "take.js"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PASSED_ON": passed_on},
        check=True,
        capture_output=True,
    )
    assert json.loads(ran.stdout) == RECORDS


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_the_shell_reads_gzip() -> None:
    # The Azure CLI's part is played by a function that prints the message.
    script = 'set -o pipefail; az() { printf "%s\\n" "$TEXT"; }\n' + example("sh", of="gunzip")
    ran = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "TEXT": message_text("gzip")},
        check=True,
        capture_output=True,
    )
    assert [json.loads(line) for line in ran.stdout.splitlines()] == RECORDS


def test_the_example_of_a_message_has_its_form() -> None:
    schema: dict[str, Any] = json.loads((ROOT / "docs/schema/message.schema.json").read_bytes())
    del schema["then"]["else"]  # the page leaves out most of a record
    Draft202012Validator(schema).validate(json.loads(example("json", of="flowlog/1")))
