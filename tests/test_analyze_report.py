"""A report's cells have the totals of the records, whatever is summed as others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from made_records import Record, generated_entries, records_of

from flowlog_core.analyze import report as report_module
from flowlog_core.analyze.columns import table_of
from flowlog_core.analyze.named_columns import with_names
from flowlog_core.analyze.names import NAMED_FIELDS, Names
from flowlog_core.analyze.report import KINDS, MAX_NAMES, READS, Report, report_of
from flowlog_core.parsing.record import FIELDS

RECORDS = [one for entry in generated_entries(6, 40) for one in records_of(entry)]
BASE: Record = RECORDS[0] | {
    "time": "2026-01-01T07:00:00.000Z", "src_ip": "10.0.0.1", "dst_ip": "8.8.8.8", "dst_port": 443,
    "protocol": "tcp", "action": "allow", "state": "begin", "rule": "web",
    "packets_src_to_dst": 1, "bytes_src_to_dst": 100,
    "packets_dst_to_src": 2, "bytes_dst_to_src": 50,
}  # fmt: skip


def report_on(records: list[Record]) -> Report | None:
    named = [name for name in READS if name in NAMED_FIELDS]
    read = {*READS, *(field for name in named for field in NAMED_FIELDS[name])}
    table = table_of(records, tuple(name for name in FIELDS if name in read))
    table = with_names(table, Names(), named).select(READS)
    return report_of(pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))


def some_report(records: list[Record]) -> Report:
    report = report_on(records)
    assert report is not None
    return report


def flows_of(record: Record) -> int:
    return record["state"] in (None, "begin", "deny")


def totals(records: list[Record]) -> list[int]:
    packets = ("packets_src_to_dst", "packets_dst_to_src")
    size = ("bytes_src_to_dst", "bytes_dst_to_src")
    return [
        sum(map(flows_of, records)),
        *(sum(r[name] or 0 for r in records for name in names) for names in (packets, size)),
    ]


def totals_of(report: Report) -> list[int]:
    return [sum(cell[at] for cell in report.cells) for at in (7, 8, 9)]


def flows_by(report: Report, column: int, dimension: str) -> dict[str | None, int]:
    """By name, its flows; without those that have none."""
    found: Counter[str | None] = Counter()
    for cell in report.cells:
        at = cell[column]
        found["others" if at < 0 else report.names[dimension][at]] += cell[7]
    return {name: flows for name, flows in found.items() if flows}


def test_no_records_make_no_report() -> None:
    assert report_on([]) is None


def test_one_record() -> None:
    assert some_report([BASE]) == Report(
        first_ms=1767250800000,  # 2026-01-01 07:00, by `date -d ... +%s`
        width_s=60,
        records=1,
        names={
            "src_ip": ["10.0.0.1"], "dst_ip": ["8.8.8.8"], "service": ["https"], "rule": ["web"],
        },
        found={"src_ip": 1, "dst_ip": 1, "service": 1, "rule": 1},
        cells=[[0, 0, KINDS.index("internal to internet"), 0, 0, 0, 0, 1, 3, 150]],
        summed_flows=0,
        new_ports=[],
        new_ports_found=0,
    )  # fmt: skip


def test_sums_are_those_of_the_records() -> None:
    report = some_report(RECORDS)
    assert report.records == len(RECORDS)
    assert totals_of(report) == totals(RECORDS)
    denied = Counter(r["rule"] for r in RECORDS if r["action"] == "deny" and flows_of(r))
    shown: Counter[Any] = Counter()
    for cell in report.cells:
        if cell[1]:
            shown[report.names["rule"][cell[6]]] += cell[7]
    assert +shown == denied


@pytest.mark.parametrize(
    ("source", "destination", "kind"),
    [
        ("10.0.0.1", "192.168.1.1", "internal to internal"),
        ("10.0.0.1", "8.8.8.8", "internal to internet"),
        ("2a00:1450::1", "fd00::1", "internet to internal"),
        ("10.0.0.1", "224.0.0.1", "other"),
        ("8.8.8.8", "1.1.1.1", "other"),
    ],
)
def test_internal_is_told_from_the_internet(source: str, destination: str, kind: str) -> None:
    report = some_report([BASE | {"src_ip": source, "dst_ip": destination}])
    assert [KINDS[cell[2]] for cell in report.cells] == [kind]


def test_few_names_are_kept_and_the_rest_is_summed_as_others() -> None:
    scan = [
        BASE | {"src_ip": f"10.{number // 250}.{number % 250}.9", "dst_port": number + 1}
        for number in range(3000)
    ]
    busy = [BASE | {"src_ip": "10.99.99.99"}] * 5
    report = some_report([*scan, *busy])
    assert totals_of(report) == totals([*scan, *busy])
    assert report.names["src_ip"][0] == "10.99.99.99"
    assert len(report.names["src_ip"]) <= MAX_NAMES
    assert report.found["src_ip"] == 3001
    by_source = flows_by(report, 3, "src_ip")
    assert by_source["10.99.99.99"] == 5
    assert by_source["others"] == 3005 - sum(v for k, v in by_source.items() if k != "others")


def test_a_name_that_has_bytes_or_denials_alone_is_kept() -> None:
    """Most flows are not the only measure of who is at the top."""
    scan = [BASE | {"src_ip": f"10.{n // 250}.{n % 250}.9"} for n in range(400)] * 2
    large = BASE | {"src_ip": "10.77.0.1", "state": "continue", "bytes_src_to_dst": 10**12}
    refused = BASE | {"src_ip": "10.77.0.2", "state": "deny", "action": "deny"}
    names = some_report([*scan, large, refused]).names["src_ip"]
    assert {"10.77.0.1", "10.77.0.2"} <= set(names)


def test_too_many_cells_lose_their_names_and_no_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "MAX_CELLS", 100)
    records = [
        BASE | {"src_ip": f"10.0.0.{n % 30}", "dst_ip": f"8.8.{n % 31}.8", "dst_port": n % 29 + 1}
        for n in range(2000)
    ]
    report = some_report(records)
    assert len(report.cells) <= 100
    assert totals_of(report) == totals(records)
    assert report.summed_flows > 0
    lost = [cell for cell in report.cells if cell[3:7] == [-1, -1, -1, -1]]
    assert sum(cell[7] for cell in lost) >= report.summed_flows


@pytest.mark.parametrize(
    ("last", "width_s"),
    [
        ("2026-01-01T07:59:00.000Z", 60),
        ("2026-01-02T06:59:00.000Z", 3600),
        ("2026-02-01T06:59:00.000Z", 12 * 3600),
        ("2026-12-31T06:59:00.000Z", 7 * 86400),
        ("2126-01-01T07:00:00.000Z", 508 * 86400),  # 36,525 days in 72 slots
    ],
)
def test_slots_are_as_wide_as_the_time_asks_for(last: str, width_s: int) -> None:
    report = some_report([BASE, BASE | {"time": last}])
    assert report.width_s == width_s
    assert max(cell[0] for cell in report.cells) <= 73


def test_new_ports_are_those_first_allowed_after_the_first_quarter() -> None:
    def at(minute: int, port: int, **more: Any) -> Record:
        return BASE | {"time": f"2026-01-01T07:{minute:02}:00.000Z", "dst_port": port} | more

    records = [
        at(0, 443), at(39, 443),
        at(9, 22),  # within the first quarter of 40 minutes
        at(10, 8728, src_ip="10.0.0.7"), at(20, 8728),
        at(5, 23, action="deny", state="deny"), at(30, 23),
        at(30, 3389, action="deny", state="deny"),
    ]  # fmt: skip
    minute_0 = 1767250800 // 60
    assert some_report(records).new_ports == [
        {"service": "8728/tcp", "first_minute": minute_0 + 10, "src_ip": "10.0.0.7",
         "dst_ip": "8.8.8.8", "flows": 2, "bytes": 300},
        {"service": "telnet", "first_minute": minute_0 + 30, "src_ip": "10.0.0.1",
         "dst_ip": "8.8.8.8", "flows": 1, "bytes": 150},
    ]  # fmt: skip
