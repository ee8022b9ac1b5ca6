"""The command line: output, error messages and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from command_line import flowlog
from support import in_order_of_position, tuple_of

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.cli import _COMMANDS, main
from flowlog_core.cli.output import writer_for
from flowlog_core.cli.terminal import printable
from flowlog_core.clock import SystemClock
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.access import trial_message
from flowlog_core.parsing.record import FIELDS
from flowlog_core.schemas import SCHEMAS
from flowlog_core.service import Service
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

ACCOUNT, VNET = "devstoreaccount1", "FLOWLOG_VNET_CONTAINER"
HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
COMMANDS = list(_COMMANDS)


ONCE = ("--once", "--since", "2026-01-01")
"""The logs of these tests are older than what `--once` looks back by itself."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: flowlog {command}")
    assert "\nExamples:\n  flowlog " in shown


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["parse"], ["parse", ""], ["run", "--interval", "0s"]]
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


def three_formats() -> tuple[bytes, list[str]]:
    generator = FlowLogGenerator(1)
    entries = [
        generator.entry("nsg1", Interface.nsg(), HOUR, 4),
        generator.entry("nsg2", Interface.nsg(), HOUR, 4),
        generator.entry("vnet4", Interface.vnet(), HOUR, 4),
    ]
    return document(entries), [text for entry in entries for text in entry.tuples]


def test_parse_prints_records_and_nothing_else(tmp_path: Path) -> None:
    data, written = three_formats()
    (tmp_path / "one.json").write_bytes(data)
    code, out, err = flowlog("parse", str(tmp_path / "one.json"), "-", stdin=data)
    records = [json.loads(line) for line in out.splitlines()]
    assert [tuple_of(record) for record in records] == written * 2
    assert [tuple(record) for record in records] == [FIELDS] * 24
    assert (code, err) == (0, "")


def test_parse_names_what_it_could_not_read_and_prints_the_rest(tmp_path: Path) -> None:
    data, written = three_formats()
    broken = data.replace(written[0].encode(), b"1,2", 1)[:-2] + b',{"time":tru},nul'
    (tmp_path / "broken.json").write_bytes(broken)
    code, out, err = flowlog("parse", "missing.json", "broken.json", folder=tmp_path)
    assert [tuple_of(json.loads(line)) for line in out.splitlines()] == written[1:]
    complaints = err.splitlines()
    assert len(complaints) == 4
    assert complaints[0] == "missing.json: cannot be read: No such file or directory"
    assert complaints[1].startswith("broken.json: byte 12, tuple 0: ")
    assert complaints[1].endswith(": 1,2")
    assert complaints[2].startswith(f"broken.json: byte {len(broken) - 16}: not valid JSON")
    assert complaints[3].startswith(f"broken.json: byte {len(broken) - 3}: not an entry")
    assert code == 1


def test_parse_does_not_need_any_azure_package(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(three_formats()[0])
    script = (
        "import sys; from flowlog_core.cli import main; main(sys.argv[1:]); "
        "sys.exit(any(name.partition('.')[0] == 'azure' for name in sys.modules))"
    )
    arguments = [sys.executable, "-c", script, "parse", str(tmp_path / "one.json")]
    done = subprocess.run(arguments, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


def test_parse_stops_quietly_when_nobody_reads_on(tmp_path: Path) -> None:
    data, _ = three_formats()
    (tmp_path / "one.json").write_bytes(data)
    files = [str(tmp_path / "one.json")] * 200
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "parse", *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 0


def test_csv_has_a_header_and_no_cell_that_a_spreadsheet_would_run() -> None:
    out = io.StringIO()
    writer = writer_for("csv", out)
    record = dict.fromkeys(FIELDS) | {"rule": "=1+1", "src_ip": "10.0.0.1", "acl_id": 'a,"b"'}
    writer.write([json.dumps(record)])
    header, row = csv.reader(io.StringIO(out.getvalue()))
    assert tuple(header) == FIELDS
    assert dict(zip(header, row, strict=True)) == dict.fromkeys(FIELDS, "") | {
        "rule": "'=1+1",
        "src_ip": "10.0.0.1",
        "acl_id": 'a,"b"',
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"])
@pytest.mark.parametrize("before", ["", " ", "\n", "\u00a0"])
def test_no_cell_of_a_csv_begins_as_a_formula_does(start: str, before: str) -> None:
    """OWASP, "CSV Injection": also behind a line feed, and in full width."""
    out = io.StringIO()
    record = dict.fromkeys(FIELDS) | {"rule": f"{before}{start}cmd|' /C calc'!A0"}
    writer_for("csv", out).write([json.dumps(record)])
    _, row = csv.reader(io.StringIO(out.getvalue()))
    assert row[FIELDS.index("rule")].startswith("'")


# C0, DEL, C1 (CSI is 0x9b), and the marks that turn the direction of text: "Trojan Source".
STEERING = "\x00\x07\x1b\n\x7f\x80\x9b\x9f\u061c\u200e\u200f\u2028\u202a\u202e\u2066\u2069"


@pytest.mark.parametrize("kind", ["csv", "ndjson", "table"])
def test_no_form_of_output_steers_a_terminal(kind: str) -> None:
    out = io.StringIO()
    _, lines, _ = flowlog("parse", "-", stdin=three_formats()[0])
    record = json.loads(lines.splitlines()[0]) | {"rule": f"a{STEERING}b é"}
    writer_for(kind, out).write([orjson.dumps(record).decode()])
    shown = out.getvalue().replace("\n", "", 2)  # the ends of header and row
    assert not set(shown) & set(STEERING)
    assert "b é" in shown
    if kind == "ndjson":
        assert json.loads(out.getvalue()) == record


def test_a_table_lines_up_and_steers_no_terminal() -> None:
    out = io.StringIO()
    writer = writer_for("table", out)
    code, lines, _ = flowlog("parse", "-", stdin=three_formats()[0])
    assert code == 0
    record = json.loads(lines.splitlines()[0])
    writer.write([json.dumps(record | {"rule": "a\x1b[2Jb\n", "src_ip": "2001:db8::1"})])
    header, row = out.getvalue().splitlines()
    assert header.index("action") == row.index(record["action"])
    assert f"[2001:db8::1]:{record['src_port']}" in row
    assert row.endswith(r"a\x1b[2Jb\n")
    assert printable("ü 1") == "ü 1"


class Local:
    """Containers with one growing NSG blob, and the settings that name them."""

    def __init__(self, connection_string: str, unique: Callable[[str], str]) -> None:
        container = unique("nsg")
        self.queue_name = unique("queue")
        self.environment = {
            "FlowLogs": connection_string,
            "AzureWebJobsStorage": connection_string,
            "FLOWLOG_NSG_CONTAINER": container,
            "FLOWLOG_VNET_CONTAINER": unique("vnet"),  # and nothing in it: it does not exist
            "FLOWLOG_CHECKPOINT_TABLE": unique("checkpoints"),
            "FLOWLOG_DEAD_LETTER_CONTAINER": unique("dead"),
            "FLOWLOG_QUEUE": self.queue_name,
        }
        blobs = BlobServiceClient.from_connection_string(connection_string)
        self.container = blobs.create_container(container)
        self.writer = NetworkWatcherWriter(
            self.container.get_blob_client(Interface.nsg().blob_name(HOUR))
        )
        self.queues = QueueServiceClient.from_connection_string(connection_string)
        self.queue = self.queues.get_queue_client(self.queue_name)
        self._generator = FlowLogGenerator(1)

    def append(self) -> None:
        self.writer.append(self._generator.entry("nsg2", Interface.nsg(), HOUR, 6))


@pytest.fixture
def local(connection_string: str, unique: Callable[[str], str]) -> Local:
    return Local(connection_string, unique)


def test_run_once_catches_up_and_tail_prints_it(local: Local, tmp_path: Path) -> None:
    local.append()
    values = tmp_path / "local.settings.json"
    values.write_text(json.dumps({"IsEncrypted": False, "Values": local.environment}))
    code, out, err = flowlog("run", *ONCE, "--settings", str(values))
    assert (code, out) == (0, "")
    told = err.splitlines()
    nsg, vnet = (local.environment[f"FLOWLOG_{kind}_CONTAINER"] for kind in ("NSG", "VNET"))
    assert told[0] == (
        f"Watching {nsg} and {vnet} in 1 account (devstoreaccount1), forwarding to queue "
        f"{local.queue_name}. Logs of the hours from 2026-01-01T00 (UTC) on are forwarded."
    )
    assert told[-1].startswith("1 blob looked at, 1 forwarded: 1 entry, 6 records, ")
    local.container.upload_blob("readme.txt", b"not a flow log")
    local.append()
    assert flowlog("run", *ONCE, environment=local.environment)[0] == 0
    code, out, err = flowlog("tail", "-q", "--consume", "--once", environment=local.environment)
    records = in_order_of_position(json.loads(line) for line in out.splitlines())
    assert [tuple_of(record) for record in records] == local.writer.written
    assert (code, err) == (0, "")
    assert flowlog("tail", "-q", "--consume", "--once", environment=local.environment) == (
        0,
        "",
        "",
    )


def test_run_once_says_what_it_leaves_out_because_it_is_older(local: Local) -> None:
    local.append()
    code, out, err = flowlog("run", "--once", environment=local.environment)
    (blob,) = local.container.list_blobs()
    size = blob.size
    assert (code, out) == (0, "")
    assert err.splitlines()[1:] == [
        "1 blob looked at, nothing to forward",
        f"1 older blob with {size / 1000:.1f} kB not forwarded is left out, the oldest of "
        "2026-01-01T07. Forward them with: flowlog backfill --since 2026-01-01T07",
    ]
    assert flowlog("run", "-q", *ONCE, environment=local.environment) == (0, "", "")
    assert received(local) == 1
    code, _, err = flowlog("run", "--once", environment=local.environment)
    assert (code, err.splitlines()[1:]) == (0, ["1 blob looked at, nothing to forward"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_says_once_that_nothing_is_behind_and_ends_in_good_order(
    local: Local, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "run", "--interval", "50ms"],
        env={**os.environ, **local.environment},
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        told = [process.stderr.readline().decode() for _ in range(2)]
        time.sleep(0.5)
        process.send_signal(number)
        rest = process.stderr.read().decode()
        assert process.wait(50) == 0
    assert told[0].endswith("Logs of all hours are forwarded.\n")
    assert told[1] == "Nothing is behind. Waiting for new flow logs; Ctrl-C ends this.\n"
    assert rest == "0 blobs looked at, nothing to forward\n"


def test_what_the_settings_leave_of_a_log_is_sent_and_tail_reads_it(local: Local) -> None:
    """One deployment after the other fills the same queue."""
    local.append()
    local.environment |= {"FLOWLOG_KEEP": "action=allow", "FLOWLOG_FIELDS": "lean"}
    _, _, err = flowlog("run", *ONCE, environment=local.environment)
    (line,) = [line for line in err.splitlines() if "forwarded devstore" in line]
    records, dropped = map(int, re.findall(r" records=(\d+) .* dropped=(\d+) ", line)[0])
    assert records + dropped == 6
    assert 0 < records < 6
    local.append()
    local.environment |= {"FLOWLOG_KEEP": "", "FLOWLOG_FIELDS": "src_ip"}
    assert flowlog("run", *ONCE, environment=local.environment)[0] == 0
    local.append()
    local.environment |= {"FLOWLOG_FIELDS": "", "FLOWLOG_SCHEMA": "ecs"}
    assert flowlog("run", *ONCE, environment=local.environment)[0] == 0
    code, out, err = flowlog("tail", "-q", "--consume", "--once", environment=local.environment)
    assert (code, err) == (0, "")
    read = [json.loads(line) for line in out.splitlines()]
    lean = in_order_of_position(one for one in read if "action" in one)
    allowed = [text for text in local.writer.written[:6] if text.split(",")[7] == "A"]
    assert [tuple_of(record) for record in lean] == allowed  # whole again
    assert len(lean) == records
    assert sum(one.keys() == {"id", "src_ip"} for one in read) == 6
    assert sum(one.get("ecs") == {"version": "9.4.0"} for one in read) == 6


def test_faults_of_what_is_sent_are_named_together(local: Local) -> None:
    environment = {
        **local.environment,
        "FLOWLOG_DROP": "action=dney; dst_prt=443",
        "FLOWLOG_FIELDS": "lean",
        "FLOWLOG_SCHEMA": "ocsf",
    }
    code, out, err = flowlog("run", "--once", environment=environment)
    assert (code, out) == (2, "")
    for fault in (
        "FLOWLOG_DROP, character 8: action is allow or deny, not 'dney'. Did you mean deny?",
        "FLOWLOG_DROP, character 14: there is no field 'dst_prt'. Did you mean dst_port?",
        "FLOWLOG_FIELDS: chooses fields of the schema flowlog",
    ):
        assert fault in err


@pytest.mark.parametrize("where", [(), ("--where", "action=allow")])
@pytest.mark.parametrize("schema", ["flowlog", "ecs", "ocsf", "asim"])
def test_flows_are_written_in_any_schema(
    schema: str, where: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "PT1H.json"
    file.write_bytes(document([FlowLogGenerator(1).entry("vnet4", Interface.vnet(), HOUR, 20)]))
    assert main(["flows", str(file), *where]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["flows", "--schema", schema, str(file), *where]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events == [SCHEMAS[schema](record) for record in records]
    assert events


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--output", "csv"), "events of ecs are nested, and cannot be written as csv"),
        (("--output", "parquet"), "events of ecs are nested, and cannot be written as parquet"),
        (("--fields", "id"), "--fields chooses fields of flow records, and events of ecs have"),
    ],
)
def test_a_schema_is_refused_with_what_it_cannot_have(
    options: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["flows", "--schema", "ecs", *options, "-"])
    shown = capsys.readouterr()
    assert (left.value.code, shown.out) == (2, "")
    assert shown.err.startswith(f"flowlog flows: {reason}")


def test_run_writes_its_log_as_json_where_it_is_asked_to(local: Local) -> None:
    local.append()
    code, out, err = flowlog("run", *ONCE, "--log", "json", environment=local.environment)
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    (forwarded,) = [line for line in lines if line.get("how") == "forwarded"]
    assert (forwarded["entries"], forwarded["records"], forwarded["messages"]) == (1, 6, 1)
    assert forwarded["message"].startswith("forwarded devstoreaccount1/")
    assert lines[-1]["message"].startswith("1 blobs looked at, 1 behind, 1 forwarded, ")


def test_run_says_that_a_container_does_not_exist_where_no_flow_log_is_found(local: Local) -> None:
    """A wrong name looks like an account in which nothing is new."""
    nowhere = {"FLOWLOG_NSG_CONTAINER": "no-such-container"}
    code, _, err = flowlog("run", "--once", environment={**local.environment, **nowhere})
    (named,) = [line for line in err.splitlines() if " WARNING " in line]
    missing = (f"{ACCOUNT}/no-such-container", f"{ACCOUNT}/{local.environment[VNET]}")
    assert named.partition(" WARNING ")[2] == (
        f"There are no flow logs: the containers {' and '.join(missing)} do not exist. Azure "
        "writes NSG flow logs to the container insights-logs-networksecuritygroupflowevent and "
        "VNet flow logs to insights-logs-flowlogflowevent, none of them into a folder of another: "
        "check FLOWLOG_NSG_CONTAINER and FLOWLOG_VNET_CONTAINER"
    )
    assert code == 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_of_a_blob_forges_no_line_of_the_log(local: Local, form: str) -> None:
    local.append()
    name = local.writer.blob.blob_name
    forged = name.replace("macAddress=", "macAddress=\x9b2J\n2026-01-01 INFO ")
    local.container.upload_blob(forged, b"{}")
    local.container.upload_blob("a\u2028\u202e\n2026-01-01 INFO forged", b"{}")
    _, _, err = flowlog("run", "--once", "--log", form, environment=local.environment)
    (named,) = [line for line in err.splitlines() if "named like" in line]
    assert named.startswith("{" if form == "json" else "20")
    assert "2 blobs are not named like a flow log" in named
    assert not [line for line in err.splitlines() if not line.isprintable()]
    assert not [line for line in err.splitlines() if line.startswith("2026-01-01 INFO")]


def test_run_once_reports_a_blob_that_failed(local: Local) -> None:
    local.append()
    nowhere = {"FLOWLOG_SINK": "table", "FLOWLOG_TABLE": "xx"}
    code, _, err = flowlog("run", *ONCE, environment={**local.environment, **nowhere})
    assert (code, "FLOWLOG_TABLE: 'xx' cannot be used" in err) == (2, True)
    local.environment["FLOWLOG_SINK_CONNECTION"] = "Sink"
    local.environment["Sink"] = "AccountName=x;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:9/x;"
    code, _, err = flowlog("run", *ONCE, environment=local.environment)
    assert code == 1
    assert err.splitlines()[-1] == "1 blob looked at, 1 failed"
    (named,) = [line for line in err.splitlines() if " still behind: " in line]
    assert re.search(
        rf"WARNING still behind: {ACCOUNT}/\S+ failed once, last at \S+ \S+ UTC: sending "
        r".* refused .*\. Next try of the sweep: 20\S+ \S+ UTC$",
        named,
    )
    repaired = local.environment["AzureWebJobsStorage"]
    # A person's own command does not wait for that next try.
    code, _, err = flowlog("run", *ONCE, environment={**local.environment, "Sink": repaired})
    assert (code, "1 blob looked at, 1 forwarded: " in err.splitlines()[-1]) == (0, True)


def test_run_names_blobs_that_are_no_flow_logs(local: Local) -> None:
    """Such as those of NSG events, which Azure names like flow logs but without an interface."""
    local.append()
    events = local.writer.blob.blob_name.partition("macAddress=")[0] + "PT1H.json"
    for name in (f"copies/{local.writer.blob.blob_name}", events):
        local.container.upload_blob(name, b"{}")
    code, _, err = flowlog("run", *ONCE, environment=local.environment)
    (named,) = [line for line in err.splitlines() if "not named like" in line]
    where = f"{ACCOUNT}/{local.container.container_name}"
    assert named.endswith(
        " WARNING 2 blobs are not named like a flow log and not forwarded, for example "
        f"{where}/copies/{local.writer.blob.blob_name}. Azure writes NSG flow logs to the "
        "container insights-logs-networksecuritygroupflowevent and VNet flow logs to "
        "insights-logs-flowlogflowevent, none of them into a folder of another: check "
        "FLOWLOG_NSG_CONTAINER and FLOWLOG_VNET_CONTAINER"
    )
    assert (code, " 1 forwarded: " in err.splitlines()[-1]) == (0, True)


def test_run_forwards_what_is_appended_until_it_is_told_to_stop(local: Local) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "run", "--interval", "100ms"],
        env={**os.environ, **local.environment},
        stderr=subprocess.PIPE,
    ) as process:
        for appended in range(1, 4):
            local.append()
            give_up_at = time.monotonic() + 50  # a busy machine
            # One after the other: two that are found together are forwarded together.
            while time.monotonic() < give_up_at and received(local) < appended:
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        last = process.stderr.read().decode().splitlines()[-1]
        assert process.wait(50) == 0
    assert last.startswith("1 blob looked at, 3 forwarded: 3 entries, 18 records, ")


def received(local: Local) -> int:
    """How many entries are in the queue: each fits one message."""
    try:
        return len(local.queue.peek_messages(max_messages=32))
    except ResourceNotFoundError:  # the queue comes into being with the first message
        return 0


def test_tail_names_a_message_that_is_not_flowlogs_and_leaves_it(local: Local) -> None:
    local.queue.create_queue()
    local.queue.send_message("hello")
    code, out, err = flowlog("tail", "-q", "--consume", "--once", environment=local.environment)
    assert (code, out) == (1, "")
    assert ": not a Flowlog message: " in err
    assert local.queue.get_queue_properties().approximate_message_count == 1


def test_tail_prints_what_is_in_the_queue_of_every_shard(local: Local) -> None:
    local.environment["FLOWLOG_SHARDS"] = "3"
    generator, written = FlowLogGenerator(2), []
    for interface in map(Interface.nsg, range(30)):
        blob = local.container.get_blob_client(interface.blob_name(HOUR))
        writer = NetworkWatcherWriter(blob)
        writer.append(generator.entry("nsg2", interface, HOUR, 4))
        written += writer.written
    assert flowlog("run", *ONCE, environment=local.environment)[0] == 0
    queues = local.queues.list_queues(name_starts_with=local.queue_name)
    assert [queue.name for queue in queues] == [f"{local.queue_name}-0{n}" for n in range(3)]
    code, out, err = flowlog("tail", "-q", "--consume", "--once", environment=local.environment)
    assert sorted(tuple_of(json.loads(line)) for line in out.splitlines()) == sorted(written)
    assert (code, err) == (0, "")
    assert flowlog("tail", "-q", "--consume", "--once", environment=local.environment) == (
        0,
        "",
        "",
    )


def test_tail_once_ends_only_when_every_queue_is_empty(local: Local) -> None:
    """One call gives 32 messages at most, and the other queues have none."""
    local.environment["FLOWLOG_SHARDS"] = "3"
    first = local.queues.create_queue(f"{local.queue_name}-00")
    for _ in range(40):
        first.send_message(trial_message())
    assert flowlog("tail", "-q", "--consume", "--once", environment=local.environment) == (
        0,
        "",
        "",
    )
    assert first.get_queue_properties().approximate_message_count == 0


def test_tail_needs_the_queue_sink(local: Local) -> None:
    code, _, err = flowlog("tail", environment={**local.environment, "FLOWLOG_SINK": "table"})
    assert (code, err) == (2, "FLOWLOG_SINK is table: there is no queue to read from\n")


def test_a_faulty_configuration_prints_every_fault() -> None:
    environment = {"FLOWLOG_SINK": "kafka", "FLOWLOG_QEUE": "x"}
    environment |= {"FlowLogs": "", "AzureWebJobsStorage": ""}
    code, out, err = flowlog("run", environment=environment)
    assert (code, out) == (2, "")
    assert err.startswith("Flowlog cannot start, 4 setting(s) to correct:\n  - FLOWLOG_QEUE: ")


def test_a_settings_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    code, _, err = flowlog("run", "--settings", str(tmp_path / "none.json"))
    assert (code, "none.json" in err) == (2, True)
    (tmp_path / "empty.json").write_text("{}")
    code, _, err = flowlog("run", "--settings", str(tmp_path / "empty.json"))
    assert (code, "Values" in err, "Traceback" in err) == (2, True, False)
    (tmp_path / "text.json").write_text("hello")
    code, _, err = flowlog("run", "--settings", str(tmp_path / "text.json"))
    assert err.startswith(f"{tmp_path / 'text.json'} is not a local.settings.json: ")
    assert (code, "Traceback" in err) == (2, False)
    (tmp_path / "marked.json").write_text('{"Values":{"FLOWLOG_SINK":"kafka"}}', "utf-8-sig")
    code, _, err = flowlog("run", "--settings", str(tmp_path / "marked.json"))
    assert (code, "FLOWLOG_SINK: 'kafka' cannot be used" in err) == (2, True)


def test_run_once_waits_for_what_another_worker_has(local: Local) -> None:
    """Not without a pause, and it counts what it forwarded and nothing else."""
    local.append()
    settings = Settings.from_environment(local.environment)
    service = Service(settings)
    log = LogBlob.parse(Interface.nsg().blob_name(HOUR))
    assert log is not None
    blob = BlobRef("devstoreaccount1", settings.nsg_container, log)
    store, dead = service.pipeline.checkpoints, "a worker that was killed"
    assert take_or_ring(store, checkpoint_key(blob), str(blob), dead, 6, SystemClock()) is not None
    service.close()
    code, _, err = flowlog("run", *ONCE, "--interval", "500ms", environment=local.environment)
    lines = err.splitlines()
    assert (code, lines[-1][:34]) == (0, "1 blob looked at, 1 forwarded: 1 e")
    assert sum(" INFO handed_over devstoreaccount1/" in line for line in lines) <= 14


def test_run_once_says_where_storage_cannot_be_reached_and_what_to_do() -> None:
    ends = "".join(f";{kind}Endpoint=http://127.0.0.1:9/x" for kind in ("Blob", "Queue", "Table"))
    nowhere = dict.fromkeys(
        ("FlowLogs", "AzureWebJobsStorage"), f"AccountName=x;AccountKey=eA=={ends}"
    )
    code, out, err = flowlog("run", *ONCE, environment=nowhere)
    assert (code, out, "Traceback" in err) == (1, "", False)
    assert err.endswith("\nNo flow log was looked at\n")
    told, explained = [line for line in err.splitlines() if " WARNING " in line]
    assert " cannot look for what is behind: reading the checkpoint " in told
    assert explained.endswith(
        " WARNING Cannot connect to the storage account x (FlowLogs and AzureWebJobsStorage): "
        "connection refused. Is Azurite running? If it is, check the address in FlowLogs and "
        "AzureWebJobsStorage"
    )


def test_records_are_utf_8_whatever_the_terminal_takes(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(
        three_formats()[0].replace(b'"rule":"', '"rule":"é Ж '.encode())
    )
    latin = {"PYTHONIOENCODING": "latin-1"}
    for kind in ("ndjson", "csv"):
        code, out, err = flowlog(
            "parse", "--output", kind, str(tmp_path / "one.json"), environment=latin
        )
        assert (code, out.count("é Ж "), err) == (0, 12, "")
    done = subprocess.run(
        [sys.executable, "-m", "flowlog_core", "parse", "--output", "table", tmp_path / "one.json"],
        env={**os.environ, **latin},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("latin-1").count("é \\u0416 ") == 12


def test_a_fault_of_the_output_is_not_laid_to_the_input(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(three_formats()[0])
    if not Path("/dev/full").exists():
        pytest.skip("there is no device here that is always full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "flowlog_core", "parse", tmp_path / "one.json"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"flowlog parse: No space left on device\n")


@pytest.mark.parametrize(
    ("closed", "code", "told"),
    [("<&-", 1, "-: cannot be read: standard input is closed\n"), (">&-", 2, "")],
)
def test_closed_streams_are_no_reason_for_a_traceback(closed: str, code: int, told: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m flowlog_core parse - {closed}', sys.executable],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (code, told)


def test_a_command_whose_packages_are_missing_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "azure.data.tables", None)
    for name in [name for name in sys.modules if name.startswith("flowlog_core.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["run", "--once"]) == 2
    assert capsys.readouterr().err == (
        "flowlog run needs packages that are not installed (no module azure.data.tables). Run: "
        "pip install 'flowlog-azure[app]'\n"
    )
