from __future__ import annotations

from flowlog_core.parsing.record import FIELDS


def test_the_fields_are_those_of_the_documented_record() -> None:
    assert FIELDS == (
        *("id", "time", "log_time", "category", "version"),
        *("resource_id", "target_resource_id", "mac", "rule", "acl_id"),
        *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "protocol_number"),
        *("direction", "action", "state", "encryption"),
        *("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src"),
    )
