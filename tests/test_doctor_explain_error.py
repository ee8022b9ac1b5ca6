"""Unreachable services, and stand-ins that deny access: the findings name what to change."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceRequestError
from azurite_installation import ACCOUNT, AZURE, AzuriteInstallation, found
from command_line import flowlog
from stand_in import anything, stand_in

from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection, Service
from flowlog_core.doctor.endpoints import Endpoint
from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.explain_error import endpoint_of
from flowlog_core.errors import Unavailable


def test_a_wrong_key_is_told_once_for_each_service(installation: AzuriteInstallation) -> None:
    right = installation.environment["FlowLogs"]
    wrong = re.sub("AccountKey=[^;]*", "AccountKey=d3Jvbmd3cm9uZ3dyb25n", right)
    to_do = (
        f"Copy the connection string of account {ACCOUNT} into FlowLogs again: the key was rotated "
        "or belongs to another account. A clock that is wrong by 15 minutes has the same effect"
    )
    assert found("Source FlowLogs", installation.open(FlowLogs=wrong)) == [
        Finding(
            "fault",
            f"The blob service of account {ACCOUNT} (FlowLogs) refused the request: 403 "
            "AuthenticationFailed",
            to_do,
        ),
        Finding(
            "unknown",
            f"Account {ACCOUNT}: cannot tell whether events arrive",
            "First correct the faults of this source and of the checkpoints",
        ),
        Finding(
            "fault",
            f"The queue service of account {ACCOUNT} (FlowLogs) refused the request: 403 "
            "AuthenticationFailed",
            to_do,
        ),
    ]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_what_is_out_of_reach_is_told_by_its_kind(
    installation: AzuriteInstallation, silent: str
) -> None:
    ends_of_it = f"BlobEndpoint=http://127.0.0.1:9/x;QueueEndpoint={silent}/x"
    state = f"AccountName=x;AccountKey=eA==;{ends_of_it};TableEndpoint=http://made-up.invalid/x"
    examined = installation.open(AzureWebJobsStorage=state)
    told = examine(examined)
    assert [
        one.finding for one in told if one.about in ("Checkpoints", "Dead letters", "Sink")
    ] == [
        Finding(
            "fault",
            "Cannot connect to the table service of account x (AzureWebJobsStorage): host not "
            "found",
            "Check the account name in AzureWebJobsStorage. If the account has a private "
            "endpoint, this network needs the private DNS zone of the table service",
        ),
        Finding(
            "fault",
            "Cannot connect to the blob service of account x (AzureWebJobsStorage): connection "
            "refused",
            "Is Azurite running? If it is, check the address in AzureWebJobsStorage",
        ),
        Finding(
            "fault",
            "The queue service of account x (AzureWebJobsStorage) did not answer in time",
            "Check that this network allows connections to the account, and that its private "
            "endpoint, if it has one, is approved",
        ),
    ]


def with_key(address: str) -> str:
    return "AccountName=logs;AccountKey=eA==;" + services_at(address)


def with_sas(address: str) -> str:
    return f"AccountName=logs;SharedAccessSignature=sv=1&sig=x;{services_at(address)}"


def services_at(address: str) -> str:
    return ";".join(f"{kind}Endpoint={address}/logs" for kind in ("Blob", "Queue", "Table"))


FIREWALL = (
    "Check the firewall under Networking of storage account logs: it must allow this machine, by "
    "virtual network, IP address or private endpoint"
)
NEW_SAS = (
    "Create a new SAS with the services, resource types and permissions that Flowlog needs, or use "
    "an identity with the role Storage Table Data Contributor"
)


@pytest.mark.parametrize(
    ("connection", "status", "code", "what", "to_do"),
    [
        (
            with_key,
            403,
            "AuthorizationFailure",
            "refused the request: 403 AuthorizationFailure",
            FIREWALL,
        ),
        (
            with_sas,
            403,
            "AuthorizationFailure",
            "refused the request: 403 AuthorizationFailure",
            f"{FIREWALL}. If it does: {NEW_SAS}",
        ),
        (
            with_sas,
            403,
            "AuthorizationPermissionMismatch",
            "refused the request: 403 AuthorizationPermissionMismatch",
            NEW_SAS,
        ),
        (
            with_sas,
            403,
            "AuthenticationFailed",
            "refused the request: 403 AuthenticationFailed",
            "Create a new SAS: the one in AzureWebJobsStorage has expired or was not copied "
            "completely",
        ),
        (
            with_key,
            403,
            "KeyBasedAuthenticationNotPermitted",
            "refused the request: 403 KeyBasedAuthenticationNotPermitted",
            "Storage account logs accepts identities only: remove AzureWebJobsStorage, set "
            "AzureWebJobsStorage__tableServiceUri, and assign the role Storage Table Data "
            "Contributor to the app's identity",
        ),
        (
            with_key,
            400,
            "AccountRequiresHttps",
            "refused the request: 400 AccountRequiresHttps",
            "Write https instead of http in AzureWebJobsStorage",
        ),
        (
            with_key,
            503,
            "ServerBusy",
            "answered 503 ServerBusy: Operation returned an invalid status 'Service Unavailable'",
            "Try again in a minute. If it still fails, check the account's health in the Azure "
            "portal",
        ),
        (
            with_key,
            404,
            "",
            "answers 404, but not as a storage service does",
            "Check the address in AzureWebJobsStorage. A proxy, or another program at that "
            "address, may have answered instead of the storage service",
        ),
    ],
)
def test_a_refusal_names_what_to_change(
    installation: AzuriteInstallation,
    connection: Callable[[str], str],
    status: int,
    code: str,
    what: str,
    to_do: str,
) -> None:
    with stand_in(status, code) as address:
        findings = found("Checkpoints", installation.open(AzureWebJobsStorage=connection(address)))
    about = "table service of account logs (AzureWebJobsStorage)"
    begin = "The address of the" if what.startswith("answers 404") else "The"
    assert findings == [Finding("fault", f"{begin} {about} {what}", to_do)]


def test_nothing_is_sent_that_could_not_be_taken_back(installation: AzuriteInstallation) -> None:
    """What the role Storage Queue Data Message Sender allows: to add, and nothing else."""
    with stand_in(403, "AuthorizationPermissionMismatch") as address:
        examined = installation.open(FLOWLOG_SINK_CONNECTION="Sink", Sink=with_sas(address))
        assert found("Sink", examined) == [
            Finding(
                "unknown",
                f"Queue {installation.queue_name}: sending was not tested, because this caller may "
                "not delete the test message",
                "Check that the role Storage Queue Data Message Sender is assigned on storage "
                "account logs. It is enough to send, if the queue exists",
            )
        ]


def test_the_clock_is_seen_in_answers_that_refuse_too(installation: AzuriteInstallation) -> None:
    with stand_in(403, "AuthenticationFailed", ahead=timedelta(hours=1)) as address:
        (finding,) = found("Clock", installation.open(AzureWebJobsStorage=with_key(address)))
    assert finding.level == "fault"
    assert re.fullmatch(
        r"This machine's clock is 3[56]\d\d s behind the clock of 127.0.0.1:\d+", finding.what
    )


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>Sign in<br></html>"),
        (200, "text/plain", b""),
        (200, "application/json", b"[]"),
        (200, "application/xml", b"<a/>"),
        (202, "multipart/mixed; boundary=x", b"--x\r\n\r\n--x--"),
        (302, "text/html", b""),
        (404, "text/html", b"<html>no<br>"),
        (500, "text/html", b"<html>no<br>"),
    ],
)
@pytest.mark.parametrize("sink", ["queue", "table"])
def test_a_program_that_is_no_storage_service_is_told_as_such(
    installation: AzuriteInstallation, sink: str, status: int, kind: str, body: bytes
) -> None:
    """The SDK's parsers raise AttributeError, TypeError and others over such answers."""
    with anything(status, kind, body) as address:
        name = with_key(address)
        examined = installation.open(FLOWLOG_SINK=sink, FlowLogs=name, AzureWebJobsStorage=name)
        told = [one.finding for one in examine(examined)]
    faults = [one for one in told if one.level == "fault"]
    assert len(faults) >= 3
    for one in faults:
        assert re.match(
            r"Cannot read the answer of the (blob|queue|table) service of account logs "
            r"\((FlowLogs|AzureWebJobsStorage)\)(: it is not one of a storage service$|: Cannot "
            r"deserialize)|The address of the \w+ service of account logs \(\w+\) answers \d+, but "
            r"not as a storage service does$",
            one.what,
        ), one.what
        assert re.match("Check the address in (FlowLogs|AzureWebJobsStorage)[.]", one.to_do)


def refused(host: str, port: int, told: str = "{host}:{port}: refused") -> Unavailable:
    """What a call raises where nobody listens."""
    told = told.format(host=host, port=port)
    error = Unavailable("reading")
    error.__cause__ = ServiceRequestError(told)
    return error


def endpoint(url: str, service: Service = "blob") -> Endpoint:
    return Endpoint(Connection("Logs", AZURE), service, "logs", "", url)


def test_the_endpoint_of_an_error_is_found_by_host_and_port() -> None:
    blobs, queues = (
        endpoint("http://a.example:10000/x"),
        endpoint("http://a.example:10001/x", "queue"),
    )
    assert endpoint_of(refused("a.example", 10001), [blobs, queues]) is queues
    assert endpoint_of(refused("b.example", 10001), [blobs, queues]) is None
    assert endpoint_of(refused("c.example", 443), [endpoint("https://c.example/")]) is not None
    assert endpoint_of(refused("::1", 443), [endpoint("https://[::1]/")]) is not None
    assert endpoint_of(Unavailable("no cause"), [blobs]) is None
    urllib3 = "HTTPConnection(host='{host}', port={port}): Failed to establish: refused"
    assert endpoint_of(refused("a.example", 10001, urllib3), [blobs, queues]) is queues


def test_services_at_one_address_are_named_together() -> None:
    blobs, queues = endpoint("http://a.example:9/x"), endpoint("http://a.example:9/x", "queue")
    found = endpoint_of(refused("a.example", 9), [blobs, queues])
    assert str(found) == "storage account logs (Logs)"


@pytest.mark.parametrize("command", ["run", "tail"])
def test_run_and_tail_say_what_the_doctor_says(
    installation: AzuriteInstallation, command: str
) -> None:
    nowhere = "AccountName=x;AccountKey=eA==" + "".join(
        f";{kind}Endpoint=http://127.0.0.1:9/x" for kind in ("Blob", "Queue", "Table")
    )
    environment = installation.environment | dict.fromkeys(
        ("FlowLogs", "AzureWebJobsStorage"), nowhere
    )
    code, out, err = flowlog(command, "--once", environment=environment)
    assert (code, out) == (1, "")
    endpoint, name = {
        "run": ("storage account", "FlowLogs and AzureWebJobsStorage"),
        "tail": ("queue service of account", "AzureWebJobsStorage"),
    }[command]
    assert (
        f"Cannot connect to the {endpoint} x ({name}): connection refused. Is Azurite running? If "
        f"it is, check the address in {name}\n"
    ) in err


def test_run_names_a_wrong_key(installation: AzuriteInstallation) -> None:
    right = installation.environment["FlowLogs"]
    wrong = re.sub("AccountKey=[^;]*", "AccountKey=d3Jvbmd3cm9uZ3dyb25n", right)
    environment = installation.environment | {"FlowLogs": wrong}
    code, _, err = flowlog("run", "--once", environment=environment)
    assert code == 1
    assert (
        f"The blob service of account {ACCOUNT} (FlowLogs) refused the request: 403 "
        "AuthenticationFailed. Copy the connection string of account"
    ) in err


@pytest.mark.parametrize("name", ["FlowLogs", "AzureWebJobsStorage", "Out"])
def test_of_several_connections_to_an_account_the_one_that_is_refused_is_named(
    installation: AzuriteInstallation, name: str
) -> None:
    right = installation.environment["FlowLogs"]
    wrong = re.sub("AccountKey=[^;]*", "AccountKey=d3Jvbmd3cm9uZ3dyb25n", right)
    both = {"Out": right, "FLOWLOG_SINK_CONNECTION": "Out"} | {name: wrong}
    installation.log()
    code, _, err = flowlog("run", "--once", environment=installation.environment | both)
    assert code == 1
    named = set(re.findall(r"(\w+) again: the key was rotated", err))
    assert named == {name}
