"""docs/schema: the JSON Schemas of records and messages, held against what is sent."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
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
from referencing import Registry, Resource
from support import ROOT

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.parsing import ParsedEntry
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.record import FIELDS
from flowlog_core.schemas import SCHEMAS as EVENTS
from flowlog_core.schemas import VERSIONS
from flowlog_core.shape.aggregate import AGGREGATE_FIELDS
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import Encoding, messages_of

SCHEMAS = {
    name: json.loads((ROOT / "docs/schema" / name).read_bytes())
    for name in ("flow-record.schema.json", "message.schema.json")
}
# As a reader finds them who has both in one folder.
REGISTRY: Registry[Any] = Registry().with_resources(
    (f"file:///schema/{name}", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
FORMATS = FormatChecker(["ipv4", "ipv6"])


def validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"file:///schema/{reference}"}, registry=REGISTRY, format_checker=FORMATS
    )


RECORD = validator("flow-record.schema.json")
CHOSEN = validator("flow-record.schema.json#/$defs/chosen")
MESSAGE = validator("message.schema.json")


@pytest.mark.parametrize("name", SCHEMAS)
def test_they_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_the_schema_names_the_fields_in_their_order() -> None:
    schema = SCHEMAS["flow-record.schema.json"]
    assert (*schema["$defs"]["fields"]["properties"],) == (*FIELDS, *AGGREGATE_FIELDS)
    assert (*schema["required"],) == FIELDS


def test_every_record_of_captures_and_of_made_up_logs_is_valid() -> None:
    for record in known_records():
        RECORD.validate(record)


@given(hostile_records())
def test_every_record_is_valid_however_odd(record: Record) -> None:
    RECORD.validate(record)


@given(hostile_entries(max_tuples=3))
def test_every_sum_is_valid(entry: Any) -> None:
    for made in sums_of(records_of(entry)):
        RECORD.validate(made)


@given(hostile_records(), st.permutations(FIELDS), st.integers(0, len(FIELDS)))
def test_every_choice_of_fields_is_valid(record: Record, names: list[str], count: int) -> None:
    for text in ("lean", ",".join(names[:count])):
        CHOSEN.validate(Fields.parse(text).select(record))


WRONG: dict[str, list[Any]] = {
    "id": [None, "x", "0123456789abcdef01234567.0.12", "0123456789abcdef01234567.0.12.0.sum"],
    "time": [None, "2024-12-31T09:10:59Z", "2024-12-31 09:10:59.000Z", 5],
    "log_time": [5],
    "category": [None, "FlowEvent"],
    "version": [None, 3, "4", 4.5, 1],
    "resource_id": [5],
    "target_resource_id": [5],
    "mac": [5],
    "rule": [["r"]],
    "acl_id": [{}],
    "src_ip": [None, "10.0.0.256", "host"],
    "src_port": [None, -1, 65536, "443"],
    "dst_ip": [None, "fe80::1%eth0"],
    "dst_port": [None, 1.5],
    "protocol": [None, "TCP", ""],
    "protocol_number": [None, 256, "6"],
    "direction": [None, "in"],
    "action": [None, "drop", "allow"],
    "state": ["closed"],
    "encryption": ["", 5],
    "packets_src_to_dst": [-1, 2**63, "1"],
    "bytes_src_to_dst": [-1, 1.5],
    "packets_dst_to_src": [2**63],
    "bytes_dst_to_src": [-1],
    "last_time": [None, "2024-12-31T09:10:59.000Z"],
    "tuples": [0, 1],
    "more": [None, "x"],
}
DENIED = {
    "category": "FlowLogFlowEvent",
    "flowLogVersion": 4,
    "flowRecords": {
        "flows": [
            {
                "flowGroups": [
                    {"flowTuples": ["1735636259204,10.1.0.4,20.0.0.1,5,4,6,O,D,NX,0,0,0,0"]}
                ]
            }
        ]
    },
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]]
)
def test_a_wrong_field_is_not_valid(name: str, value: Any) -> None:
    (record,) = records_of(DENIED)
    RECORD.validate(record)
    assert not RECORD.is_valid(record | {name: value})


def test_something_is_wrong_with_each_field() -> None:
    assert set(WRONG) == {*FIELDS, *AGGREGATE_FIELDS, "more"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_whole_record_lacks_nothing(name: str) -> None:
    (record,) = records_of(DENIED)
    del record[name]
    assert not RECORD.is_valid(record)
    assert CHOSEN.is_valid(record) is (name != "id")


NAME = "a/b%d/PT1H.json"
LOG = LogBlob("vnet", "/r", datetime(2026, 1, 1, tzinfo=UTC), "m", NAME)
POSITION = Position(BlobRef("account", "container", LOG), generation=1, offset=12)


def messages(
    entry: Any, encoding: Encoding = "json", limit: int = 65536, shaper: Shaper | None = None
) -> list[Any]:
    """What a consumer finds in an entry's messages, by the plainest means."""
    shaper = shaper or Shaper()
    made = normalize(entry, f"{POSITION.entry_id}.", shaper.drops)
    shaped = shaper(POSITION, ParsedEntry(12, 99, b"", *made))
    packed, too_large = messages_of(shaped.sent, encoding, limit)
    assert not too_large
    texts = [base64.b64decode(message.text) for message in packed]
    if encoding == "gzip":
        texts = [gzip.decompress(base64.b64decode(text)) for text in texts]
    return [json.loads(text) for text in texts]


@pytest.mark.parametrize("encoding", ["json", "gzip"])
def test_every_message_is_valid(encoding: Encoding) -> None:
    last_first_tuple = 0
    for entry in (*sample_entries(), *generated_entries()):
        for message in messages(entry, encoding, 2048):
            MESSAGE.validate(message)
            last_first_tuple = max(last_first_tuple, message["source"]["first_tuple"])
    assert last_first_tuple > 1


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("form", ["all", "lean", "time,src_ip", "rule,id", "ecs", "ocsf", "asim"])
def test_a_message_of_every_form_is_valid(form: str, sums: bool) -> None:
    rules = KeepDrop.parse("action=deny;dst_port=443", "state=end")
    if form in EVENTS:
        shaper = Shaper(rules, aggregates=sums, schema=form)
    else:
        shaper = Shaper(rules, Fields.parse(form), aggregates=sums)
    of_form = 0
    for entry in (*sample_entries(), *generated_entries()):
        for message in messages(entry, "json", 8192, shaper):
            MESSAGE.validate(message)
            schema = f"{form}/{VERSIONS[form]}" if form in EVENTS else "flowlog/1"
            assert message["schema"] == schema
            assert message.get("fields") == FIELDS_OF_FORM.get(form)
            of_form += 1
            if form in EVENTS:
                assert not MESSAGE.is_valid(message | {"schema": "flowlog/1"})
                assert not MESSAGE.is_valid(message | {"fields": "lean"})
            elif "," in form:  # who does not know of the fields takes no part for a whole record
                assert not MESSAGE.is_valid(
                    {name: value for name, value in message.items() if name != "fields"}
                )
    assert of_form > 5


FIELDS_OF_FORM = {
    "lean": "lean",
    "time,src_ip": ["id", "time", "src_ip"],
    "rule,id": ["rule", "id"],
}


@pytest.mark.parametrize("bad_indexes", [(), (1,)])
def test_a_message_with_a_gap_is_valid(bad_indexes: tuple[int, ...]) -> None:
    records = records_of(DENIED, f"{POSITION.entry_id}.") * 2
    lines = [orjson.dumps(record).decode() for record in records]
    (made,), _ = messages_of(EntryRecords(POSITION, lines, bad_indexes))
    message = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(made.text))))
    MESSAGE.validate(message)
    assert message["id"].count(".") == (5 if bad_indexes else 4)
    assert not MESSAGE.is_valid(message | {"id": f"{POSITION.entry_id}.p0"})


@pytest.mark.parametrize("name", ["schema", "id", "source", "count", "records"])
def test_a_message_lacks_nothing(name: str) -> None:
    (message,) = messages(DENIED)
    assert MESSAGE.is_valid(message)
    without = {key: value for key, value in message.items() if key != name}
    assert not MESSAGE.is_valid(without)
    assert not MESSAGE.is_valid(message | {name: "x"})
    assert not MESSAGE.is_valid(message | {"records": [{"id": "x"}]})
    assert not MESSAGE.is_valid(message | {"more": 1})
