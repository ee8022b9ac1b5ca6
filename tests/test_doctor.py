"""The doctor as a whole: its command, the roles it asks for, the clock."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest
from azurite_installation import AZURE, AzuriteInstallation, ok
from stand_in import stand_in
from test_cli import flowlog

from flowlog_core.cli.doctor import write
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.examine import Check, Told, clock, storage_checks, within
from flowlog_core.doctor.explain_error import End
from flowlog_core.doctor.facts import Finding
from flowlog_core.doctor.installation import Installation


def test_a_role_is_named_with_account_and_identity() -> None:
    environment = {
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
        "FlowLogs__credential": "managedidentity",
        "FlowLogs__clientId": "0000-1111",
        "AzureWebJobsStorage": AZURE,
    }
    examined = Installation.of(Settings.from_environment(environment), environment)
    ends_of_it = [check.end for check in storage_checks(examined)]
    examined.service.close()
    blobs, queues = ends_of_it[0], ends_of_it[2]
    assert (str(blobs), blobs.setting, blobs.caller) == (
        "blob service of account logs (FlowLogs)",
        "FlowLogs__blobServiceUri",
        "the identity with client id 0000-1111",
    )
    assert [end.role for end in (blobs, queues, *ends_of_it[3:])] == [
        "Storage Blob Data Reader (Storage Blob Data Owner where the host polls instead of Event "
        "Grid)",
        "Storage Queue Data Contributor",
        "Storage Table Data Contributor",
        "Storage Table Data Contributor",
        "Storage Blob Data Contributor",
        "Storage Queue Data Message Sender (or Contributor, which may create the queue too)",
    ]


def test_a_check_that_hangs_or_breaks_takes_no_other_along() -> None:
    end = End(Connection("Logs", AZURE), "blob", "logs", "")
    never = Event()

    def hangs() -> Iterator[Finding]:
        yield ok("one thing")
        never.wait()

    def breaks() -> Iterator[Finding]:
        yield ok("another")
        raise KeyError("x")

    checks = [Check("A", end, hangs), Check("B", end, breaks), Check("C", end, lambda: [ok("c")])]
    findings = within(0.2, checks)
    never.set()
    about = "blob service of account logs (Logs)"
    assert findings == [
        [
            ok("one thing"),
            Finding(
                "fault",
                f"{about} did not answer within 0.2 s",
                "Look at the address in Logs, and whether the network lets connections out",
            ),
        ],
        [ok("another"), Finding("fault", f"{about}: the check broke: KeyError: 'x'")],
        [ok("c")],
    ]


@pytest.mark.parametrize(
    ("off_s", "finding"),
    [
        (-5, ok("this machine's clock agrees with the storage services'")),
        (
            42,
            Finding(
                "warning",
                "this machine's clock is 42 s ahead of the clock of there",
                "Set the clock, or logs are misdated. Claims do not depend on it",
            ),
        ),
        (
            -901,
            Finding(
                "fault",
                "this machine's clock is 901 s behind the clock of there",
                "Set the clock: storage refuses what is signed with a key or SAS 15 minutes off",
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
        "Source FlowLogs",
        "Checkpoints",
        "Dead letters",
        "Sink",
        "Clock",
        "",
        "0 faults, 0 warnings, 12 well",
    ]
    queue = installation.queue_name
    assert f"  ✓ queue {queue}: a hidden message was sent and taken back" in lines
    assert (code, err) == (0, "")


def test_a_fault_is_exit_1_and_json_holds_every_finding(installation: AzuriteInstallation) -> None:
    nowhere = {"FlowLogs": "AccountName=x;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:9/x"}
    nowhere["FlowLogs"] += ";QueueEndpoint=http://127.0.0.1:9/x"
    code, out, err = flowlog("doctor", "--json", environment=installation.environment | nowhere)
    answer = json.loads(out)
    assert (code, err, answer["faults"], answer["warnings"]) == (1, "", 2, 1)
    assert {
        "about": "Source FlowLogs",
        "level": "fault",
        "what": "blob service of account x (FlowLogs) is not reached: the connection is refused",
        "to_do": "Look at the address in FlowLogs, and whether anything listens there",
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
                "FLOWLOG_SINK: 'kafka' cannot be used. Write queue or table",
            )
        ],
        "faults": 2,
        "warnings": 0,
    }


def test_an_identity_without_a_token_is_told_once(installation: AzuriteInstallation) -> None:
    """What App Service's own endpoint for tokens answers where the identity is not assigned."""
    by_identity = {
        "FlowLogs": "",
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
        "FlowLogs__credential": "managedidentity",
        "FlowLogs__clientId": "0000-1111",
        "IDENTITY_HEADER": "x",
    }
    with stand_in(400, "") as address:
        environment = installation.environment | by_identity | {"IDENTITY_ENDPOINT": address}
        code, out, _ = flowlog("doctor", "--json", environment=environment)
    told = [one for one in json.loads(out)["findings"] if one["about"] != "Settings"]
    assert code == 1
    assert told[0]["about"] == "Identity"
    assert told[0]["what"].startswith(
        "the identity with client id 0000-1111, for FlowLogs, gets no token, so nothing was tried "
        "with it: "
    )
    assert told[0]["to_do"] == (
        "Assign the user-assigned identity of FlowLogs__clientId to the app. Identities exist "
        "where the app runs, in Azure; to look from another machine, use a connection string"
    )
    assert {one["about"] for one in told[1:]} == {"Checkpoints", "Dead letters", "Sink", "Clock"}


def test_colour_is_for_terminals_and_symbols_for_those_who_can_show_them() -> None:
    told = [Told("A", ok("well")), Told("A", Finding("fault", "ill\x1b", "mend it"))]
    out = io.StringIO()
    write(told, out, is_coloured=True)
    assert out.getvalue() == (
        "A\n  \x1b[32m✓\x1b[0m well\n  \x1b[31m✗\x1b[0m ill\\x1b\n      mend it\n"
        "\n1 fault, 0 warnings, 1 well\n"
    )
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="\n") as plain:
        write(told, plain, is_coloured=False)
        plain.flush()
        assert raw.getvalue().splitlines()[:3] == [b"A", b"  + well", b"  x ill\\x1b"]
