from __future__ import annotations

import re
import time

import pytest
import reference_rules
from hypothesis import example, given
from hypothesis import strategies as st
from made_records import Record, hostile_records
from made_rules import rule_texts
from support import ROOT

from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.accepted import AddressAnswers
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.rule_text import Fault, FaultsError
from flowlog_core.shape.rules import parse
from flowlog_core.shape.terms import QUERY_FIELDS, Addresses, Glob, Span, Term

RECORD: Record = {
    "id": "0123456789abcdef01234567.0.12.0",
    "time": "2026-01-31T09:30:15.250Z",
    "log_time": "2026-01-31T09:31:00.1234567Z",
    "category": "FlowLogFlowEvent",
    "version": 4,
    "resource_id": "/SUBSCRIPTIONS/S/FLOWLOGS/L",
    "target_resource_id": None,
    "mac": "000D3AF87856",
    "rule": "DefaultRule_AllowInternetOutBound",
    "acl_id": "unspecified",
    "src_ip": "10.1.2.3",
    "src_port": 40000,
    "dst_ip": "2001:db8::5",
    "dst_port": 443,
    "protocol": "tcp",
    "protocol_number": 6,
    "direction": "outbound",
    "action": "allow",
    "state": "end",
    "encryption": None,
    "packets_src_to_dst": 4,
    "bytes_src_to_dst": 700,
    "packets_dst_to_src": None,
    "bytes_dst_to_src": 400,
}

# --- what rules mean ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("action=allow", True),
        ("action=DENY", False),
        ("action=deny,allow", True),
        ("direction!=inbound", True),
        ("state=begin,continue", False),
        ("dst_port=443", True),
        ("dst_port=80,8000-8999", False),
        ("dst_port=80, 400-443", True),
        ("src_port=443", False),
        ("port=443", True),
        ("port!=443", False),
        ("port!=80", True),
        ("src_ip=10.0.0.0/8,192.168.0.0/16", True),
        ("src_ip=10.1.2.4", False),
        ("src_ip=10.1.2.1-10.1.2.9", True),
        ("dst_ip=2001:DB8::/32", True),
        ("dst_ip=0.0.0.0/0", False),
        ("ip=2001:db8:0::5", True),
        ("ip!=10.1.2.3", False),
        ("protocol=6", True),
        ("protocol=TCP,udp", True),
        ("protocol!=icmp", True),
        ("rule=defaultrule_*", True),
        ("rule=DefaultRule_Deny*", False),
        ("rule=DefaultRule_?llowInternetOutBound", True),
        ("mac=00-0d-3a-f8-78-56", True),
        ("mac=00:0D:3A:F8:78:56", True),
        ("bytes>=1100", True),
        ("bytes>1100", False),
        ("bytes=1000-1200", True),
        ("bytes_src_to_dst<700", False),
        ("bytes_src_to_dst<=700", True),
        ("packets=4", True),
        ("time>=2026-01-31T09", True),
        ("time>2026-01-31T09", False),
        ("time<2026-02-01", True),
        ("time<=2026-01-31T09:30:15.249", False),
        ("time=2026-01-31T09:30Z", True),
        ("action=allow,dst_port=443,80", True),
        ("action=allow,dst_port=80", False),
        ("action=deny;dst_port=443", True),
        ("action=deny;dst_port=80", False),
        (" ; action = allow ;", True),
        ("", False),
    ],
)
def test_a_record_matches_as_the_language_says(text: str, expected: bool) -> None:
    assert parse(text).matches(RECORD) is expected


@pytest.mark.parametrize(
    "term",
    ["encryption=X", "encryption=*", "packets_dst_to_src=0", "packets_dst_to_src>=0", "acl_id=a"],
)
def test_a_null_matches_nothing(term: str) -> None:
    record = RECORD | {"acl_id": None}
    assert not parse(term).matches(record)


@pytest.mark.parametrize(
    "term", ["encryption!=X", "encryption!=*", "packets_dst_to_src!=0", "target_resource_id!=x"]
)
def test_but_what_excludes_values(term: str) -> None:
    assert parse(term).matches(RECORD)


def test_both_directions_are_null_only_if_each_is() -> None:
    nulls = {"bytes_src_to_dst": None, "bytes_dst_to_src": None}
    assert parse("bytes!=*").matches(RECORD | nulls)
    assert not parse("bytes>=0").matches(RECORD | nulls)
    assert parse("bytes=400").matches(RECORD | {"bytes_src_to_dst": None})
    assert parse("bytes=700").matches(RECORD | {"bytes_dst_to_src": None})


def test_a_field_that_is_missing_is_null() -> None:
    assert not parse("rule=*").matches({})
    assert parse("rule!=x,port!=443,bytes!=0,ip!=10.0.0.0/8").matches({})


@pytest.mark.parametrize("text", ["bytes>=0", "dst_port>=0", "time>=1970-01-01", "ip=0.0.0.0/0"])
def test_what_cannot_be_read_is_not_accepted(text: str) -> None:
    """Such a tuple becomes no record; whether it does is not for a rule to say."""
    odd = RECORD | dict.fromkeys(("bytes_src_to_dst", "dst_port", "time", "src_ip"), "odd")
    assert not parse(text).matches(odd)
    assert parse(text.replace(">=", "!=").replace("ip=", "ip!=")).matches(odd)


@pytest.mark.parametrize("text", ["dst_port<=9", "bytes<9", "time<2030-01-01", "time<=2030-01-01"])
def test_nor_is_it_less_than_anything(text: str) -> None:
    odd = RECORD | dict.fromkeys(("bytes_src_to_dst", "dst_port", "time"), "odd")
    assert not parse(text).matches(odd)


def test_empty_text_of_a_record_is_not_null() -> None:
    assert parse("rule=*").matches(RECORD | {"rule": ""})


def test_a_glob_of_many_stars_takes_no_exponential_time() -> None:
    rules = parse("rule=" + "*a" * 25 + "*b")
    started = time.process_time()
    assert not rules.matches(RECORD | {"rule": "a" * 5000})
    assert time.process_time() - started < 5


# --- the parsed form ---


def test_rules_are_plain_data() -> None:
    rules = parse("dst_port!=443,8000-8999,rule=Deny*;bytes>1000;src_ip=10.0.0.0/8;time=1970-01-02")
    assert rules.rules == (
        (
            Term("dst_port", (Span(443, 443), Span(8000, 8999)), negated=True),
            Term("rule", (Glob("deny*"),)),
        ),
        (Term("bytes", (Span(1001, None),)),),
        (Term("src_ip", (Addresses(4, 10 << 24, (11 << 24) - 1),)),),
        (Term("time", (Span(86_400_000, 2 * 86_400_000 - 1),)),),
    )
    assert rules.reads[2:4] == ("bytes_src_to_dst", "bytes_dst_to_src")


def test_every_field_of_a_record_has_its_name_in_a_rule() -> None:
    assert set(QUERY_FIELDS) == {*FIELDS, "ip", "port", "bytes", "packets"}
    assert {name for one in QUERY_FIELDS.values() for name in one.reads} == set(FIELDS)


# --- faults ---


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("dst_prt=443", [(1, "there is no field 'dst_prt'. Did you mean dst_port?")]),
        ("xyzzy=443,80", [(1, "there is no field 'xyzzy'.")]),
        (
            "dst_port",
            [(1, "expected a field, an operator and a value, such as action=deny, not 'dst_port'")],
        ),
        (
            "action=deny;  443",
            [(15, "expected a field, an operator and a value, such as action=deny, not '443'")],
        ),
        ("action=deny,,dst_port=1", [(13, "expected a value of action")]),
        ("action=", [(8, "expected a value of action")]),
        ("=deny", [(1, "expected a field before '='")]),
        ("action=dney", [(8, "action is allow or deny, not 'dney'. Did you mean deny?")]),
        ("direction=in", [(11, "direction is inbound or outbound, not 'in'.")]),
        ("action>deny", [(7, "'>' compares numbers and times; action takes = or !=")]),
        ("dst_port=70000", [(10, "dst_port is a whole number up to 65535, not '70000'")]),
        ("dst_port==443", [(10, "dst_port is a whole number up to 65535, not '=443'")]),
        ("dst_port=443,9-3", [(14, "the range 9-3 begins above its end")]),
        ("bytes>=1,2", [(10, "'>=' takes one value")]),
        ("bytes>=1k", [(8, "bytes is a whole number up to 18446744073709551616, not '1k'")]),
        ("src_ip=10.0.0.1/8", [(8, "10.0.0.1/8 is inside a network: write 10.0.0.0/8")]),
        (
            "src_ip=10.1.*",
            [
                (
                    8,
                    "src_ip is an address, a network such as 10.0.0.0/8 or a range, not '10.1.*'. "
                    "Write 10.1.0.0/16 for 10.1.*",
                )
            ],
        ),
        (
            "src_ip=fe80::1%eth0",
            [
                (
                    8,
                    "src_ip is an address, a network such as 10.0.0.0/8 or a range, "
                    "not 'fe80::1%eth0'",
                )
            ],
        ),
        ("src_ip=10.0.0.9-10.0.0.1", [(8, "the range 10.0.0.9-10.0.0.1 begins above its end")]),
        (
            "src_ip=10.0.0.9-::1",
            [(8, "the range 10.0.0.9-::1 begins in one version of IP and ends in the other")],
        ),
        (
            "protocol=tpc",
            [
                (
                    10,
                    "protocol is an IANA name such as tcp, or a number up to 255, not 'tpc'. "
                    "Did you mean tcp?",
                )
            ],
        ),
        (
            "time>=yesterday",
            [(7, "expected a UTC time such as 2026-01-31T09 or 2026-01-31, not 'yesterday'")],
        ),
        (
            "time=2026-01-31T09.500",
            [
                (
                    6,
                    "expected a UTC time such as 2026-01-31T09 or 2026-01-31, "
                    "not '2026-01-31T09.500'",
                )
            ],
        ),
        ("time=2026-02-30", [(6, "no calendar has the time '2026-02-30'")]),
        (
            "acton=deny;\n dst_port=x, y ;rule=ok",
            [
                (1, "there is no field 'acton'. Did you mean action?"),
                (23, "dst_port is a whole number up to 65535, not 'x'"),
                (26, "dst_port is a whole number up to 65535, not 'y'"),
            ],
        ),
    ],
)
def test_every_fault_is_named_at_its_place(text: str, faults: list[tuple[int, str]]) -> None:
    with pytest.raises(FaultsError) as raised:
        parse(text)
    assert raised.value.faults == tuple(Fault(*fault) for fault in faults)
    assert str(raised.value) == "; ".join(f"character {at}: {what}" for at, what in faults)


@given(st.text("adciontp_sr=!<>,;-*?/.: 0123456789\n", max_size=40))
@example("time=0000-01-01")
@example("time=9999-12-31")
@example("src_ip=/")
@example("protocol=٣")
def test_any_text_is_read_or_refused_within_itself(text: str) -> None:
    try:
        rules = parse(text)
    except FaultsError as error:
        places = [fault.position for fault in error.faults]
    else:
        places = [1]
        assert parse(str(rules)) == rules
        rules.matches(RECORD)
    assert places
    assert all(1 <= place <= len(text) + 1 for place in places)


# --- held against the reference ---


@given(rule_texts, hostile_records(), st.sets(st.sampled_from(FIELDS)))
def test_quick_rules_are_the_reference(text: str, record: Record, known: set[str]) -> None:
    """By record; and with some, or all, of its fields decided beforehand."""
    rules = parse(text)
    expected = reference_rules.matches(text, record)
    assert rules.matches(record) is expected
    given_some = rules.given({name: record[name] for name in known})
    assert given_some.matches(record) is expected
    assert given_some.given(record).matches({}) is expected
    assert parse(str(rules)) == rules


# --- keep and drop ---


@pytest.mark.parametrize(
    ("keep", "drop", "dropped"),
    [
        ("", "", False),
        ("action=allow", "", False),
        ("action=deny", "", True),
        ("action=deny;dst_port=443", "", False),
        ("", "dst_port=80; dst_port=443 , action=allow", True),
        ("action=allow", "rule=Default*", True),
        ("action=allow", "rule=Other*", False),
        ("action=deny", "rule=Default*", True),
    ],
)
def test_what_is_kept_and_not_dropped_is_sent(keep: str, drop: str, dropped: bool) -> None:
    decided = KeepDrop.parse(keep, drop).given(RECORD)
    assert decided.keeps_all is not dropped
    assert decided.keeps_none is dropped


@given(rule_texts, rule_texts, hostile_records(), st.sets(st.sampled_from(FIELDS)))
def test_kept_is_what_keep_matches_and_drop_does_not(
    keep: str, drop: str, record: Record, known: set[str]
) -> None:
    both = KeepDrop.parse(keep, drop)
    kept = not keep or reference_rules.matches(keep, record)
    kept = kept and not reference_rules.matches(drop, record)
    partly = both.given({name: record[name] for name in known})
    assert both.keeps(record) is kept
    wholly = partly.given(record)
    assert (wholly.keeps_all, wholly.keeps_none) == (kept, not kept)
    if partly.keeps_all:
        assert kept
    if partly.keeps_none:
        assert not kept


def test_rules_may_be_very_many() -> None:
    texts = [f"dst_port={port},src_ip=10.0.{port // 256}.0/24" for port in range(2_000)]
    rules = parse(";".join(texts))
    assert rules.matches(RECORD | {"dst_port": 1023, "src_ip": "10.0.3.9"})
    assert not rules.matches(RECORD | {"dst_port": 1023, "src_ip": "10.0.4.9"})


def test_nothing_to_do_is_known_beforehand() -> None:
    assert KeepDrop.parse("", " ; ").keeps_all
    assert not KeepDrop.parse("action=deny", "").keeps_all
    assert KeepDrop.parse("rule=x*", "").given({"rule": "xy"}).keeps_all
    assert KeepDrop.parse("rule=x*", "").given({"rule": "y"}).keeps_none
    assert not KeepDrop.parse("rule=x*", "rule=xy").given({"rule": "xy"}).keeps_all


def test_the_answers_remembered_are_bounded() -> None:
    answers = AddressAnswers((Addresses(4, 0, 99),))
    for number in range(20_000):
        assert answers[f"0.0.{number // 250}.{number % 250}"] is (number < 100)
    assert answers["x" * 300] is False
    assert 0 < len(answers) <= 16384
    assert "x" * 300 not in answers


# --- the page about rules ---


def test_the_page_names_every_field() -> None:
    text = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    table = text.partition("| fields | values |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    named = [name for row in rows for name in re.findall("`([a-z_]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(QUERY_FIELDS)
    for name, field in QUERY_FIELDS.items():
        (row,) = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert all(f"`{choice}`" in row for choice in field.choices)


def test_the_rules_on_the_page_can_be_read() -> None:
    text = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    terms = re.findall(r"`([a-z_]+(?:=|!=|>=|>)[^`]+)`", text)
    assert len(terms) > 5
    for term in terms:
        parse(term)
