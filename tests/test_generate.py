"""flowlog_core.testing.generate: documents as Azure writes them, and the tuples in them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.testing.generate import (
    HEAD,
    TAIL,
    FlowLogGenerator,
    Format,
    GeneratedEntry,
    Interface,
    NameForm,
    document,
    pretty_printed,
    tuples_in,
    with_byte_order_mark,
    with_keys_shuffled,
)

NOON = datetime(2025, 3, 9, 12, 0, 6, 894438, tzinfo=UTC)
SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")

seeds = st.integers(0, 2**32)
formats = st.sampled_from(FORMATS)
times = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants naive bounds


def interface_of(log_format: Format) -> Interface:
    return Interface.vnet() if log_format == "vnet4" else Interface.nsg()


def groups_in(value: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(aclID or mac, rule, tuples) of an entry, by the shape its format has and no other."""
    if value["category"] == "NetworkSecurityGroupFlowEvent":
        return [
            (inner["mac"], outer["rule"], inner["flowTuples"])
            for outer in value["properties"]["flows"]
            for inner in outer["flows"]
        ]
    return [
        (outer["aclID"], inner["rule"], inner["flowTuples"])
        for outer in value["flowRecords"]["flows"]
        for inner in outer["flowGroups"]
    ]


def many(log_format: Format, seed: int = 1, tuples: int = 3000) -> GeneratedEntry:
    return FlowLogGenerator(seed).entry(log_format, interface_of(log_format), NOON, tuples)


@given(seeds, formats, times, st.integers(0, 60))
def test_an_entry_is_compact_json_holding_just_the_tuples_it_tells_of(
    seed: int, log_format: Format, time: datetime, count: int
) -> None:
    entry = FlowLogGenerator(seed).entry(log_format, interface_of(log_format), time, count)
    value = json.loads(entry.raw)
    assert json.dumps(value, separators=(",", ":")).encode() == entry.raw
    assert tuple(text for _, _, group in groups_in(value) for text in group) == entry.tuples
    assert tuples_in(document([entry])) == list(entry.tuples)
    assert len(entry.tuples) == count


@given(seeds, formats, st.lists(st.integers(0, 20), max_size=5))
def test_a_document_holds_the_entries_in_order(
    seed: int, log_format: Format, counts: list[int]
) -> None:
    generator = FlowLogGenerator(seed)
    interface = interface_of(log_format)
    entries = [generator.entry(log_format, interface, NOON, count) for count in counts]
    data = document(entries)
    assert json.loads(data) == {"records": [json.loads(entry.raw) for entry in entries]}
    assert tuples_in(data) == [text for entry in entries for text in entry.tuples]


@given(seeds, formats)
def test_the_same_seed_gives_the_same_bytes(seed: int, log_format: Format) -> None:
    def run() -> list[tuple[GeneratedEntry, ...]]:
        minutes = FlowLogGenerator(seed).minutes(log_format, interface_of(log_format), NOON)
        return list(islice(minutes, 5))

    assert run() == run()


@given(st.sets(seeds, min_size=2, max_size=5), formats)
def test_different_seeds_give_different_bytes(chosen: set[int], log_format: Format) -> None:
    entries = {many(log_format, seed, 20).raw for seed in chosen}
    assert len(entries) == len(chosen)


@given(seeds, formats, times)
def test_tuples_are_of_the_minute_before_the_entry_and_ascend_within_a_group(
    seed: int, log_format: Format, time: datetime
) -> None:
    entry = FlowLogGenerator(seed).entry(log_format, interface_of(log_format), time, 40)
    unit = 0.001 if log_format == "vnet4" else 1
    for _, _, group in groups_in(json.loads(entry.raw)):
        epochs = [int(text.split(",")[0]) for text in group]
        assert epochs == sorted(epochs)
        for epoch in epochs:
            assert time.timestamp() - 61 <= epoch * unit <= time.timestamp()


def test_an_entry_writes_its_members_in_azures_order() -> None:
    nsg = [
        "time", "systemId", "macAddress", "category", "resourceId", "operationName", "properties",
    ]  # fmt: skip  # one list, read across
    vnet = [
        "time", "flowLogGUID", "macAddress", "category", "flowLogResourceID", "targetResourceID",
        "flowLogVersion", "operationName", "flowRecords",
    ]  # fmt: skip  # one list, read across
    members = {name: list(json.loads(many(name, tuples=1).raw)) for name in FORMATS}
    nsg1 = [name for name in nsg if name != "macAddress"]
    assert members == {"nsg1": nsg1, "nsg2": nsg, "vnet4": vnet}


def test_an_entrys_time_is_utc_with_seven_decimals() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    entry = FlowLogGenerator(1).entry("nsg2", Interface.nsg(), elsewhere)
    assert re.fullmatch(r"2025-03-09T12:00:06\.894438\dZ", json.loads(entry.raw)["time"])


FIELDS = {
    "nsg1": r"\d{10},IP,IP,\d+,\d+,[TU],[IO],[AD]",
    "nsg2": r"\d{10},IP,IP,\d+,\d+,[TU],[IO],([AD],B,,,,|A,[CE],\d+,\d+,\d+,\d+)",
    "vnet4": r"\d{13},IP,IP,\d+,\d+,\d+,[IO],([BD],ENC,(,,,|0,0,0,0)|[CE],ENC,\d+,\d+,\d+,\d+)",
}


@pytest.mark.parametrize("log_format", FORMATS)
def test_every_tuple_has_the_fields_of_its_format(log_format: Format) -> None:
    text = FIELDS[log_format].replace("IP", "[0-9a-f.:]+").replace("ENC", r"N?X\w*")
    pattern = re.compile(text)
    tuples = many(log_format).tuples
    assert [text for text in tuples if not pattern.fullmatch(text)] == []
    for text in tuples[:200]:
        source, destination = text.split(",")[1:3]
        assert ip_address(source).version == ip_address(destination).version


@pytest.mark.parametrize("log_format", FORMATS)
def test_both_ip_versions_directions_and_genuine_repetitions_occur(log_format: Format) -> None:
    tuples = many(log_format).tuples
    fields = [text.split(",") for text in tuples]
    versions = {isinstance(ip_address(field[1]), IPv6Address) for field in fields}
    assert versions == {True, False}
    assert {field[6] for field in fields} == {"I", "O"}
    assert len(set(tuples)) < len(tuples)


def shape(counters: list[str]) -> str:
    """The counters with every number but zero as n."""
    return ",".join(re.sub(r"[1-9]\d*", "n", counter) for counter in counters)


def test_v2_counters_are_empty_at_the_beginning_and_take_each_form_at_the_end() -> None:
    fields = [text.split(",") for text in many("nsg2").tuples]
    assert {(field[7], field[8], shape(field[9:])) for field in fields} == {
        ("D", "B", ",,,"),
        ("A", "B", ",,,"),
        ("A", "C", "n,n,n,n"),
        ("A", "E", "n,n,n,n"),
        ("A", "E", "n,n,0,0"),
        ("A", "E", "0,0,0,0"),
    }


def test_v4_counters_are_zero_or_empty_at_the_beginning_and_take_each_form_at_the_end() -> None:
    fields = [text.split(",") for text in many("vnet4").tuples]
    assert {(field[7], shape(field[9:])) for field in fields} == {
        *((state, counters) for state in "BD" for counters in (",,,", "0,0,0,0")),
        ("C", "n,n,n,n"),
        *(("E", counters) for counters in ("n,n,n,n", "n,n,0,0", "0,0,0,0")),
    }


def test_v4_has_protocols_encryption_and_acl_ids_of_every_form() -> None:
    entry = many("vnet4")
    fields = [text.split(",") for text in entry.tuples]
    assert {field[5] for field in fields} == {"1", "6", "17", "50", "58"}
    assert {field[8] for field in fields} == {
        "X", "NX", "NX_HW_NOT_SUPPORTED", "NX_SW_NOT_READY", "NX_NOT_ACCEPTED",
        "NX_NOT_SUPPORTED", "NX_LOCAL_DST", "NX_FALLBACK",
    }  # fmt: skip  # one set, read across
    interface = interface_of("vnet4")
    groups = groups_in(json.loads(entry.raw))
    assert {acl_id for acl_id, _, _ in groups} == {
        interface.acl_resource_id,
        interface.guid,
        "00000000-0000-0000-0000-000000000000",
        "unspecified",
    }
    rules = {rule: acl_id for acl_id, rule, _ in groups}
    assert rules["PlatformRule"] == "00000000-0000-0000-0000-000000000000"
    assert max(map(len, rules)) == 86


@given(seeds, formats)
def test_minutes_are_appends_of_one_time_each_a_minute_after_the_other(
    seed: int, log_format: Format
) -> None:
    minutes = FlowLogGenerator(seed).minutes(log_format, interface_of(log_format), NOON, tuples=3)
    for number, batch in enumerate(islice(minutes, 4)):
        expected = f"{NOON + timedelta(minutes=number):%Y-%m-%dT%H:%M}"
        assert {json.loads(entry.raw)["time"][:16] for entry in batch} == {expected}
        assert all(1 <= len(entry.tuples) <= 3 for entry in batch)


def test_minutes_are_now_and_then_split_and_an_entry_is_now_and_then_repeated() -> None:
    batches = list(islice(FlowLogGenerator(1).minutes("nsg1", Interface.nsg(), NOON), 200))
    distinct = [(len(batch), len({entry.raw for entry in batch})) for batch in batches]
    assert {(1, 1), (2, 2), (2, 1)} <= set(distinct)


@given(seeds, formats, st.integers(14, 60_000), st.integers(0, 30))
def test_a_stream_is_one_document_of_the_size_asked_for(
    seed: int, log_format: Format, total_bytes: int, tuples: int
) -> None:
    pieces = list(
        FlowLogGenerator(seed).stream(
            log_format, interface_of(log_format), NOON, total_bytes, tuples=tuples, templates=3
        )
    )
    data = b"".join(pieces)
    records = json.loads(data)["records"]
    assert (pieces[0], pieces[-1]) == (HEAD, TAIL)
    assert len(records) == len(pieces) - 2
    assert len(tuples_in(data)) == tuples * len(records)
    assert total_bytes <= len(data) < total_bytes + max(map(len, pieces))


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_streams_entries_differ_in_time_and_keep_to_the_hour(log_format: Format) -> None:
    stream = FlowLogGenerator(1).stream(
        log_format, interface_of(log_format), NOON, 200_000, tuples=20, templates=1
    )
    records = json.loads(b"".join(stream))["records"]
    logged = [record["time"] for record in records]
    assert logged == sorted(logged)
    assert len(set(logged)) == 60
    assert {time[:13] for time in logged} == {"2025-03-09T12"}
    unit = 0.001 if log_format == "vnet4" else 1
    for record in records:
        end = datetime.fromisoformat(record["time"]).timestamp()
        for _, _, group in groups_in(record):
            assert all(end - 61 <= int(text.split(",")[0]) * unit <= end for text in group)


@given(seeds, formats)
def test_the_variants_of_a_document_say_the_same(seed: int, log_format: Format) -> None:
    generator = FlowLogGenerator(seed)
    entries = [generator.entry(log_format, interface_of(log_format), NOON) for _ in range(2)]
    plain = document(entries)
    variants = [
        pretty_printed(plain),
        with_byte_order_mark(plain),
        with_keys_shuffled(plain, seed),
    ]
    for variant in variants:
        assert variant != plain
        assert json.loads(variant) == json.loads(plain)
        assert tuples_in(variant) == tuples_in(plain)


def test_a_time_without_a_zone_and_a_format_of_the_other_kind_are_refused() -> None:
    generator = FlowLogGenerator(1)
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="has no time zone"):
        generator.entry("nsg1", Interface.nsg(), naive)
    with pytest.raises(ValueError, match="has no time zone"):
        Interface.nsg().blob_name(naive)
    with pytest.raises(ValueError, match="nsg2 does not belong in a flow log of kind vnet"):
        generator.entry("nsg2", Interface.vnet(), NOON)
    with pytest.raises(ValueError, match="vnet4 does not belong in a flow log of kind nsg"):
        generator.entry("vnet4", Interface.nsg(), NOON)


SUBSCRIPTION = "00000000-0000-0000-0000-000000000007"
END = "/y=2025/m=03/d=09/h=12/m=00/macAddress=002248000003/PT1H.json"


def test_an_nsg_blob_is_named_after_its_group_hour_and_mac() -> None:
    interface = Interface.nsg(3, subscription=7)
    assert interface.container == "insights-logs-networksecuritygroupflowevent"
    assert interface.blob_name(NOON) == (
        f"resourceId=/SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/MADE-UP-RG/PROVIDERS"
        f"/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB-3-NSG{END}"
    )


WATCHER = f"{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE"


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("watcher", f"{WATCHER}_WEB-3-VNET-MADE-UP-RG-FLOWLOG"),
        ("watcher-flowlogs", f"{WATCHER}_web-3-vnet-made-up-rg-FLOWLOGS"),
        (
            "resource-id",
            f"SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS"
            "/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTEUROPE"
            "/FLOWLOGS/WEB-3-VNET-MADE-UP-RG-FLOWLOG",
        ),
    ],
)
def test_a_vnet_blob_is_named_in_one_of_three_forms(form: NameForm, path: str) -> None:
    interface = Interface.vnet(3, form, subscription=7)
    assert interface.container == "insights-logs-flowlogflowevent"
    assert interface.blob_name(NOON) == f"flowLogResourceID=/{path}{END}"


def kinds(value: Any) -> Any:
    """The shape of a JSON value: member names in order, and the types of what they hold."""
    if isinstance(value, dict):
        return {"members": [(name, kinds(member)) for name, member in value.items()]}
    if isinstance(value, list):
        return {"elements": kinds(value[0])}
    return type(value).__name__


@pytest.mark.parametrize(
    ("name", "log_format"),
    [
        ("nsg-v2.json", "nsg2"),
        ("vnet-v4-networkinterface.json", "vnet4"),
        ("vnet-v4-subnet.json", "vnet4"),
    ],
)
def test_entries_have_the_shape_of_the_captures(name: str, log_format: Format) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("the captures are not here: no folder ../shared/samples")
    captured = json.loads((SAMPLES / name).read_bytes())["records"][0]
    assert kinds(json.loads(many(log_format, tuples=5).raw)) == kinds(captured)
