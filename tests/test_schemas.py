"""The mappings to ECS, OCSF and ASIM, held against what their owners publish (tests/published)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, ValidationError
from made_records import (
    Record,
    generated_entries,
    hostile_entries,
    hostile_records,
    known_records,
    records_of,
    sample_entries,
    sums_of,
)
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from flowlog_core.parsing.protocols import KEYWORDS
from flowlog_core.schemas import SCHEMAS, asim, ecs, flowlog, ocsf, row_of
from flowlog_core.schemas.ecs import ECS_VERSION

PUBLISHED = Path(__file__).parent / "published"

(RECORD,) = records_of(
    {
        "time": "2024-12-31T09:11:37.7568150Z",
        "macAddress": "000D3A359573",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": "/SUBSCRIPTIONS/C088DC46/RESOURCEGROUPS/RG/FLOWLOGS/LOG",
        "targetResourceID": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
        "flowLogVersion": 4,
        "flowRecords": {
            "flows": [
                {
                    "aclID": "/subscriptions/c088dc46/networkSecurityGroups/nsg",
                    "flowGroups": [
                        {
                            "rule": "DefaultRule_AllowInternetOutBound",
                            "flowTuples": [
                                "1735636259204,10.1.0.4,104.208.16.91,56347,443,6,O,E,NX,"
                                "12,5045,13,5902"
                            ],
                        }
                    ],
                }
            ]
        },
    }
)


def known_sums() -> list[Record]:
    return [
        made
        for entry in (*sample_entries(), *generated_entries())
        for made in sums_of(records_of(entry))
    ]


# --- ECS ---


@cache
def ecs_fields() -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((PUBLISHED / "ecs-9.4.0.json").read_bytes())
    return fields


def leaves(event: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in event.items():
        if isinstance(value, dict):
            assert value, f"{before}{name} is empty"
            yield from leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def assert_is_rfc_3339(value: Any) -> None:
    assert type(value) is str
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value, re.ASCII)
    datetime.fromisoformat(value)


def assert_is_long(value: Any) -> None:
    assert type(value) is int
    assert -(2**63) <= value < 2**63


def assert_is_text(value: Any) -> None:
    assert type(value) is str


ECS_TYPES: dict[str, Callable[[Any], object]] = {
    "date": assert_is_rfc_3339,
    "ip": ip_address,
    "long": assert_is_long,
    "keyword": assert_is_text,
}


def assert_is_ecs(event: dict[str, Any]) -> None:
    assert {"@timestamp", "ecs"} <= set(event)  # the two that ECS requires
    for name, value in leaves(event):
        if name.startswith("flowlog."):  # ours: ECS leaves names outside its field sets free
            assert not isinstance(value, list)
            continue
        field = ecs_fields()[name]
        assert isinstance(value, list) is bool(field.get("array")), name
        for one in value if isinstance(value, list) else [value]:
            ECS_TYPES[field["type"]](one)
            if "values" in field:
                assert one in field["values"]
            if "pattern" in field:
                assert re.search(field["pattern"], one)
    (category,) = event["event"]["category"]
    expected = ecs_fields()["event.category"]["event_types"][category]
    assert set(event["event"]["type"]) <= set(expected)
    assert len(set(event["event"]["type"])) == len(event["event"]["type"])


def test_every_known_record_is_ecs() -> None:
    for record in (*known_records(), *known_sums()):
        assert_is_ecs(ecs(record))


@given(hostile_records())
def test_every_record_is_ecs_however_odd(record: Record) -> None:
    assert_is_ecs(ecs(record))


def test_the_version_of_ecs_is_that_of_the_published_list() -> None:
    assert (PUBLISHED / f"ecs-{ECS_VERSION}.json").exists()


def test_an_ecs_event() -> None:
    assert ecs(RECORD) == {
        "@timestamp": "2024-12-31T09:10:59.204Z",
        "ecs": {"version": "9.4.0"},
        "event": {
            "id": RECORD["id"],
            "kind": "event",
            "category": ["network"],
            "type": ["connection", "allowed", "end"],
            "action": "allow",
            "outcome": "success",
            "module": "flowlog",
            "dataset": "flowlog.flow",
            "created": "2024-12-31T09:11:37.7568150Z",
        },
        "source": {
            "address": "10.1.0.4",
            "ip": "10.1.0.4",
            "port": 56347,
            "mac": "00-0D-3A-35-95-73",
            "bytes": 5045,
            "packets": 12,
        },
        "destination": {
            "address": "104.208.16.91",
            "ip": "104.208.16.91",
            "port": 443,
            "bytes": 5902,
            "packets": 13,
        },
        "network": {
            "type": "ipv4",
            "transport": "tcp",
            "iana_number": "6",
            "direction": "outbound",
            "bytes": 10947,
            "packets": 25,
        },
        "rule": {
            "name": "DefaultRule_AllowInternetOutBound",
            "ruleset": "/subscriptions/c088dc46/networkSecurityGroups/nsg",
        },
        "cloud": {
            "provider": "azure",
            "service": {"name": "Network Watcher"},
            "account": {"id": "c088dc46"},
        },
        "related": {"ip": ["10.1.0.4", "104.208.16.91"]},
        "flowlog": {
            "category": "FlowLogFlowEvent",
            "version": 4,
            "log_time": "2024-12-31T09:11:37.7568150Z",
            "resource_id": "/SUBSCRIPTIONS/C088DC46/RESOURCEGROUPS/RG/FLOWLOGS/LOG",
            "target_resource_id": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
            "mac": "000D3A359573",
            "direction": "outbound",
            "state": "end",
            "encryption": "NX",
        },
    }


# --- OCSF ---

OCSF_PROFILES = ["cloud", "security_control"]


@cache
def ocsf_class(version: str) -> tuple[Any, Draft202012Validator]:
    published = get_ocsf_schema(version=version)
    schema = OcsfJsonSchemaEmbedded(published).get_class_schema(
        class_name="network_activity", profiles=OCSF_PROFILES
    )
    Draft202012Validator.check_schema(schema)
    return published, Draft202012Validator(schema)


def assert_is_ocsf(event: dict[str, Any]) -> None:
    published, validator = ocsf_class(event["metadata"]["version"])
    validator.validate(event)
    assert event["metadata"]["profiles"] == OCSF_PROFILES
    attributes = published["classes"]["network_activity"]["attributes"]
    captioned = (
        (attributes, event, "activity_id", "activity_name"),
        (attributes, event, "severity_id", "severity"),
        (attributes, event, "status_id", "status"),
        (attributes, event, "action_id", "action"),
        (attributes, event, "disposition_id", "disposition"),
        (
            published["objects"]["network_connection_info"]["attributes"],
            event["connection_info"],
            "direction_id",
            "direction",
        ),
    )
    for of, holder, number, caption in captioned:
        assert of[number]["enum"][str(holder[number])]["caption"] == holder[caption]
    account = event["cloud"].get("account")
    if account:
        types = published["objects"]["account"]["attributes"]["type_id"]["enum"]
        assert types[str(account["type_id"])]["caption"] == account["type"]
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    for name in ("bytes", "packets"):
        traffic = event.get("traffic", {})
        if f"{name}_in" in traffic and f"{name}_out" in traffic and name in traffic:
            assert traffic[name] == traffic[f"{name}_in"] + traffic[f"{name}_out"]
    for _, value in leaves(event):
        if type(value) is int:
            assert_is_long(value)


def test_every_known_record_is_ocsf() -> None:
    for record in (*known_records(), *known_sums()):
        assert_is_ocsf(ocsf(record))


@given(hostile_records())
def test_every_record_is_ocsf_however_odd(record: Record) -> None:
    assert_is_ocsf(ocsf(record))


@pytest.mark.parametrize("version", ["1.4.0", "1.5.0", "1.6.0", "1.7.0"])
def test_what_we_send_is_also_valid_for_readers_of_older_versions(version: str) -> None:
    for record in known_records()[::7]:
        event = ocsf(record)
        event["metadata"]["version"] = version
        assert_is_ocsf(event)


def test_an_ocsf_event() -> None:
    assert ocsf(RECORD) == {
        "activity_id": 2,
        "activity_name": "Close",
        "category_uid": 4,
        "category_name": "Network Activity",
        "class_uid": 4001,
        "class_name": "Network Activity",
        "type_uid": 400102,
        "type_name": "Network Activity: Close",
        "time": 1735636259204,
        "severity_id": 1,
        "severity": "Informational",
        "status_id": 1,
        "status": "Success",
        "action_id": 1,
        "action": "Allowed",
        "disposition_id": 1,
        "disposition": "Allowed",
        "metadata": {
            "version": "1.8.0",
            "profiles": OCSF_PROFILES,
            "uid": RECORD["id"],
            "product": {"name": "Network Watcher", "vendor_name": "Microsoft"},
            "log_name": "FlowLogFlowEvent",
            "log_version": "4",
            "logged_time": 1735636297756,
            "original_time": "2024-12-31T09:10:59.204Z",
        },
        "cloud": {
            "provider": "Azure",
            "account": {"uid": "c088dc46", "type_id": 13, "type": "Azure Subscription"},
        },
        "src_endpoint": {"ip": "10.1.0.4", "port": 56347, "mac": "00:0D:3A:35:95:73"},
        "dst_endpoint": {"ip": "104.208.16.91", "port": 443},
        "connection_info": {
            "direction_id": 2,
            "direction": "Outbound",
            "protocol_num": 6,
            "protocol_name": "tcp",
            "protocol_ver_id": 4,
        },
        "traffic": {
            "bytes": 10947,
            "bytes_out": 5045,
            "bytes_in": 5902,
            "packets": 25,
            "packets_out": 12,
            "packets_in": 13,
        },
        "firewall_rule": {"name": "DefaultRule_AllowInternetOutBound"},
        "policy": {"uid": "/subscriptions/c088dc46/networkSecurityGroups/nsg"},
        "unmapped": {
            "direction": "outbound",
            "encryption": "NX",
            "log_time": "2024-12-31T09:11:37.7568150Z",
            "mac": "000D3A359573",
            "resource_id": "/SUBSCRIPTIONS/C088DC46/RESOURCEGROUPS/RG/FLOWLOGS/LOG",
            "state": "end",
            "target_resource_id": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
        },
    }


# --- ASIM ---

NOT_KNOWN = {
    "Type": "the workspace's own",
    "EventUid": "the workspace's own",
    "ASimMatchingHostname": "of a query that filters",
    "ASimMatchingIpAddr": "of a query that filters",
    "EventResultDetails": "a flow log gives no reason",
    "DvcHostname": "a resource id is no host name",
    "DvcDomain": "a resource id is no host name",
    "DvcIpAddr": "what reports has no address",
    "SrcHostname": "a flow log has addresses",
    "SrcDomain": "a flow log has addresses",
    "DstHostname": "a flow log has addresses",
    "DstDomain": "a flow log has addresses",
}
"""Mandatory and recommended columns that no flow log can fill, and why."""


@cache
def asim_columns() -> dict[str, dict[str, str]]:
    with (PUBLISHED / "asim-network-session-0.2.7.csv").open(newline="") as file:
        return {row["column"]: row for row in csv.DictReader(file)}


def assert_is_int(value: Any) -> None:
    assert type(value) is int
    assert -(2**31) <= value < 2**31


def assert_is_dynamic(value: Any) -> None:
    assert isinstance(value, dict)


ASIM_TYPES: dict[str, Callable[[Any], object]] = {
    "string": assert_is_text,
    "int": assert_is_int,
    "long": assert_is_long,
    "datetime": assert_is_rfc_3339,
    "dynamic": assert_is_dynamic,
}
MAC = re.compile("[0-9A-F]{2}(:[0-9A-F]{2}){5}")
FAILURES = {"Deny", "Drop", "Drop ICMP", "Reset", "Reset Source", "Reset Destination"}


def assert_is_asim(row: dict[str, Any]) -> None:
    columns = asim_columns()
    for name, value in row.items():
        column = columns[name]
        ASIM_TYPES[column["type"]](value)
        if column["values"]:
            assert value in column["values"].split("|"), name
        if column["format"] == "IP Address":
            ip_address(value)
        if column["format"] == "MAC address":
            assert MAC.fullmatch(value)
        if column["class"] == "Mandatory":
            assert value != ""
    for name, column in columns.items():
        if column["class"] == "Mandatory" and name not in NOT_KNOWN:
            assert name in row
    # As the page says of these columns.
    assert row["EventResult"] == ("Failure" if row["DvcAction"] in FAILURES else "Success")
    assert row["EventSeverity"] == ("Low" if row["DvcAction"] in FAILURES else "Informational")
    assert row["Src"] == row["SrcIpAddr"] == row["IpAddr"]
    assert row["Dst"] == row["DstIpAddr"]
    assert row.get("Rule") == row.get("NetworkRuleName")
    assert ("DvcId" in row) == ("DvcIdType" in row)
    if row["EventType"] == "Flow":
        assert "EventSubType" not in row
    else:
        assert row["EventCount"] == 1


def test_every_known_record_is_asim() -> None:
    for record in (*known_records(), *known_sums()):
        row = asim(record)
        assert_is_asim(row)
        for name, column in asim_columns().items():
            if column["class"] in ("Mandatory", "Recommended"):
                assert (name in row) is (name not in NOT_KNOWN), name


@given(hostile_records())
def test_every_record_is_asim_however_odd(record: Record) -> None:
    assert_is_asim(asim(record))


def test_an_asim_row() -> None:
    assert asim(RECORD) == {
        "TimeGenerated": "2024-12-31T09:10:59.204Z",
        "EventCount": 1,
        "EventStartTime": "2024-12-31T09:10:59.204Z",
        "EventEndTime": "2024-12-31T09:10:59.204Z",
        "EventType": "NetworkSession",
        "EventSubType": "End",
        "EventResult": "Success",
        "EventSeverity": "Informational",
        "EventVendor": "Microsoft",
        "EventProduct": "NSGFlow",
        "EventProductVersion": "4",
        "EventSchema": "NetworkSession",
        "EventSchemaVersion": "0.2.7",
        "EventOriginalUid": RECORD["id"],
        "EventOriginalType": "FlowLogFlowEvent",
        "EventOriginalSubType": "end",
        "Dvc": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
        "DvcId": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
        "DvcIdType": "AzureResourceId",
        "DvcScopeId": "c088dc46",
        "DvcAction": "Allow",
        "Src": "10.1.0.4",
        "SrcIpAddr": "10.1.0.4",
        "SrcPortNumber": 56347,
        "SrcMacAddr": "00:0D:3A:35:95:73",
        "SrcBytes": 5045,
        "SrcPackets": 12,
        "Dst": "104.208.16.91",
        "DstIpAddr": "104.208.16.91",
        "DstPortNumber": 443,
        "DstBytes": 5902,
        "DstPackets": 13,
        "IpAddr": "10.1.0.4",
        "NetworkBytes": 10947,
        "NetworkPackets": 25,
        "NetworkDirection": "Outbound",
        "NetworkProtocol": "TCP",
        "NetworkProtocolVersion": "IPv4",
        "NetworkRuleName": "DefaultRule_AllowInternetOutBound",
        "Rule": "DefaultRule_AllowInternetOutBound",
        "AdditionalFields": {
            "acl_id": "/subscriptions/c088dc46/networkSecurityGroups/nsg",
            "direction": "outbound",
            "encryption": "NX",
            "log_time": "2024-12-31T09:11:37.7568150Z",
            "mac": "000D3A359573",
            "protocol_number": 6,
            "resource_id": "/SUBSCRIPTIONS/C088DC46/RESOURCEGROUPS/RG/FLOWLOGS/LOG",
            "target_resource_id": "/subscriptions/c088dc46/resourceGroups/rg/virtualNetworks/vnet",
        },
    }


@pytest.mark.parametrize("number", sorted(KEYWORDS))
def test_a_protocol_is_spelled_by_its_own_name(number: int) -> None:
    name = asim(RECORD | {"protocol": KEYWORDS[number]})["NetworkProtocol"]
    assert name.lower() == KEYWORDS[number]


# --- the checks can fail ---


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("@timestamp", 5),
        ("event.type", "connection"),
        ("event.type", ["creation"]),
        ("event.kind", "flow"),
        ("event.created", "yesterday"),
        ("source.ip", "host"),
        ("source.mac", "00:0D:3A:35:95:73"),
        ("network.bytes", 2**63),
        ("network.iana_number", 6),
        ("network.flows", 1),
    ],
)
def test_what_is_not_ecs_is_found(path: str, value: Any) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        assert_is_ecs(changed(ecs(RECORD), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("activity_id", 9),
        ("activity_name", "Opened"),
        ("type_uid", 400101),
        ("time", "2024-12-31T09:10:59.204Z"),
        ("cloud", None),
        ("metadata.product", {}),
        ("src_endpoint.ip", "host"),
        ("src_endpoint.mac", "000D3A359573"),
        ("connection_info.direction_id", None),
        ("traffic.bytes", 1),
        ("firewall_rule", {}),
        ("encryption", "NX"),
    ],
)
def test_what_is_not_ocsf_is_found(path: str, value: Any) -> None:
    with pytest.raises((AssertionError, KeyError, ValidationError)):
        assert_is_ocsf(changed(ocsf(RECORD), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("EventCount", 2**31),
        ("EventResult", "Failure"),
        ("EventSubType", "Continue"),
        ("Dvc", ""),
        ("DvcAction", "allow"),
        ("SrcIpAddr", "host"),
        ("SrcMacAddr", "000D3A359573"),
        ("SrcBytes", "5"),
        ("NetworkDirection", "Lateral"),
        ("Encryption", "NX"),
    ],
)
def test_what_is_not_asim_is_found(path: str, value: Any) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        assert_is_asim(changed(asim(RECORD), path, value))


def changed(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    holder = event
    *before, last = path.split(".")
    for name in before:
        holder = holder[name]
    holder[last] = value
    if value is None:
        del holder[last]
    return event


# --- what all three say ---


@pytest.mark.parametrize(
    ("action", "state", "ecs_type", "activity", "sub_type"),
    [
        ("allow", "begin", ["connection", "allowed", "start"], 1, "Start"),
        ("allow", "continue", ["connection", "allowed"], 6, None),
        ("allow", "end", ["connection", "allowed", "end"], 2, "End"),
        ("allow", None, ["connection", "allowed"], 6, None),
        ("deny", "deny", ["connection", "denied"], 5, None),
        ("deny", "begin", ["connection", "denied"], 5, None),
        ("deny", None, ["connection", "denied"], 5, None),
    ],
)
def test_action_and_state(
    action: str, state: str | None, ecs_type: list[str], activity: int, sub_type: str | None
) -> None:
    record = RECORD | {"action": action, "state": state}
    assert ecs(record)["event"]["type"] == ecs_type
    event = ocsf(record)
    assert event["activity_id"] == activity
    assert (event["action"], event["disposition"]) == (
        ("Allowed", "Allowed") if action == "allow" else ("Denied", "Blocked")
    )
    row = asim(record)
    assert (row["DvcAction"], row.get("EventSubType")) == (action.capitalize(), sub_type)


@pytest.mark.parametrize(
    ("source", "destination", "direction", "expected"),
    [
        ("8.8.8.8", "10.0.0.4", "inbound", ("inbound", "Inbound", "Inbound")),
        ("10.0.0.4", "8.8.8.8", "outbound", ("outbound", "Outbound", "Outbound")),
        ("10.0.0.4", "192.168.0.4", "outbound", ("internal", "Lateral", "Local")),
        ("172.31.0.1", "100.64.0.1", "inbound", ("internal", "Lateral", "Local")),
        ("fd00::1", "fd00::2", "inbound", ("internal", "Lateral", "Local")),
        ("172.32.0.1", "10.0.0.4", "inbound", ("inbound", "Inbound", "Inbound")),
        ("2001:db8::1", "fd00::2", "inbound", ("inbound", "Inbound", "Inbound")),
    ],
)
def test_a_direction_is_that_of_the_network(
    source: str, destination: str, direction: str, expected: tuple[str, ...]
) -> None:
    record = RECORD | {"src_ip": source, "dst_ip": destination, "direction": direction}
    found = (
        ecs(record)["network"]["direction"],
        ocsf(record)["connection_info"]["direction"],
        asim(record)["NetworkDirection"],
    )
    assert found == expected
    assert ecs(record)["flowlog"]["direction"] == direction


def test_the_interface_is_at_the_end_that_the_direction_says() -> None:
    inbound = RECORD | {"direction": "inbound"}
    assert "mac" not in ecs(inbound)["source"]
    assert ecs(inbound)["destination"]["mac"] == "00-0D-3A-35-95-73"
    assert ocsf(inbound)["dst_endpoint"]["mac"] == "00:0D:3A:35:95:73"
    assert asim(inbound)["DstMacAddr"] == "00:0D:3A:35:95:73"


def test_a_total_that_no_long_holds_is_left_out() -> None:
    record = RECORD | {"bytes_src_to_dst": 2**63 - 1, "bytes_dst_to_src": 1}
    assert "bytes" not in ecs(record)["network"]
    assert "bytes" not in ocsf(record)["traffic"]
    assert "NetworkBytes" not in asim(record)
    assert asim(record)["SrcBytes"] == 2**63 - 1


def test_a_sum_says_how_many_tuples_and_from_when_to_when() -> None:
    later = RECORD | {"time": "2024-12-31T09:11:00.000Z"}
    (made,) = sums_of([RECORD, later])
    event = ecs(made)
    assert event["event"]["start"] == RECORD["time"]
    assert event["event"]["end"] == later["time"]
    assert event["flowlog"]["tuples"] == 2
    activity = ocsf(made)
    assert (activity["count"], activity["end_time"] - activity["start_time"]) == (2, 796)
    row = asim(made)
    assert (row["EventType"], row["EventCount"]) == ("Flow", 2)
    assert (row["EventStartTime"], row["EventEndTime"]) == (RECORD["time"], later["time"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_event_has_the_records_id_and_leaves_the_record_as_it_is(name: str) -> None:
    for record in known_records()[::10]:
        before = dict(record)
        event = SCHEMAS[name](record)
        assert record == before
        assert event is not record
        assert record["id"] in orjson.dumps(event).decode()


def test_flowlog_is_the_record() -> None:
    assert flowlog(RECORD) == RECORD


# --- the page about them ---


def test_the_page_names_every_member_of_every_event() -> None:
    text = (PUBLISHED.parents[1] / "docs/schemas.md").read_text(encoding="utf-8")
    (made,) = sums_of([RECORD])
    inbound = RECORD | {"direction": "inbound"}
    for name, mapped in (("ecs", ecs), ("ocsf", ocsf), ("asim", asim)):
        members = {path for record in (RECORD, made, inbound) for path, _ in leaves(mapped(record))}
        for path in members:
            if path.startswith(("unmapped.", "AdditionalFields.")) or path in CAPTIONS:
                continue
            parts = {path, path.rpartition(".")[0]} - {""}  # `cloud.account` is all in it
            assert any(f"`{part}`" in text for part in parts), (name, path)


CAPTIONS = {
    *("activity_name", "category_name", "class_name", "type_name", "severity", "status", "action"),
    *("disposition", "connection_info.direction"),
}
"""OCSF's names, each with its number."""


# --- as rows of a table ---

PROPERTY = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def test_a_row_joins_names_and_writes_lists_as_json() -> None:
    event = {
        "@timestamp": "t",
        "event": {"type": ["a", "b"], "end": None, "more": {}},
        "network": {"bytes": 5, "is": False},
    }
    assert row_of(event) == {
        "_timestamp": "t",
        "event_type": '["a","b"]',
        "network_bytes": 5,
        "network_is": False,
    }


def test_a_row_never_mixes_two_members_up() -> None:
    with pytest.raises(ValueError, match="two members would be called a_b"):
        row_of({"a": {"b": 1}, "a_b": 2})


@pytest.mark.parametrize("name", SCHEMAS)
@given(entry=hostile_entries(max_tuples=2))
def test_every_event_is_a_row(name: str, entry: Any) -> None:
    records = records_of(entry)
    for record in (*records, *sums_of(records)):
        row = row_of(SCHEMAS[name](record))
        assert len(row) <= 252  # of 255 properties three are the table's own
        for key, value in row.items():
            assert PROPERTY.fullmatch(key)
            assert key not in ("PartitionKey", "RowKey", "Timestamp")
            assert type(value) in (str, int)
