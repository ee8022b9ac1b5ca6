from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import (
    Record,
    hostile_entries,
    hostile_records,
    known_records,
    records_of,
    sums_of,
)

from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.fields import Fields, from_name, lean, restored
from flowlog_core.shape.rule_text import Fault, FaultsError

NSG_ID = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/N"
NSG_BLOB = f"resourceId={NSG_ID}/y=2026/m=01/d=31/h=09/m=00/macAddress=000D3AF87856/PT1H.json"
VNET_ID = "/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTUS_LOG"
VNET_BLOB = f"flowLogResourceID={VNET_ID}/y=2026/m=01/d=31/h=09/m=00/macAddress=000D/PT1H.json"


@pytest.mark.parametrize("text", ["", " all ", "all"])
def test_all_is_the_record(text: str) -> None:
    fields = Fields.parse(text)
    assert fields == Fields.parse(text.upper() if fields.names is None else text)
    for record in known_records():
        assert list(fields.select(record, NSG_BLOB).items()) == list(record.items())


def test_names_are_sent_in_their_order_and_the_id_always() -> None:
    record = known_records()[0]
    chosen = Fields.parse("dst_port, src_ip,encryption").select(record)
    assert list(chosen.items()) == [
        ("id", record["id"]),
        ("dst_port", record["dst_port"]),
        ("src_ip", record["src_ip"]),
        ("encryption", None),
    ]
    assert list(Fields.parse("rule,id").select(record)) == ["rule", "id"]


def test_what_a_sum_has_more_is_chosen_by_name() -> None:
    record = known_records()[0]
    fields = Fields.parse("id,tuples,last_time")
    assert fields.select(record) == {"id": record["id"]}
    (made,) = sums_of([record])
    assert fields.select(made) == {
        "id": record["id"] + ".agg",
        "tuples": 1,
        "last_time": record["time"],
    }


@pytest.mark.parametrize("text", ["all", "lean", "id,time", "time,src_ip,tuples", *FIELDS])
def test_fields_are_written_as_they_are_read(text: str) -> None:
    fields = Fields.parse(text)
    assert Fields.parse(str(fields)) == fields


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("id, src_pi", [(5, "there is no field 'src_pi'. Did you mean src_ip?")]),
        ("id,,rule", [(4, "expected the name of a field")]),
        ("rule,id, rule", [(10, "rule is named twice")]),
        ("lean,rule", [(1, "lean cannot be combined with other names")]),
        (
            "port,x,id,",
            [
                (1, "there is no field 'port'. Did you mean src_port?"),
                (6, "there is no field 'x'."),
                (11, "expected the name of a field"),
            ],
        ),
    ],
)
def test_every_fault_is_named_at_its_place(text: str, faults: list[tuple[int, str]]) -> None:
    with pytest.raises(FaultsError) as raised:
        Fields.parse(text)
    assert raised.value.faults == tuple(Fault(*fault) for fault in faults)


def test_lean_leaves_out_nulls_and_what_the_blob_is_called_after() -> None:
    record = {
        "id": "d.0.12.0",
        "category": "NetworkSecurityGroupFlowEvent",
        "resource_id": NSG_ID,
        "mac": "000D3AF87856",
        "rule": "r",
        "acl_id": None,
    }
    assert Fields.parse("lean").select(record, NSG_BLOB) == {"id": "d.0.12.0", "rule": "r"}
    assert Fields.parse("lean").select(record) == {
        name: value for name, value in record.items() if name != "acl_id"
    }
    # Not what is written otherwise, and a null where the name says something.
    other = record | {"resource_id": NSG_ID.lower(), "mac": None}
    assert lean(other, NSG_BLOB) == {
        "id": "d.0.12.0",
        "resource_id": NSG_ID.lower(),
        "mac": None,
        "rule": "r",
    }


def test_a_name_says_the_category_that_records_have() -> None:
    nsg, vnet = from_name(NSG_BLOB), from_name(VNET_BLOB)
    assert nsg == {
        "category": "NetworkSecurityGroupFlowEvent",
        "resource_id": NSG_ID,
        "mac": "000D3AF87856",
    }
    assert vnet == {"category": "FlowLogFlowEvent", "resource_id": VNET_ID, "mac": "000D"}
    assert from_name("a/b/PT1H.json") == {}
    assert {record["category"] for record in known_records()} == {
        nsg["category"],
        vnet["category"],
    }


BLOBS = st.sampled_from([NSG_BLOB, VNET_BLOB, "", "x"])


@given(hostile_records(), BLOBS, st.booleans(), st.data())
def test_a_lean_record_is_restored_whole(
    record: Record, blob: str, as_named: bool, data: st.DataObject
) -> None:
    if as_named:
        known = from_name(blob)
        same = data.draw(st.sets(st.sampled_from(sorted(known)))) if known else set()
        record = record | {name: known[name] for name in same}
    sent = lean(record, blob)
    assert list(restored(sent, blob).items()) == list(record.items())
    assert sent["id"] == record["id"]
    assert not [name for name in sent if sent[name] is None and name not in from_name(blob)]


@given(hostile_entries(max_tuples=3), BLOBS)
def test_a_lean_sum_is_restored_whole(entry: object, blob: str) -> None:
    for made in sums_of(records_of(entry)):
        assert restored(lean(made, blob), blob) == made
