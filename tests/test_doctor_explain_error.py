"""Services out of reach, and stand-ins that refuse: the findings name what to change."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from azurite_installation import ACCOUNT, AzuriteInstallation, found
from stand_in import stand_in

from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.facts import Finding


def test_a_wrong_key_is_told_once_for_each_service(installation: AzuriteInstallation) -> None:
    right = installation.environment["FlowLogs"]
    wrong = re.sub("AccountKey=[^;]*", "AccountKey=d3Jvbmd3cm9uZ3dyb25n", right)
    to_do = (
        f"Copy the connection string of account {ACCOUNT} anew into FlowLogs: the key was changed "
        "or belongs to another account. A clock that is wrong by 15 minutes has the same effect"
    )
    assert found("Source FlowLogs", installation.open(FlowLogs=wrong)) == [
        Finding(
            "fault",
            f"blob service of account {ACCOUNT} (FlowLogs) refuses: 403 AuthenticationFailed",
            to_do,
        ),
        Finding(
            "warning",
            f"account {ACCOUNT}: whether events arrive could not be seen",
            "Correct the faults of this source and of the checkpoints first",
        ),
        Finding(
            "fault",
            f"queue service of account {ACCOUNT} (FlowLogs) refuses: 403 AuthenticationFailed",
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
            "table service of account x (AzureWebJobsStorage) is not reached: there is no such "
            "host",
            "Look at the account's name in AzureWebJobsStorage. With a private endpoint, the "
            "network in which this runs needs the private DNS zone of the table service",
        ),
        Finding(
            "fault",
            "blob service of account x (AzureWebJobsStorage) is not reached: the connection is "
            "refused",
            "Look at the address in AzureWebJobsStorage, and whether anything listens there",
        ),
        Finding(
            "fault",
            "queue service of account x (AzureWebJobsStorage) does not answer in time",
            "Look whether the network in which this runs lets connections to the account out, and "
            "whether its private endpoint answers",
        ),
    ]


def with_key(address: str) -> str:
    return "AccountName=logs;AccountKey=eA==;" + services_at(address)


def with_sas(address: str) -> str:
    return f"AccountName=logs;SharedAccessSignature=sv=1&sig=x;{services_at(address)}"


def services_at(address: str) -> str:
    return ";".join(f"{kind}Endpoint={address}/logs" for kind in ("Blob", "Queue", "Table"))


FIREWALL = (
    "Look at Networking of storage account logs: its firewall must let in where this runs, by "
    "virtual network, address or private endpoint"
)
NEW_SAS = (
    "Make a new SAS with the services, resource types and permissions that Flowlog needs, or use "
    "an identity with the role Storage Table Data Contributor"
)


@pytest.mark.parametrize(
    ("connection", "status", "code", "what", "to_do"),
    [
        (with_key, 403, "AuthorizationFailure", "refuses: 403 AuthorizationFailure", FIREWALL),
        (
            with_sas,
            403,
            "AuthorizationFailure",
            "refuses: 403 AuthorizationFailure",
            f"{FIREWALL}. If it does: {NEW_SAS}",
        ),
        (
            with_sas,
            403,
            "AuthorizationPermissionMismatch",
            "refuses: 403 AuthorizationPermissionMismatch",
            NEW_SAS,
        ),
        (
            with_sas,
            403,
            "AuthenticationFailed",
            "refuses: 403 AuthenticationFailed",
            "Make a new SAS: the one in AzureWebJobsStorage has run out or was not copied whole",
        ),
        (
            with_key,
            403,
            "KeyBasedAuthenticationNotPermitted",
            "refuses: 403 KeyBasedAuthenticationNotPermitted",
            "Storage account logs lets in identities alone: remove AzureWebJobsStorage, set "
            "AzureWebJobsStorage__tableServiceUri, and give the app's identity the role Storage "
            "Table Data Contributor",
        ),
        (
            with_key,
            400,
            "AccountRequiresHttps",
            "refuses: 400 AccountRequiresHttps",
            "Write https instead of http in AzureWebJobsStorage",
        ),
        (
            with_key,
            503,
            "ServerBusy",
            "answers 503 ServerBusy: Operation returned an invalid status 'Service Unavailable'",
            "Look again in a minute, and then at the account's health in the Azure portal",
        ),
        (
            with_key,
            404,
            "",
            ": what answers there, with 404, is no storage service",
            "Look at the address in AzureWebJobsStorage, and whether anything listens there",
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
    gap = "" if what.startswith(":") else " "
    about = f"table service of account logs (AzureWebJobsStorage){gap}"
    assert findings == [Finding("fault", f"{about}{what}", to_do)]


def test_nothing_is_sent_that_could_not_be_taken_back(installation: AzuriteInstallation) -> None:
    """What the role Storage Queue Data Message Sender allows: to add, and nothing else."""
    with stand_in(403, "AuthorizationPermissionMismatch") as address:
        examined = installation.open(FLOWLOG_SINK_CONNECTION="Sink", Sink=with_sas(address))
        assert found("Sink", examined) == [
            Finding(
                "warning",
                f"queue {installation.queue_name}: sending was not tried, as this caller may not "
                "take the trial message back",
                "The role Storage Queue Data Message Sender on storage account logs is enough to "
                "send, if the queue is there: look whether it is assigned",
            )
        ]


def test_the_clock_is_seen_in_answers_that_refuse_too(installation: AzuriteInstallation) -> None:
    with stand_in(403, "AuthenticationFailed", ahead=timedelta(hours=1)) as address:
        (finding,) = found("Clock", installation.open(AzureWebJobsStorage=with_key(address)))
    assert finding.level == "fault"
    assert re.fullmatch(
        r"this machine's clock is 3[56]\d\d s behind the clock of 127.0.0.1:\d+", finding.what
    )
