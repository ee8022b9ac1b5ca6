"""Rules that leave nothing to send are found; what is found is true of every record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import Record
from made_rules import rule_texts

from flowlog_core.config.sends_nothing import sends_nothing
from flowlog_core.shape.keep_drop import KeepDrop


@pytest.mark.parametrize(
    ("keep", "drop", "nothing"),
    [
        ("", "", False),
        ("", "ip=*", True),
        ("", "ip=0.0.0.0/0,::/0", True),
        ("", "ip=0.0.0.0/0", False),
        ("", "src_ip=0.0.0.0-9.255.255.255,10.0.0.0-255.255.255.255,::/0", True),
        ("", "src_ip=0.0.0.0-9.255.255.255,10.0.0.1-255.255.255.255,::/0", False),
        ("", "action=allow; action=deny", True),
        ("", "action=allow; direction=inbound", False),
        ("", "dst_port=0-32767,32768-65535", True),
        ("", "dst_port=0-32767,32769-65535", False),
        ("", "dst_port!=443", False),
        ("", "dst_port!=443; port=443", True),
        ("", "protocol=*", True),
        ("", "rule=*", True),
        ("", "rule=DefaultRule_*", False),
        ("", "rule=UserRule_*; rule!=UserRule_*", True),
        ("", "time>=1970-01-01", True),
        # what some records do not have: a state, a flow's encryption, counters
        ("", "state=begin,continue,end,deny", False),
        ("", "encryption=*", False),
        ("", "bytes>=0", False),
        ("action=deny", "ip=*", True),
        ("protocol=tcp", "protocol!=udp", True),
        ("src_port=80", "src_port<1024", True),
        ("src_port=80,1024", "src_port<1024", False),
        ("action=deny; dst_port=443,8000-8999", "rule=DefaultRule_*", False),
        ("rule=a*", "rule=a", False),
        ("bytes>=10", "bytes>=11", False),
        ("bytes>=10", "bytes>=10", True),
        # not told: where patterns, or a sum and its parts, overlap
        ("rule=a*", "rule=?*", False),
        ("bytes>=0", "bytes_src_to_dst>=0; bytes_dst_to_src>=0", False),
    ],
)
def test_rules_that_leave_nothing_to_send_are_found(keep: str, drop: str, nothing: bool) -> None:
    assert sends_nothing(KeepDrop.parse(keep, drop)) is nothing


def test_too_many_values_are_not_tried() -> None:
    many = "src_port=" + ",".join(map(str, range(1, 2000, 2)))
    assert not sends_nothing(KeepDrop.parse(f"{many}; dst_port=1,3,5,7,9", "ip=*"))


counters = st.none() | st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 9, 10, 400, 600])
texts = st.sampled_from(["", "a", "ab", "DefaultRule_DenyAllInBound", "UserRule_x"])
records = st.fixed_dictionaries(
    {
        "time": st.sampled_from(["2026-01-31T09:30:15.250Z", "1970-01-01T00:00:00.000Z"]),
        "version": st.sampled_from([1, 2, 4]),
        "src_ip": st.ip_addresses().map(str),
        "dst_ip": st.ip_addresses().map(str),
        "src_port": st.integers(0, 65535),
        "dst_port": st.sampled_from([22, 53, 80, 443, 8080]),
        "protocol": st.sampled_from(["tcp", "udp", "icmp", "esp"]),
        "protocol_number": st.integers(0, 255),
        "direction": st.sampled_from(["inbound", "outbound"]),
        "action": st.sampled_from(["allow", "deny"]),
        "state": st.sampled_from([None, "begin", "continue", "end", "deny"]),
        **dict.fromkeys(("id", "log_time", "category", "resource_id", "rule"), texts),
        **dict.fromkeys(("target_resource_id", "mac", "acl_id", "encryption"), st.none() | texts),
        **dict.fromkeys(("packets_src_to_dst", "packets_dst_to_src"), counters),
        **dict.fromkeys(("bytes_src_to_dst", "bytes_dst_to_src"), counters),
    }
)
"""As Azure writes them: docs/schema/flow-record.schema.json says which fields may be null."""


@given(rule_texts, rule_texts, records)
def test_where_a_record_is_sent_rules_are_never_said_to_send_nothing(
    keep: str, drop: str, record: Record
) -> None:
    rules = KeepDrop.parse(keep, drop)
    if rules.keeps(record):
        assert not sends_nothing(rules)


@pytest.mark.parametrize(
    ("keep", "drop", "record"),
    [
        ("rule=a*", "rule!=*b", {"rule": "ab"}),
        ("bytes=1000,bytes_src_to_dst=400", "", {"bytes_src_to_dst": 400, "bytes_dst_to_src": 600}),
        ("rule=?b", "rule=xb", {"rule": "ab"}),
    ],
)
def test_so_it_is_where_conditions_overlap(keep: str, drop: str, record: Record) -> None:
    rules = KeepDrop.parse(keep, drop)
    assert rules.keeps(record)
    assert not sends_nothing(rules)
