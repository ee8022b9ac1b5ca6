"""The doctor as a whole: its command, the roles that it names, the clock."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest
from azurite_installation import AZURE, AzuriteInstallation, ok
from command_line import flowlog
from stand_in import stand_in

from flowlog_core.cli.terminal import printable
from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.endpoints import Endpoint
from flowlog_core.doctor.examine import Check, clock, storage_checks, within
from flowlog_core.doctor.installation import Installation
from flowlog_core.doctor.report import Told, write


def test_a_role_is_named_with_account_and_identity() -> None:
    environment = {
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
        "FlowLogs__credential": "managedidentity",
        "FlowLogs__clientId": "0000-1111",
        "AzureWebJobsStorage": AZURE,
    }
    examined = Installation.of(Settings.from_environment(environment), environment)
    endpoints = [check.endpoint for check in storage_checks(examined)]
    examined.service.close()
    blobs, queues = endpoints[0], endpoints[2]
    assert (str(blobs), blobs.setting, blobs.caller) == (
        "blob service of account logs (FlowLogs)",
        "FlowLogs__blobServiceUri",
        "the identity with client id 0000-1111",
    )
    assert [endpoint.role for endpoint in (blobs, queues, *endpoints[3:])] == [
        "Storage Blob Data Reader (Storage Blob Data Owner where the host polls instead of Event "
        "Grid)",
        "Storage Queue Data Contributor",
        "Storage Table Data Contributor",
        "Storage Table Data Contributor",
        "Storage Blob Data Contributor",
        "Storage Queue Data Message Sender (or Contributor, which may create the queue too)",
    ]


def test_a_check_that_hangs_or_breaks_takes_no_other_along() -> None:
    endpoint = Endpoint(Connection("Logs", AZURE), "blob", "logs", "")
    never = Event()

    def hangs() -> Iterator[Finding]:
        yield ok("one thing")
        never.wait()

    def breaks() -> Iterator[Finding]:
        yield ok("another")
        dict[str, str]()["x"]

    checks = [
        Check("A", endpoint, hangs),
        Check("B", endpoint, breaks),
        Check("C", endpoint, lambda: [ok("c")]),
    ]
    line = breaks.__code__.co_firstlineno + 2
    findings = within(0.2, checks)
    never.set()
    about = "blob service of account logs (Logs)"
    assert findings == [
        [
            ok("one thing"),
            Finding(
                "fault",
                f"The {about} did not answer within 0.2 s",
                "Check the address in Logs, and that this network allows connections to it",
            ),
        ],
        [
            ok("another"),
            Finding(
                "fault",
                f"Cannot read the answer of the {about}: it is not one of a storage service",
                "Check the address in Logs. A proxy, or another program at that address, may have "
                "answered instead of the storage service. If the address is right, report this as "
                f"a fault of Flowlog (KeyError at test_doctor.py:{line})",
            ),
        ],
        [ok("c")],
    ]


@pytest.mark.parametrize(
    ("off_s", "finding"),
    [
        (-5, ok("This machine's clock agrees with the storage services")),
        (
            42,
            Finding(
                "warning",
                "This machine's clock is 42 s ahead of the clock of there",
                "Set the clock. Log lines carry wrong times until then; claims do not depend on it",
            ),
        ),
        (
            -901,
            Finding(
                "fault",
                "This machine's clock is 901 s behind the clock of there",
                "Set the clock: storage services refuse keys and SAS if it is wrong by 15 minutes",
            ),
        ),
    ],
)
def test_the_clock_is_compared_with_the_services(off_s: int, finding: Finding) -> None:
    assert clock({"here": timedelta(seconds=1), "there": timedelta(seconds=off_s)}) == [finding]


def test_the_command_prints_findings_and_a_summary(installation: AzuriteInstallation) -> None:
    installation.log()
    installation.blobs.create_container(installation.vnet)
    code, out, err = flowlog("run", "--once", environment=installation.environment)
    assert code == 0, err
    code, out, err = flowlog("doctor", environment=installation.environment)
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "Settings",
        "",
        "Source FlowLogs",
        "",
        "Checkpoints",
        "",
        "Dead letters",
        "",
        "Sink",
        "",
        "Clock",
        "",
        "0 faults, 0 warnings, 12 ok",
    ]
    queue = installation.queue_name
    assert f"  ✓ Queue {queue}: an invisible test message was sent and deleted" in lines
    assert (code, err) == (0, "")


def test_a_fault_is_exit_1_and_json_holds_every_finding(installation: AzuriteInstallation) -> None:
    nowhere = {"FlowLogs": "AccountName=x;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:9/x"}
    nowhere["FlowLogs"] += ";QueueEndpoint=http://127.0.0.1:9/x"
    code, out, err = flowlog(
        "doctor", "--output", "json", environment=installation.environment | nowhere
    )
    answer = json.loads(out)
    assert (code, err, answer["faults"], answer["warnings"], answer["unknown"]) == (1, "", 2, 0, 1)
    assert {
        "about": "Source FlowLogs",
        "level": "fault",
        "what": "Cannot connect to the blob service of account x (FlowLogs): connection refused",
        "to_do": "Is Azurite running? If it is, check the address in FlowLogs",
    } in answer["findings"]


def test_settings_that_cannot_be_read_are_exit_2_and_all_told() -> None:
    wrong = {"FLOWLOG_SINK": "kafka", "FLOWLOG_QEUE": "x", "FlowLogs": AZURE}
    code, out, err = flowlog(
        "doctor", "--json", environment={**wrong, "AzureWebJobsStorage": AZURE}
    )
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "findings": [
            {"about": "Settings", "level": "fault", "what": what, "to_do": ""}
            for what in (
                "FLOWLOG_QEUE: there is no such setting. Did you mean FLOWLOG_QUEUE?",
                "FLOWLOG_SINK: 'kafka' cannot be used. Write queue, table or eventhub",
            )
        ],
        "faults": 2,
        "warnings": 0,
        "unknown": 0,
    }


def test_an_identity_without_a_token_is_told_once(installation: AzuriteInstallation) -> None:
    """What App Service's own endpoint for tokens answers where the identity is not assigned."""
    by_identity = {
        "FLOWLOG_TRIGGER_SOURCE": "EventGrid",
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
        "FlowLogs__credential": "managedidentity",
        "FlowLogs__clientId": "0000-1111",
        "IDENTITY_HEADER": "x",
    }
    with stand_in(400, "") as address:
        environment = installation.environment | by_identity | {"IDENTITY_ENDPOINT": address}
        del environment["FlowLogs"]
        code, out, _ = flowlog("doctor", "--output", "json", environment=environment)
    told = [one for one in json.loads(out)["findings"] if one["about"] != "Settings"]
    assert code == 1
    assert told[0]["about"] == "Identity"
    assert told[0]["what"].startswith(
        "Cannot get a token for the identity with client id 0000-1111, used by FlowLogs. Its "
        "accounts were not checked: "
    )
    assert told[0]["to_do"] == (
        "Assign the user-assigned identity of FlowLogs__clientId to the app. Managed identities "
        "exist only in Azure, where the app runs. On another machine, use a connection string, or "
        "`flowlog doctor --azure`"
    )
    assert {one["about"] for one in told[1:]} == {"Checkpoints", "Dead letters", "Sink", "Clock"}


TOLD = [
    Told("A", ok("well")),
    Told("A", Finding("fault", "ill\x1b and more words", "mend it")),
    Told("A", Finding("warning", "odd", "mend it")),
    Told("B", Finding("unknown", "hidden", "ask for a role")),
]


def test_on_a_terminal_what_is_well_steps_back_and_lines_are_wrapped() -> None:
    out = io.StringIO()
    write(
        [*TOLD, Told("B", ok(" ".join(["word"] * 12)))], out, printable, is_coloured=True, width=9
    )
    assert out.getvalue() == (
        "\x1b[1mA\x1b[0m\n"
        "  \x1b[32m✓\x1b[0m \x1b[2mwell\x1b[0m\n"
        "  \x1b[31m✗\x1b[0m \x1b[1mill\\x1b and more words\x1b[0m\n"
        "  \x1b[33m!\x1b[0m odd\n"
        "    → mend it\n"
        "\n"
        "\x1b[1mB\x1b[0m\n"
        "  \x1b[36m?\x1b[0m hidden\n"
        "    → ask for a role\n"
        "  \x1b[32m✓\x1b[0m \x1b[2mword word word word word word word\x1b[0m\n"
        "    \x1b[2mword word word word word\x1b[0m\n"
        "\n1 fault, 1 warning, 1 not checked, 2 ok\n"
    )


def test_in_a_pipe_each_finding_is_one_line_in_what_the_output_can_encode() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="\n") as plain:
        write(TOLD, plain, printable, is_coloured=False)
        plain.flush()
        assert raw.getvalue().decode() == (
            "A\n  + well\n  x ill\\x1b and more words\n  ! odd\n    -> mend it\n"
            "\nB\n  ? hidden\n    -> ask for a role\n"
            "\n1 fault, 1 warning, 1 not checked, 1 ok\n"
        )
