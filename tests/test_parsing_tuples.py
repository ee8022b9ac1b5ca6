from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowlog_core.parsing import BadTuple, time_of
from flowlog_core.parsing.entry import Normalized, UnreadableEntry, normalize
from flowlog_core.parsing.record import FIELDS
from flowlog_core.parsing.tuples import BadField, Memo, json_of
from flowlog_core.testing.reference import Bad, Unreadable, reference

Json = dict[str, Any]

PREFIX = "0123456789abcdef01234567.0.12."
NSG_ID = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/N"
LOG_ID = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/NETWORKWATCHERRG/FLOWLOGS/L"


def nsg(version: object, *tuples: object, **entry: object) -> Json:
    group = {"mac": "000D3AF87856", "flowTuples": list(tuples)}
    flows = [{"rule": "UserRule_a", "flows": [group]}]
    return {
        "time": "2018-11-13T12:00:35.3899262Z",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": NSG_ID,
        "properties": {"Version": version, "flows": flows},
        **entry,
    }


def vnet(*tuples: object, **entry: object) -> Json:
    groups = [{"rule": "PlatformRule", "flowTuples": list(tuples)}]
    return {
        "time": "2024-12-31T09:11:37.7568150Z",
        "macAddress": "000D3A359573",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": LOG_ID,
        "targetResourceID": "/subscriptions/s/subnets/default",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "unspecified", "flowGroups": groups}]},
        **entry,
    }


def with_version(version: int, *tuples: object) -> Json:
    return vnet(*tuples) if version == 4 else nsg(version, *tuples)


GOOD = {
    1: "1525186745,192.168.1.4,10.0.0.4,55960,3389,T,I,A",
    2: "1542110379,10.5.16.4,13.67.143.115,44931,443,T,O,A,C,30,16978,24,14008",
    4: "1735636259204,10.1.0.4,104.208.16.91,56347,443,6,O,E,NX,12,5045,12,5902",
}


def assert_is_reference(entry: object) -> Normalized | None:
    """Hold `normalize` against the reference; what it gave, or None for an unreadable entry."""
    try:
        expected = reference(entry, PREFIX)
    except Unreadable:
        with pytest.raises(UnreadableEntry) as raised:
            normalize(entry, PREFIX)
        assert str(raised.value)
        return None
    result = normalize(entry, PREFIX)
    good = [record for record in expected if not isinstance(record, Bad)]
    ordered = [{name: record[name] for name in FIELDS} for record in good]
    assert [line.encode() for line in result.lines] == [orjson.dumps(one) for one in ordered]
    bad = {index: one for index, one in enumerate(expected) if isinstance(one, Bad)}
    assert [one.index for one in result.bad] == list(bad)
    for one in result.bad:
        value = bad[one.index].value
        if isinstance(value, str):
            assert one.raw == value
        elif value == value:  # noqa: PLR0124 - NaN, which JSON cannot hold
            assert_is_json_of(one.raw, value)
        assert any(word in one.reason for word in bad[one.index].fields), one
    last_time = time_of(result.last) if result.last else None
    assert last_time == (datetime.fromisoformat(good[-1]["time"]) if good else None)
    return result


def assert_is_json_of(raw: str, value: object) -> None:
    try:
        expected = orjson.dumps(value).decode()
    except TypeError:
        assert raw != ""
    else:
        assert raw == expected


# --- golden records ---


def test_the_version_1_example_of_the_tutorial() -> None:
    assert [orjson.loads(line) for line in normalize(nsg(1, GOOD[1]), PREFIX).lines] == [
        {
            "id": PREFIX + "0",
            "time": "2018-05-01T14:59:05.000Z",
            "log_time": "2018-11-13T12:00:35.3899262Z",
            "category": "NetworkSecurityGroupFlowEvent",
            "version": 1,
            "resource_id": NSG_ID,
            "target_resource_id": None,
            "mac": "000D3AF87856",
            "rule": "UserRule_a",
            "acl_id": None,
            "src_ip": "192.168.1.4",
            "src_port": 55960,
            "dst_ip": "10.0.0.4",
            "dst_port": 3389,
            "protocol": "tcp",
            "protocol_number": 6,
            "direction": "inbound",
            "action": "allow",
            "state": None,
            "encryption": None,
            "packets_src_to_dst": None,
            "bytes_src_to_dst": None,
            "packets_dst_to_src": None,
            "bytes_dst_to_src": None,
        }
    ]


def test_the_version_2_example_of_the_tutorial() -> None:
    entry = nsg(2, "1542110402,94.102.49.190,10.5.16.4,28746,443,U,I,D,B,,,,")
    assert normalize(entry, PREFIX)[:3] == (
        [
            f'{{"id":"{PREFIX}0","time":"2018-11-13T12:00:02.000Z",'
            '"log_time":"2018-11-13T12:00:35.3899262Z",'
            f'"category":"NetworkSecurityGroupFlowEvent","version":2,"resource_id":"{NSG_ID}",'
            '"target_resource_id":null,"mac":"000D3AF87856","rule":"UserRule_a","acl_id":null,'
            '"src_ip":"94.102.49.190","src_port":28746,"dst_ip":"10.5.16.4","dst_port":443,'
            '"protocol":"udp","protocol_number":17,"direction":"inbound","action":"deny",'
            '"state":"begin","encryption":null,"packets_src_to_dst":null,"bytes_src_to_dst":null,'
            '"packets_dst_to_src":null,"bytes_dst_to_src":null}'
        ],
        [],
        [],
    )


def test_a_vnet_tuple() -> None:
    assert normalize(vnet(GOOD[4]), PREFIX)[:3] == (
        [
            f'{{"id":"{PREFIX}0","time":"2024-12-31T09:10:59.204Z",'
            '"log_time":"2024-12-31T09:11:37.7568150Z",'
            f'"category":"FlowLogFlowEvent","version":4,"resource_id":"{LOG_ID}",'
            '"target_resource_id":"/subscriptions/s/subnets/default","mac":"000D3A359573",'
            '"rule":"PlatformRule","acl_id":"unspecified",'
            '"src_ip":"10.1.0.4","src_port":56347,"dst_ip":"104.208.16.91","dst_port":443,'
            '"protocol":"tcp","protocol_number":6,"direction":"outbound","action":"allow",'
            '"state":"end","encryption":"NX","packets_src_to_dst":12,"bytes_src_to_dst":5045,'
            '"packets_dst_to_src":12,"bytes_dst_to_src":5902}'
        ],
        [],
        [],
    )


# --- single rules ---


def changed(text: str, at: int, field: str) -> str:
    fields = text.split(",")
    fields[at] = field
    return ",".join(fields)


def one_record(entry: Json) -> Json:
    result = normalize(entry, PREFIX)
    assert result.bad == []
    (line,) = result.lines
    record: Json = orjson.loads(line)
    return record


NUMBERS = [f"{number:0{width}}" for width in range(1, 5) for number in range(10**width)]


def records_of(entry: Json) -> Sequence[str]:
    result = assert_is_reference(entry)
    assert result is not None
    return result.lines


@pytest.mark.parametrize("octet", range(4))
def test_every_way_to_write_an_octet_is_judged_as_the_reference_does(octet: int) -> None:
    octets = ["1", "22", "255", "0"]
    addresses = []
    for number in [*NUMBERS, "", ".", "1.2", " 1", "1 ", "+1", "1:", "/", "2x5", "25\x00"]:
        octets[octet] = number
        addresses.append(".".join(octets))
    tuples = [changed(GOOD[1], 1 + octet % 2, address) for address in addresses]
    half = len(tuples) // 2  # in one entry there would be more bad tuples than it may have
    found = [records_of(nsg(1, *part)) for part in (tuples[:half], tuples[half:])]
    assert sum(map(len, found)) == 256


_ADDRESS_LIKE = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.text("0123456789abcdefABCDEFg:.%/ ", max_size=46),
    st.lists(
        st.sampled_from(
            ["", "0", "00", "1", "01", "255", "256", "ffff", "10000", "1.2.3.4", "1.2"]
        ),
        max_size=10,
    ).flatmap(lambda parts: st.sampled_from([":", "."]).map(lambda joint: joint.join(parts))),
)


@given(_ADDRESS_LIKE)
@example("::")
@example("1::")
@example("::1.2.3.4")
@example("::01.2.3.4")
@example("1.2.3.4::")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1:2:3:4:5:6:7:8::")
@example("1:2:3:4:5:6:1.2.3.4")
@example("1:2:3:4:5:6:7:1.2.3.4")
@example("0000:0000:0000:0000:0000:ffff:255.255.255.255")
@example("fe80::1%eth0")
@example("1.2.3.4\n")
@example("1.2.3")
@example("0x1.2.3.4")
@example("１.2.3.4")
def test_an_address_is_what_ipaddress_takes_for_one_without_a_scope(text: str) -> None:
    """Whatever the C library of the machine accepts."""
    try:
        ip_address(text)
        is_address = "%" not in text
    except ValueError:
        is_address = False
    result = normalize(nsg(1, changed(GOOD[1], 1, text)), PREFIX)
    assert bool(result.lines) == is_address


def test_every_way_to_write_a_port_is_judged_as_the_reference_does() -> None:
    more = [*range(10_000, 70_000, 7), *range(65_400, 65_600)]
    odd = ["099999", "655350", "0" * 8, "9" * 8, "9" * 9, "", "-1", "1/", "1:"]
    numbers = [*NUMBERS, *map(str, more), *odd]
    good = 10_000 + sum(number < 65_536 for number in more)
    assert len(records_of(nsg(1, *[changed(GOOD[1], 4, number) for number in numbers]))) == good
    every = [changed(GOOD[1], 4, str(number)) for number in range(65_536)]
    assert len(normalize(nsg(1, *every), PREFIX).lines) == 65_536


@pytest.mark.parametrize("at", [0, 9, 12])
def test_numbers_of_every_length_are_judged_as_the_reference_does(at: int) -> None:
    numbers = [digit * length for digit in "0189" for length in range(25)]
    numbers += [
        f"{near + by}" for near in (10**11, 253_402_300_800_000, 2**63) for by in (-1, 0, 1)
    ]
    numbers += [f"1{'0' * zeroes}" for zeroes in range(22)]
    numbers += [f"{'1' * before}{odd}{'1' * 4}" for before in range(20) for odd in "/:.-\x00"]
    assert_is_reference(nsg(2, *[changed(GOOD[2], at, one) for one in numbers]))


@pytest.mark.parametrize("version", GOOD)
@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("0", "1970-01-01T00:00:00.000Z"),
        ("99999999999", "5138-11-16T09:46:39.000Z"),
        ("100000000000", "1973-03-03T09:46:40.000Z"),
        ("1735636259007", "2024-12-31T09:10:59.007Z"),
        ("253402300799999", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_time_is_seconds_or_milliseconds_by_its_magnitude(
    version: int, written: str, time: str
) -> None:
    entry = with_version(version, changed(GOOD[version], 0, written))
    assert one_record(entry)["time"] == time


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "hopopt"), (1, "icmp"), (50, "esp"), (58, "ipv6-icmp"), (132, "sctp"), (253, "253")],
)
def test_a_vnet_protocol_is_named_where_iana_names_it(number: int, name: str) -> None:
    record = one_record(vnet(changed(GOOD[4], 5, str(number))))
    assert (record["protocol"], record["protocol_number"]) == (name, number)


@pytest.mark.parametrize(
    ("letter", "action", "state"),
    [
        ("B", "allow", "begin"),
        ("C", "allow", "continue"),
        ("E", "allow", "end"),
        ("D", "deny", "deny"),
    ],
)
def test_a_vnet_state_is_the_decision_too(letter: str, action: str, state: str) -> None:
    record = one_record(vnet(changed(GOOD[4], 7, letter)))
    assert (record["action"], record["state"]) == (action, state)


@pytest.mark.parametrize("written", ["NX_FALLBACK", "not yet known", 'ü"\\\n\x00', "x" * 100, ""])
def test_encryption_passes_as_written(written: str) -> None:
    assert one_record(vnet(changed(GOOD[4], 8, written)))["encryption"] == (written or None)


def test_each_counter_may_be_empty_on_its_own() -> None:
    record = one_record(nsg(2, "1,::1,::2,0,65535,T,O,A,E,,0,9223372036854775807,"))
    assert [record[name] for name in FIELDS[-4:]] == [None, 0, 2**63 - 1, None]


def test_nsg_takes_the_mac_of_the_flow_before_that_of_the_entry() -> None:
    entry = nsg(1, GOOD[1], macAddress="ENTRY")
    assert one_record(entry)["mac"] == "000D3AF87856"
    del entry["properties"]["flows"][0]["flows"][0]["mac"]
    assert one_record(entry)["mac"] == "ENTRY"
    del entry["macAddress"]
    assert one_record(entry)["mac"] is None


@pytest.mark.parametrize(
    ("version", "at", "written", "reason"),
    [
        (2, 0, "1e9", "time '1e9' is not in Unix seconds or milliseconds up to year 9999"),
        (4, 0, "253402300800000", "time '253402300800000' is not in Unix seconds or milli"),
        (4, 0, "17356362590４4", "time '17356362590４4' is not in Unix seconds or milli"),
        (2, 1, "10.0.0.256", "source address '10.0.0.256' is not an IP address"),
        (4, 2, "fe80::1%eth0", "destination address 'fe80::1%eth0' is not an IP address"),
        (1, 3, "65536", "source port '65536' is not a decimal number from 0 to 65535"),
        (1, 4, "", "destination port '' is not a decimal number from 0 to 65535"),
        (2, 5, "6", "protocol '6' is not T or U"),
        (4, 5, "256", "protocol '256' is not a decimal number from 0 to 255"),
        (2, 6, "i", "direction 'i' is not I or O"),
        (2, 7, "B", "decision 'B' is not A or D"),
        (2, 8, "D", "state 'D' is not B or C or E"),
        (4, 7, "A", "state 'A' is not B or C or E or D"),
        (2, 9, "+1", "packets from source '+1' is not a decimal number from 0 to "),
        (2, 10, "01", "bytes from source '01' is not a decimal number from 0 to "),
        (2, 11, "9223372036854775808", "packets from destination '9223372036854775808' is not"),
        (4, 12, "9" * 90, "bytes from destination '9999"),
    ],
)
def test_a_bad_field_is_named_and_its_neighbours_pass(
    version: int, at: int, written: str, reason: str
) -> None:
    text = changed(GOOD[version], at, written)
    result = normalize(with_version(version, GOOD[version], text, GOOD[version]), PREFIX)
    (bad,) = result.bad
    assert (bad.index, bad.raw) == (1, text)
    assert bad.reason.startswith(reason)
    ids = [orjson.loads(line)["id"] for line in result.lines]
    assert ids == [PREFIX + "0", PREFIX + "2"]


def test_a_tuple_of_another_version_is_bad() -> None:
    entry = nsg(2, GOOD[1], GOOD[2], 5, None, {"a": [1]}, "," * 20)
    assert normalize(entry, PREFIX).bad == [
        BadTuple(0, GOOD[1], "number of fields is 8 instead of 13"),
        BadTuple(2, "5", "not a string"),
        BadTuple(3, "null", "not a string"),
        BadTuple(4, '{"a":[1]}', "not a string"),
        BadTuple(5, "," * 20, "number of fields is 21 instead of 13"),
    ]


def test_a_malformed_group_takes_one_index_and_the_others_pass() -> None:
    entry = nsg(1)
    entry["properties"]["flows"] = [
        7,
        {"rule": 5, "flows": []},
        {"rule": "r", "flows": [{"flowTuples": "x"}, {"flowTuples": [GOOD[1], "?"]}, {"mac": "m"}]},
        {"rule": "r"},
    ]
    result = normalize(entry, PREFIX)
    assert result.bad == [
        BadTuple(0, "7", "expected an object with flows: 7"),
        BadTuple(1, '{"rule":5,"flows":[]}', "rule is not a string: 5"),
        BadTuple(2, '{"flowTuples":"x"}', "flowTuples is not a list: 'x'"),
        BadTuple(4, "?", "number of fields is 1 instead of 8"),
        BadTuple(5, '{"mac":"m"}', "flowTuples is not a list: None"),
        BadTuple(6, '{"rule":"r"}', "flows is not a list: None"),
    ]
    assert [orjson.loads(line)["id"] for line in result.lines] == [PREFIX + "3"]


def with_keys(value: Any, written: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {written(key): with_keys(one, written) for key, one in value.items()}
    return [with_keys(one, written) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "azures",
    [nsg(1, GOOD[1]), nsg(2, GOOD[2], macAddress="000D3AF87857"), vnet(GOOD[4])],
    ids=["nsg1", "nsg2", "vnet4"],
)
@pytest.mark.parametrize("written", [str.lower, str.upper, str.swapcase, str.title])
def test_known_keys_may_be_in_any_letter_case(azures: Json, written: Callable[[str], str]) -> None:
    """`flowLogResourceId` would otherwise be a null in each record, which nobody notices."""
    others = with_keys(azures, written)
    normalized = normalize(azures, PREFIX)
    assert_is_reference(others)
    assert one_record(azures)["resource_id"] in (NSG_ID, LOG_ID)
    assert normalize(others, PREFIX) == normalized
    # Where both are there, the keys as Azure writes them count.
    wrong = with_keys({**azures, "flowLogResourceID": "/wrong", "resourceId": "/wrong"}, written)
    for both in ({**wrong, **azures}, {**azures, **wrong}):
        assert normalize(both, PREFIX) == normalized


def test_no_flows_are_no_records() -> None:
    entry = nsg(2)
    entry["properties"]["flows"] = []
    assert normalize(entry, PREFIX) == Normalized([], [], [], None)


KNOWN = (
    "; known: NetworkSecurityGroupFlowEvent version 1, NetworkSecurityGroupFlowEvent version 2, "
    "FlowLogFlowEvent version 4"
)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ([], "not an object: []"),
        (
            {"category": "X", "flowLogVersion": 5},
            "unknown format: category 'X', version 5" + KNOWN,
        ),
        (
            nsg("2", GOOD[2]),
            "unknown format: category 'NetworkSecurityGroupFlowEvent', version '2'" + KNOWN,
        ),
        (
            nsg(True, GOOD[1]),
            "unknown format: category 'NetworkSecurityGroupFlowEvent', version True" + KNOWN,
        ),
        (
            vnet(GOOD[4], flowLogVersion=4.0),
            "unknown format: category 'FlowLogFlowEvent', version 4.0" + KNOWN,
        ),
        (vnet(GOOD[4], flowRecords={"flows": {}}), "flows is not a list: {}"),
        (vnet(GOOD[4], flowRecords=None), "expected an object with flows: None"),
        (vnet(GOOD[4], targetResourceID=1), "targetResourceID is not a string: 1"),
        (nsg(1, GOOD[1], time=["x"]), "time is not a string: ['x']"),
    ],
)
def test_an_entry_of_no_known_format_is_unreadable(entry: object, reason: str) -> None:
    with pytest.raises(UnreadableEntry) as raised:
        normalize(entry, PREFIX)
    assert str(raised.value) == reason


# --- held against the reference ---

ports = st.integers(0, 65535).map(str)
counters = st.one_of(st.just(""), st.just("0"), st.integers(0, 2**63 - 1).map(str))
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
seconds = st.integers(0, 2**33).map(str)
moments = st.one_of(seconds, st.integers(10**11, 253402300799999).map(str))
start = (moments, addresses, addresses, ports, ports)
letters = (st.sampled_from("TU"), st.sampled_from("IO"), st.sampled_from("AD"))
GOOD_FIELDS: dict[int, tuple[st.SearchStrategy[str], ...]] = {
    1: (*start, *letters),
    2: (*start, *letters, st.sampled_from("BCE"), *[counters] * 4),
    4: (
        *start,
        st.integers(0, 255).map(str),
        st.sampled_from("IO"),
        st.sampled_from("BCED"),
        st.one_of(st.sampled_from(["X", "NX", ""]), st.text().map(lambda s: s.replace(",", ""))),
        *[counters] * 4,
    ),
}
good_tuples = {version: st.tuples(*fields).map(",".join) for version, fields in GOOD_FIELDS.items()}

ODD_FIELDS = [
    *("", " ", "０", "４", "²", "+1", "-0", "-1", " 1", "1 ", "1_0", "00", "01", "1e3", "1.0"),
    *("65535", "65536", "255", "256", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551615", "18446744073709551616", "9" * 400, "0x1", "null", "true", "NaN"),
    *("99999999999", "100000000000", "253402300799", "253402300800", "253402300799999"),
    *("253402300800000", "0100000000000", "10000000000a", "1000000000 0", "100000000_00"),
    *("1.2.3", "1.2.3.4 ", "1.2.3.04", "1.2.3.4/8", "::", "::ffff:1.2.3.4", "fe80::1%1", "::1%"),
    *("A", "B", "C", "D", "E", "I", "O", "T", "U", "t", "TT", "\n", '"', "\\", "]", "[1]", "\0"),
    *("\ud800", "x" * 65),
]


@st.composite
def odd_tuples(draw: st.DrawFn, version: int) -> str:
    """A tuple with a few fields removed, added, exchanged or replaced."""
    fields = draw(good_tuples[version]).split(",")
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        match draw(st.sampled_from(["remove", "add", "swap", *["replace"] * 5])):
            case "remove" if len(fields) > 1:
                del fields[at]
            case "add":
                fields.insert(at, draw(st.sampled_from(ODD_FIELDS)))
            case "swap":
                other = draw(st.integers(0, len(fields) - 1))
                fields[at], fields[other] = fields[other], fields[at]
            case _:
                fields[at] = draw(st.one_of(st.sampled_from(ODD_FIELDS), st.text(max_size=4)))
    return ",".join(fields)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just("\ud800")
    | st.sampled_from(list(GOOD.values())),
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(
            st.one_of(
                st.sampled_from(["rule", "flows", "mac", "flowTuples", "flowGroups", "aclID"]),
                st.text(),
            ),
            values,
            max_size=4,
        )
    ),
    max_leaves=8,
)
names = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["PlatformRule", 'a"b', "ü"]))


@st.composite
def entries(draw: st.DrawFn, version: int, tuples: st.SearchStrategy[Any]) -> Json:
    keys = ("aclID", "flowGroups", "rule") if version == 4 else ("rule", "flows", "mac")
    outer_name, groups_name, inner_name = keys
    inner = st.fixed_dictionaries(
        {"flowTuples": st.lists(tuples, max_size=4)}, optional={inner_name: names}
    )
    outer = st.fixed_dictionaries(
        {groups_name: st.lists(inner, max_size=2)}, optional={outer_name: names}
    )
    flows = draw(st.lists(outer, max_size=2))
    entry = with_version(version)
    entry["flowRecords" if version == 4 else "properties"]["flows"] = flows
    for key in ("time", "macAddress", "resourceId", "flowLogResourceID", "targetResourceID"):
        if draw(st.booleans()):
            entry[key] = draw(names)
    return entry


versions = pytest.mark.parametrize("version", GOOD)


@versions
@given(data=st.data())
def test_good_tuples_all_become_the_reference_records(version: int, data: st.DataObject) -> None:
    result = assert_is_reference(data.draw(entries(version, good_tuples[version])))
    assert result is not None
    assert result.bad == []


@versions
@given(data=st.data())
def test_good_and_odd_tuples_come_out_as_the_reference_says(
    version: int, data: st.DataObject
) -> None:
    tuples = st.one_of(good_tuples[version], odd_tuples(version), json_values)
    assert assert_is_reference(data.draw(entries(version, tuples))) is not None


@versions
@given(data=st.data())
def test_any_value_anywhere_in_an_entry_is_met(version: int, data: st.DataObject) -> None:
    """Replace one value at a random depth by any JSON value."""
    entry: Any = {"entry": data.draw(entries(version, good_tuples[version]))}
    holder, key = entry, "entry"
    for _ in range(data.draw(st.integers(0, 7))):
        below = holder[key]
        keys = list(below) if isinstance(below, dict) else range(len(below))
        if isinstance(below, str) or not keys:
            break
        holder, key = below, data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list):
            break
    holder[key] = data.draw(json_values)
    assert_is_reference(entry["entry"])


@given(json_values)
def test_any_value_is_met(value: object) -> None:
    assert_is_reference(value)


@versions
def test_every_odd_field_in_every_place_comes_out_as_the_reference_says(version: int) -> None:
    places = range(GOOD[version].count(",") + 1)
    texts = [changed(GOOD[version], at, odd) for at in places for odd in ODD_FIELDS]
    assert assert_is_reference(with_version(version, *texts)) is not None


@versions
def test_large_entries_with_a_few_bad_tuples_keep_order_and_ids(version: int) -> None:
    """More tuples than one block, and bad ones at the edges of blocks and halves."""
    texts: list[object] = [changed(GOOD[version], 3, str(port)) for port in range(1000)]
    for index in (0, 127, 128, 255, 256, 511, 600, 601, 999):
        texts[index] = changed(GOOD[version], 4, "70000")
    result = assert_is_reference(with_version(version, *texts))
    assert result is not None
    assert len(result.bad) == 9


def test_a_memo_asks_once_while_there_is_room_and_never_holds_more() -> None:
    asked: list[str] = []

    def convert(text: str) -> str:
        asked.append(text)
        return text.upper()

    memo = Memo(convert, max_values=2)
    assert [memo[text] for text in "abab"] == ["A", "B", "A", "B"]
    assert asked == ["a", "b"]
    assert [memo[text] for text in ["c", "a", "c", "x" * 257]] == ["C", "A", "C", "X" * 257]
    assert asked == ["a", "b", "c", "a", "x" * 257]
    assert dict(memo) == {"c": "C", "a": "A"}


def test_a_memo_keeps_nothing_of_what_cannot_be_converted() -> None:
    memo = Memo(json_of)
    with pytest.raises(BadField, match=r"^not Unicode text: 1$"):
        memo[1]
    assert dict(memo) == {}


def test_an_element_too_deep_to_write_as_json_is_abbreviated() -> None:
    deep: object = []
    for _ in range(300):
        deep = [deep]
    (bad,) = normalize(nsg(1, deep), PREFIX).bad
    assert bad == BadTuple(0, "[[[[[[[...]]]]]]]", "not a string")


def test_an_entry_is_left_as_it_was() -> None:
    entry = nsg(2, GOOD[2], 5)
    before = copy.deepcopy(entry)
    normalize(entry, PREFIX)
    assert entry == before


# --- captures ---

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@functools.cache
def sample(name: str) -> list[Any]:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the captures are not part of the project: no folder ../shared/samples")
    records: list[Any] = orjson.loads(path.read_bytes())["records"]
    return records


@pytest.mark.parametrize(
    ("name", "entry_count", "tuple_count"),
    [
        ("nsg-v2.json", 8, 153),
        ("vnet-v4-virtualnetwork.json", 8, 166),
        ("vnet-v4-subnet.json", 4, 68),
        ("vnet-v4-networkinterface.json", 4, 61),
    ],
)
def test_captures(name: str, entry_count: int, tuple_count: int) -> None:
    captured = sample(name)
    results = [assert_is_reference(entry) for entry in captured]
    assert len(results) == entry_count
    assert [result.bad for result in results if result] == [[]] * entry_count
    assert sum(len(result.lines) for result in results if result) == tuple_count
