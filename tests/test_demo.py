from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from command_line import flowlog
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import LogBlob, Position
from flowlog_core.demo.display import Display
from flowlog_core.demo.events import Tally
from flowlog_core.demo.ledger import Delays, Ledger, Verdict
from flowlog_core.demo.scenario import flow_logs
from flowlog_core.demo.screen import Line, LogRow, View, progress, screen
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.framing import Entry, Framer
from flowlog_core.testing.generate import HEAD, FlowLogGenerator, Format, document
from flowlog_core.testing.memory import some_blob
from flowlog_core.testing.reference import fields_of

HOUR = datetime(2024, 8, 19, 18, tzinfo=UTC)
BLOB = some_blob()
ENTRY, SECOND = Position(BLOB, offset=12), Position(BLOB, offset=500)
V1 = "1542110377,203.0.113.5,10.0.0.4,35370,443,T,I,A"
V2 = "1542110402,203.0.113.6,10.0.0.4,56509,3389,U,O,D,B,,,,"
V4 = "1663146003599,10.0.0.6,192.0.2.180,23956,443,6,O,C,NX,2,767,3,1580"


def record(log_format: Format, text: str, offset: int, index: int) -> dict[str, Any]:
    return {
        "id": Position(BLOB, offset=offset).record_id(index),
        **fields_of(log_format, text),
    }


def ledger_with_three() -> tuple[Ledger, list[dict[str, Any]]]:
    """Three tuples in two entries, committed at 10 s, and the records that they must become."""
    ledger = Ledger()
    ledger.wrote("web-1", ENTRY, "vnet4", [V4, V4], 10.0)
    ledger.wrote("web-2", SECOND, "nsg2", [V2], 10.0)
    return ledger, [
        record("vnet4", V4, 12, 0),
        record("vnet4", V4, 12, 1),
        record("nsg2", V2, 500, 0),
    ]


@pytest.mark.parametrize(
    ("log_format", "text", "told"),
    [
        (
            "nsg1",
            V1,
            "2018-11-13T11:59:37.000Z NetworkSecurityGroupFlowEvent 1 203.0.113.5 35370 10.0.0.4 "
            "443 tcp 6 inbound allow None None None None None None",
        ),
        (
            "nsg2",
            V2,
            "2018-11-13T12:00:02.000Z NetworkSecurityGroupFlowEvent 2 203.0.113.6 56509 10.0.0.4 "
            "3389 udp 17 outbound deny begin None None None None None",
        ),
        (
            "vnet4",
            V4,
            "2022-09-14T09:00:03.599Z FlowLogFlowEvent 4 10.0.0.6 23956 192.0.2.180 "
            "443 tcp 6 outbound allow continue NX 2 767 3 1580",
        ),
    ],
)
def test_a_written_tuple_says_what_its_record_must_hold(
    log_format: Format, text: str, told: str
) -> None:
    assert " ".join(map(str, fields_of(log_format, text).values())) == told


def test_all_received_once_as_written_is_ok() -> None:
    ledger, records = ledger_with_three()
    ledger.received(records, 10.25)
    assert ledger.check() == Verdict(written=3, received=3)
    assert ledger.check().ok
    assert ledger.check().lines() == [
        "3 tuples written, 3 received, 0 missing, 0 repeated, 0 altered: OK"
    ]
    assert ledger.counts() == (Counter({"web-1": 2, "web-2": 1}),) * 2
    assert ledger.outstanding == 0


def test_the_order_of_receipt_does_not_matter() -> None:
    ledger, records = ledger_with_three()
    for one in reversed(records):
        ledger.received([one], 11.0)
    assert ledger.check().ok


def test_a_missing_record_fails_the_check() -> None:
    ledger, records = ledger_with_three()
    ledger.received([records[0], records[2]], 11.0)
    assert not ledger.check().ok
    assert ledger.outstanding == 1
    assert ledger.check().lines() == [
        f"missing: web-1, entry at byte 12 of {BLOB.name}, tuple 1: {V4}",
        "3 tuples written, 2 received, 1 missing, 0 repeated, 0 altered: FAILED",
    ]


def test_a_repeated_record_fails_the_check() -> None:
    ledger, records = ledger_with_three()
    ledger.received([*records, records[1]], 11.0)
    assert not ledger.check().ok
    assert ledger.check().lines() == [
        f"repeated: {records[1]['id']}, received 2 times",
        "3 tuples written, 4 received, 0 missing, 1 repeated, 0 altered: FAILED",
    ]


def test_a_missing_record_is_not_made_good_by_a_repeated_one() -> None:
    ledger, records = ledger_with_three()
    ledger.received([records[0], records[0], records[2]], 11.0)
    verdict = ledger.check()
    assert (verdict.written, verdict.received, verdict.ok) == (3, 3, False)
    assert (len(verdict.missing), len(verdict.repeated)) == (1, 1)


@given(data=st.data())
def test_an_altered_or_absent_field_fails_the_check(data: st.DataObject) -> None:
    ledger, records = ledger_with_three()
    victim = data.draw(st.sampled_from(records))
    name = data.draw(st.sampled_from(sorted(victim.keys() - {"id"})))
    if data.draw(st.booleans()):
        del victim[name]
    else:
        victim[name] = data.draw(
            st.sampled_from([None, 0, "x"]).filter(lambda v: v != victim[name])
        )
    ledger.received(records, 11.0)
    verdict = ledger.check()
    assert not verdict.ok
    assert len(verdict.altered) == 1
    assert f"{name} is {victim.get(name)!r}" in verdict.altered[0]


def test_two_tuples_that_changed_places_fail_the_check() -> None:
    ledger = Ledger()
    ledger.wrote("web-1", ENTRY, "nsg1", [V1, V1.replace("443", "444")], 10.0)
    first, second = record("nsg1", V1, 12, 1), record("nsg1", V1.replace("443", "444"), 12, 0)
    ledger.received([second, first], 11.0)
    assert len(ledger.check().altered) == 2


def test_a_record_of_nothing_that_was_written_fails_the_check() -> None:
    ledger, records = ledger_with_three()
    stranger = record("vnet4", V4, 12, 2)
    ledger.received([*records, stranger], 11.0)
    assert ledger.check() == Verdict(written=3, received=4, unknown=(stranger["id"],))
    assert not ledger.check().ok
    assert ", 1 unknown: FAILED" in ledger.check().lines()[-1]


def test_nothing_at_all_is_not_ok() -> None:
    assert not Ledger().check().ok


def test_only_some_of_many_faults_are_named() -> None:
    ledger = Ledger()
    ledger.wrote("web-1", ENTRY, "nsg1", [V1] * 1200, 0.0)
    lines = ledger.check().lines()
    assert len(lines) == 7
    assert lines[5:] == [
        "missing: and 1,195 more",
        "1,200 tuples written, 0 received, 1,200 missing, 0 repeated, 0 altered: FAILED",
    ]


def test_a_record_may_come_before_the_writer_knows_of_its_commit() -> None:
    ledger = Ledger()
    ledger.received([record("nsg1", V1, 12, 0)], 9.9)
    assert ledger.counts() == (Counter(), Counter())
    ledger.wrote("web-1", ENTRY, "nsg1", [V1], 10.0)
    assert ledger.check() == Verdict(written=1, received=1)
    assert ledger.delays() == Delays(0, 0, 0)


def test_delays_count_every_tuple() -> None:
    ledger = Ledger()
    assert ledger.delays() is None
    ledger.wrote("web-1", ENTRY, "nsg1", [V1] * 100, 10.0)
    ledger.received([record("nsg1", V1, 12, index) for index in range(98)], 10.05)
    ledger.received([record("nsg1", V1, 12, 98)], 10.7)
    ledger.received([record("nsg1", V1, 12, 99)], 12.0)
    assert ledger.delays() == Delays(p50=50, p99=700, max=2000)


def test_the_interfaces_have_all_formats_and_forms_of_name() -> None:
    logs = flow_logs(5)
    assert [(log.label, log.format) for log in logs] == [
        ("web-1", "NSG v2, then v1"),
        ("web-2", "VNet v4"),
        ("web-3", "NSG v2"),
        ("web-4", "VNet v4"),
        ("web-5", "VNet v4"),
    ]
    assert [log.interface.form for log in logs] == [
        "nsg", "watcher", "nsg", "resource-id", "watcher-flowlogs",
    ]  # fmt: skip  # one look
    names = [log.interface.blob_name(HOUR) for log in logs]
    assert None not in [LogBlob.parse(name) for name in names]
    assert len(set(names)) == 5


@pytest.mark.parametrize(
    ("number", "formats"),
    [(0, ["nsg2"] * 2 + ["nsg1"] * 58), (1, ["vnet4"] * 60), (2, ["nsg2"] * 60)],
)
def test_an_hour_has_sixty_appends_that_the_ledger_and_flowlog_understand_alike(
    number: int, formats: list[Format]
) -> None:
    log = flow_logs(3)[number]
    appends = list(log.appends(FlowLogGenerator(1), HOUR, 10))
    assert [log_format for log_format, _ in appends] == formats
    ledger, offset = Ledger(), len(HEAD)
    for log_format, entries in appends:
        for entry in entries:
            ledger.wrote(log.label, Position(BLOB, offset=offset), log_format, entry.tuples, 0.0)
            offset += len(entry.raw) + 1
    framer = Framer()
    data = document(entry for _, entries in appends for entry in entries)
    for item in [*framer.feed(data), *framer.end()]:
        assert isinstance(item, Entry)
        normalized = normalize(item.value, f"{Position(BLOB, offset=item.start).entry_id}.")
        ledger.received(map(orjson.loads, normalized.lines), 0.0)
    assert ledger.check().lines()[:-1] == []
    assert ledger.check().ok


def view(**changed: Any) -> View:
    tuples: list[tuple[Format, str]] = [("nsg1", V1), ("nsg2", V2), ("vnet4", V4)]
    records = [
        {
            **record(log_format, text, 12, index),
            "mac": "002248000001",
            "rule": "\x1b[2Jrule",
        }
        for index, (log_format, text) in enumerate(tuples)
    ]
    state: dict[str, Any] = {
        "doing": "Doing.",
        "elapsed_s": 3723.9,
        "logs": [
            LogRow("web-1", "002248000001", "NSG v1"),
            LogRow("web-2", "002248000002", "VNet v4"),
        ],
        "written": Counter({"web-1": 1200, "web-2": 34}),
        "received": Counter({"web-1": 1100, "web-2": 34}),
        "tally": Tally(
            appends=60,
            whole_bytes=1_000_000,
            doubled=3,
            late=2,
            handed_over=4,
            new_bytes=50_000,
            forwarded=Counter({"web-1": 1150, "web-2": 34}),
        ),
        "delays": Delays(45, 610, 1020),
        "latest": records,
    }
    return View(**(state | changed))


def test_the_screen_at_80_columns() -> None:
    assert [line.text for line in screen(view(), 80, 24)] == [
        "Flowlog demo: network flow logs, forwarded while they grow               1:02:03",
        "Interfaces log to Azurite; Flowlog forwards what is new to a queue.",
        "Doing.",
        "",
        "interface  log format             written   forwarded    received",
        "web-1      NSG v1                   1,200       1,150       1,100",
        "web-2      VNet v4                     34          34          34",
        "all                                 1,234       1,184       1,134",
        "",
        "delay      p50 45 ms   p99 610 ms   max 1,020 ms   (commit to receipt)",
        "events     60 appends, 3 delivered twice, 2 late, 4 handed over to a busy worker",
        "read       50,000 bytes; reading whole blobs at each append: 1,000,000",
        "",
        "time      from    action  proto  source               destination          port",
        "09:00:03  web-1   allow   tcp    10.0.0.6             192.0.2.180          443",
        "12:00:02  web-1   deny    udp    203.0.113.6          10.0.0.4             3389",
        "11:59:37  web-1   allow   tcp    203.0.113.5          10.0.0.4             443",
    ]


def test_a_wide_screen_has_more_columns() -> None:
    lines = [line.text for line in screen(view(), 160, 40)]
    heading = (
        "time from action direction state proto source destination port bytes -> bytes <- rule"
    )
    assert " ".join(lines[-4].split()) == heading
    assert lines[-3].split() == [
        *("09:00:03", "web-1", "allow", "outbound", "continue", "tcp"),
        *("10.0.0.6", "192.0.2.180", "443", "767", "1580", "\\x1b[2Jrule"),
    ]


@given(columns=st.integers(1, 250), rows=st.integers(1, 80), interfaces=st.integers(1, 32))
def test_the_screen_fits_any_terminal_and_steers_none(
    columns: int, rows: int, interfaces: int
) -> None:
    logs = [LogRow(f"web-{n}", f"{n:012X}", "VNet v4") for n in range(interfaces)]
    lines = screen(view(logs=logs, warnings=("first", "a\x1b[2Jb")), columns, rows)
    assert len(lines) <= rows
    assert max(len(line.text) for line in lines) <= max(columns, 20)
    assert all(line.text.isprintable() for line in lines)


def test_the_facts_stay_when_there_are_more_interfaces_than_fit() -> None:
    logs = [LogRow(f"web-{n}", f"{n:012X}", "VNet v4") for n in range(32)]
    texts = [line.text for line in screen(view(logs=logs), 80, 24)]
    assert "... and 20 more" in texts
    assert "read       50,000 bytes; reading whole blobs at each append: 1,000,000" in texts


def test_the_screen_says_how_many_queues_take_the_records() -> None:
    told = "Interfaces log to Azurite; Flowlog forwards what is new to 3 queues."
    assert Line(told, "dim") in screen(view(queues=3), 80, 24)


def test_what_went_wrong_is_shown_as_bad() -> None:
    tally = Tally(dead_letters=1, failed=6, given_up=1)
    lines = screen(view(tally=tally, warnings=("first", "second")), 80, 24)
    assert [line for line in lines if line.style == "bad"] == [
        Line("unreadable 1 dead letters", "bad"),
        Line("failed     6 attempts; 1 events failed five times", "bad"),
        Line("warnings   2, the last: second", "bad"),
    ]


def test_before_anything_happened() -> None:
    texts = [line.text for line in screen(view(delays=None, latest=()), 80, 24)]
    assert "delay      nothing received yet" in texts
    assert not [text for text in texts if text.startswith("time")]


def test_progress_is_one_line() -> None:
    assert progress(view(warnings=("one",))) == (
        " 3724 s  1,234 tuples written, 1,184 forwarded, 1,134 received; "
        "delay p50 45 ms, p99 610 ms; 4 handed over, 1 warnings"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_frame_is_drawn_over_the_last_one_without_scrolling() -> None:
    terminal = Terminal()
    Display(terminal, {"TERM": "xterm"}).show(view())
    assert terminal.getvalue().startswith("\x1b[H\x1b[1;7mFlowlog demo")
    assert terminal.getvalue().endswith("443\x1b[K\x1b[J")


def test_a_terminal_is_left_as_it_was_found_even_after_an_error() -> None:
    """It is another screen with the cursor hidden, and both are as before in the end."""
    terminal = Terminal()
    unfit = view(latest=[{}])
    with pytest.raises(KeyError), Display(terminal, {"TERM": "xterm"}) as display:
        display.show(unfit)
    assert terminal.getvalue() == "\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l"


@pytest.mark.parametrize(
    ("environ", "styled"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_styles_are_for_terminals_that_want_them(environ: dict[str, str], styled: bool) -> None:
    display = Display(Terminal(), {"TERM": "xterm", **environ})
    expected = "\x1b[1mtext\x1b[0m" if styled else "text"
    assert display.painted(Line("text", "strong")) == expected


def test_a_pipe_gets_no_control_characters() -> None:
    pipe = io.StringIO()
    with Display(pipe) as display:
        display.show(view())
    assert "\x1b" not in pipe.getvalue()


FINAL = re.compile(
    r"([\d,]+) tuples written, ([\d,]+) received, 0 missing, 0 repeated, 0 altered: OK"
)


def test_the_demo_ends_with_every_tuple_received_once() -> None:
    arguments = ("demo", "--for", "2s", "--appends-per-s", "5")
    code, out, err = flowlog(*arguments, environment={"FLOWLOG_SHARDS": "3"})
    assert (code, err) == (0, ""), out + err
    final = FINAL.fullmatch(out.splitlines()[-1])
    assert final is not None, out
    assert final[1] == final[2]
    assert int(final[1].replace(",", "")) > 0
    assert re.search(r"\nread +[1-9]", out)
    assert re.search(r"\nall +([\d,]+) +\1 +\1\n", out)


def test_the_demo_runs_with_as_many_shards_as_are_set() -> None:
    code, _, err = flowlog("demo", environment={"FLOWLOG_SHARDS": "0"})
    assert code == 1
    assert "FLOWLOG_SHARDS: '0' cannot be used" in err


def test_the_demo_checks_when_it_is_stopped_by_a_signal() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "demo", "--interfaces", "2"],
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        try:
            while " received;" not in demo.stdout.readline():
                assert demo.poll() is None
            demo.send_signal(signal.SIGTERM)
            rest = demo.stdout.read()
            assert demo.wait(timeout=60) == 0
        finally:
            demo.kill()
    assert FINAL.fullmatch(rest.splitlines()[-1])
