"""The consumers of `examples/`, under Microsoft's queue trigger, against stand-ins of targets.

One host runs all three. What each target asks of a caller is from its documentation: Elastic's
"Bulk API", Splunk's "Format events for HTTP Event Collector" and "About HTTP Event Collector
Indexer Acknowledgment", and Microsoft's "Logs Ingestion API".
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from azure.storage.queue import QueueServiceClient
from host.functions_host import Host, needs_functions_host, running_host, wait_until
from host.queues import waiting
from ingestion import RULE, Ingestion, running_ingestion
from support import ROOT
from test_sinks import entry_records, generated
from worker_process import PYTHONS

from flowlog_core.demo.azurite import Azurite
from flowlog_core.schemas import asim, ecs
from flowlog_core.sinks import EntryRecords, Form
from flowlog_core.sinks.message import messages_of

EXAMPLES = ROOT / "examples"
NAMES = ("log-analytics", "elasticsearch", "splunk")
MAX_DEQUEUE_COUNT = 5

# The host runs one app. `register_functions` takes no whole app, but this is all that it does.
_APP = """
import importlib.util
import azure.functions as func

app = func.FunctionApp()
for name in {names!r}:
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), f"{folder}/{{name}}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app._function_builders.extend(module.app._function_builders)
"""


class Targets:
    """Elasticsearch and Splunk on one port, which keep what they are sent."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.bulk_requests = 0
        self.events: list[dict[str, Any]] = []
        self.acknowledges = True
        self.is_down = False
        self._unacknowledged: set[int] = set()
        self._lock = threading.Lock()
        targets = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                url = urlsplit(self.path)
                status: int = 503
                answer: Any = {}
                if not targets.is_down:
                    with targets._lock:
                        status, answer = targets.answer(
                            url.path, parse_qs(url.query), dict(self.headers.items()), body
                        )
                said = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                """Says nothing of what it was asked."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def answer(
        self, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        if path == "/logs-flowlog-default/_bulk":
            return self._bulk(headers, body)
        if headers.get("Authorization") != "Splunk token" or not query.get("channel"):
            return 400, {"text": "Data channel is missing", "code": 10}
        if path == "/services/collector/event":
            text, number = body.decode(), len(self.events)
            while text:
                event, end = json.JSONDecoder().raw_decode(text)
                self.events.append(event)
                text = text[end:].lstrip()
            if not self.acknowledges:
                self._unacknowledged.add(number)
            return 200, {"text": "Success", "code": 0, "ackId": number}
        assert path == "/services/collector/ack"
        asked = json.loads(body)["acks"]
        return 200, {"acks": {str(each): each not in self._unacknowledged for each in asked}}

    def _bulk(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.bulk_requests += 1
        if headers.get("Authorization") != "ApiKey key":
            return 401, {}
        if headers.get("Content-Type") != "application/x-ndjson" or not body.endswith(b"\n"):
            return 400, {"error": "The bulk request must be terminated by a newline [\\n]"}
        lines = [json.loads(line) for line in body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            name = action["create"]["_id"]
            status = 409 if name in self.documents else 201
            self.documents.setdefault(name, document)
            items.append({"create": {"_id": name, "status": status}})
        return 200, {"errors": any(i["create"]["status"] > 201 for i in items), "items": items}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Run:
    """All three apps in one host, and their queues."""

    def __init__(
        self, host: Host, targets: Targets, ingestion: Ingestion, azurite: Azurite, queues: Any
    ) -> None:
        self.host, self.targets, self.ingestion = host, targets, ingestion
        self._text, self.queues = azurite.connection_string, queues

    def put(self, text: str, *names: str) -> None:
        with QueueServiceClient.from_connection_string(self._text) as service:
            for name in names or NAMES:
                service.get_queue_client(self.queues[name]).send_message(text)

    def put_entry(self, entry: EntryRecords, *names: str) -> None:
        for message in messages_of(entry)[0]:
            self.put(message.text, *names)

    def waiting(self, name: str) -> int:
        return waiting(self._text, self.queues[name])

    def poison(self, name: str) -> int:
        return waiting(self._text, f"{self.queues[name]}-poison")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, self.host)


@pytest.fixture(scope="module")
def run(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("examples")
    queues = {name: f"{name}-records" for name in NAMES}
    for name in NAMES:
        code = (EXAMPLES / name / "function_app.py").read_text()
        assert code.count('"flowlog-records"') == 1
        code = code.replace('"flowlog-records"', repr(queues[name]))
        (folder / f"{name}.py").write_text(code)
    (folder / "function_app.py").write_text(_APP.format(names=NAMES, folder=folder))
    settings = json.loads((EXAMPLES / NAMES[0] / "host.json").read_text())
    # So that a message comes back soon, and does not come back for an hour.
    settings["extensions"]["queues"] |= {
        "visibilityTimeout": "00:00:01",
        "maxDequeueCount": MAX_DEQUEUE_COUNT,
        "maxPollingInterval": "00:00:01",
    }
    (folder / "host.json").write_text(json.dumps(settings))
    shutil.copytree(ROOT / "flowlog_core", folder / "flowlog_core")
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        for name in queues.values():
            service.create_queue(name)
    targets = Targets()
    with running_ingestion(tmp_path_factory.mktemp("ingestion")) as ingestion:
        environment = {
            "AzureWebJobsStorage": azurite.connection_string,
            "FlowlogSink": azurite.connection_string,
            "LOGS_ENDPOINT": ingestion.endpoint,
            "LOGS_RULE": RULE,
            "ELASTIC_URL": targets.url,
            "ELASTIC_API_KEY": "key",
            "SPLUNK_URL": targets.url,
            "SPLUNK_TOKEN": "token",
            "SPLUNK_ACK_S": "1",
            **ingestion.environment,
        }
        with running_host(PYTHONS[-1], folder, environment) as host:
            yield Run(host, targets, ingestion, azurite, queues)
    targets.close()


pytestmark = needs_functions_host


def records_of(entry: EntryRecords) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in entry.lines]


def by_id(records: Any, name: str = "id") -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: str(record[name]))


def test_every_record_reaches_every_target_in_its_schema(run: Run) -> None:
    entry = entry_records(generated("vnet4", 300), offset=100)
    records = records_of(entry)
    run.put_entry(entry)
    run.wait_until(lambda: all(run.waiting(name) == 0 for name in NAMES))
    assert run.host.found("FAILED") == []
    # Each value as the page of its schema names it, from the record that was sent.
    rows = by_id(run.ingestion.rows, "EventOriginalUid")
    assert [
        (r["EventOriginalUid"], r["SrcIpAddr"], r["DstPortNumber"], r["DvcAction"]) for r in rows
    ] == [
        (r["id"], r["src_ip"], r["dst_port"], {"allow": "Allow", "deny": "Deny"}[r["action"]])
        for r in by_id(records)
    ]
    assert {r["EventSchema"] for r in rows} == {"NetworkSession"}
    assert [
        (name, each["source"]["ip"], each["destination"]["port"], each["event"]["action"])
        for name, each in sorted(run.targets.documents.items())
    ] == [(r["id"], r["src_ip"], r["dst_port"], r["action"]) for r in by_id(records)]
    assert by_id(each["event"] for each in run.targets.events) == by_id(records)
    assert {each["sourcetype"] for each in run.targets.events} == {"flowlog"}


def test_records_that_have_the_schema_of_the_target_are_passed_on(run: Run) -> None:
    entry = entry_records(generated("nsg2", 2), offset=150)
    records = records_of(entry)
    for name, schema, mapped in (
        ("log-analytics", "asim/0.2.7", asim),
        ("elasticsearch", "ecs/9.4.0", ecs),
    ):
        lines = [orjson.dumps(mapped(record)).decode() for record in records]
        run.put_entry(EntryRecords(entry.position, lines, form=Form(schema=schema)), name)
    run.wait_until(lambda: all(run.waiting(name) == 0 for name in NAMES))
    expected = [ecs(record) for record in records]
    stored = [each for name, each in run.targets.documents.items() if ".150." in name]
    assert stored == expected
    rows = [row for row in run.ingestion.rows if ".150." in row["EventOriginalUid"]]
    assert rows == [asim(record) for record in records]


def test_elasticsearch_holds_a_record_once_however_often_its_message_comes(run: Run) -> None:
    entry = entry_records(generated("nsg2", 5), offset=200)
    before = run.targets.bulk_requests
    for _ in range(3):
        run.put_entry(entry, "elasticsearch")
    run.wait_until(lambda: run.waiting("elasticsearch") == 0)
    assert run.targets.bulk_requests == before + 3
    assert [name for name in run.targets.documents if ".200." in name] == [
        record["id"] for record in records_of(entry)
    ]
    assert run.poison("elasticsearch") == 0


def test_a_message_of_somebody_else_goes_to_the_poison_queue_and_the_rest_goes_on(
    run: Run,
) -> None:
    run.put(b64encode(b'{"schema": "of somebody else"}').decode())
    entry = entry_records(generated("nsg2", 5), offset=300)
    wanted = {record["id"] for record in records_of(entry)}
    run.put_entry(entry)

    def arrived() -> bool:
        return (
            wanted <= run.targets.documents.keys()
            and wanted <= {each["event"]["id"] for each in run.targets.events}
            and wanted <= {row["EventOriginalUid"] for row in run.ingestion.rows}
        )

    run.wait_until(arrived)
    run.wait_until(lambda: all(run.poison(name) == 1 for name in NAMES))
    assert len(run.host.found("not a Flowlog message")) >= MAX_DEQUEUE_COUNT


def test_while_a_target_is_down_its_messages_come_again(run: Run) -> None:
    entry = entry_records(generated("nsg2", 5), offset=400)
    wanted = {record["id"] for record in records_of(entry)}
    run.targets.is_down, run.ingestion.status = True, 403  # which the SDK does not try again
    run.targets.acknowledges = False
    since = len(run.host.lines)
    run.put_entry(entry)
    for name in ("to_log_analytics", "to_elasticsearch", "to_splunk"):
        run.host.wait_for(rf"FAILED \d+ {name}", since=since)
    run.targets.is_down, run.ingestion.status = False, 204
    run.wait_until(lambda: wanted <= run.targets.documents.keys())
    run.wait_until(lambda: wanted <= {row["EventOriginalUid"] for row in run.ingestion.rows})
    # Splunk takes it now, and does not acknowledge it: it comes once more.
    run.host.wait_for("was sent and not acknowledged", since=since)
    run.targets.acknowledges = True
    run.wait_until(lambda: all(run.waiting(name) == 0 for name in NAMES))
    sent = [each["event"]["id"] for each in run.targets.events if each["event"]["id"] in wanted]
    assert set(sent) == wanted
    assert len(sent) >= 2 * len(wanted)
    assert all(run.poison(name) == 1 for name in NAMES)


def test_the_examples_are_alike_and_their_readme_is_short() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/function_app.py")} == set(NAMES)
    assert len({(EXAMPLES / name / "host.json").read_text() for name in NAMES}) == 1
    for name in NAMES:
        folder = EXAMPLES / name
        assert sorted(path.name for path in folder.iterdir() if path.suffix != ".pyc") == sorted(
            ["README.md", "function_app.py", "host.json", "requirements.txt"]
        )
        readme = (folder / "README.md").read_text()
        settings = re.findall(
            r"environ\W+(?:get\W+)?([A-Z_]+)", (folder / "function_app.py").read_text()
        )
        assert len(settings) == 3
        assert [each for each in settings if f"`{each}`" not in readme] == []
