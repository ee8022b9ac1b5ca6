"""What all commands have in common: options, help, tables, words, completion."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import flowlog
from hypothesis import given
from hypothesis import strategies as st
from test_cli import COMMANDS, three_formats

from flowlog_core import cli
from flowlog_core.__main__ import main as whole_main
from flowlog_core.cli import completion, main, whole_parser
from flowlog_core.cli.options import add_common_arguments, add_output_argument, time_argument
from flowlog_core.cli.output import writer_for
from flowlog_core.cli.signals import stopped_by_signals
from flowlog_core.cli.table import Column, fit, row_of, write_table
from flowlog_core.cli.terminal import ProgressLine, can_draw, is_coloured, screenful
from flowlog_core.cli.words import how_many, in_bytes, in_words, joined_counts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [
        one for one in whole_parser()._actions if isinstance(one, argparse._SubParsersAction)
    ]
    return dict(action.choices)


def test_every_command_is_there_with_its_options() -> None:
    assert list(commands()) == COMMANDS
    assert all(parser.description for parser in commands().values())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_same_options_for_how_much_it_says(command: str) -> None:
    known = commands()[command]._option_string_actions
    assert {"-h", "-q", "--quiet", "-v", "--verbose", "--no-progress"} <= set(known)


def test_output_has_the_same_words_everywhere() -> None:
    kinds = {
        name: tuple(parser._option_string_actions["--output"].choices or ())
        for name, parser in commands().items()
        if "--output" in parser._option_string_actions
    }
    assert set().union(*kinds.values()) <= {"table", "ndjson", "csv", "json", "parquet"}
    assert {"flows", "find", "ips", "top", "aggregate", "sql", "doctor"} <= set(kinds)


@pytest.mark.parametrize(
    ("kinds", "given", "taken"),
    [
        (("table", "ndjson"), "json", "ndjson"),
        (("table", "ndjson"), "table", "table"),
        (("table", "json"), "json", "json"),
    ],
)
def test_json_is_taken_for_ndjson_where_rows_are_printed(
    kinds: tuple[str, ...], given: str, taken: str
) -> None:
    parser = argparse.ArgumentParser()
    add_output_argument(parser, "table", kinds)
    assert parser.parse_args(["--output", given]).output == taken
    assert parser.parse_args([]).output == "table"


def test_quiet_and_verbose_exclude_each_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_common_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["-q", "-v"])


def test_flows_takes_json_and_says_each_source_with_verbose(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(three_formats()[0])
    code, out, err = flowlog("flows", "-v", "--output", "json", "one.json", folder=tmp_path)
    assert (code, len([json.loads(line) for line in out.splitlines()])) == (0, 12)
    assert err == "reading one.json\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T09:30+02:00", datetime(2026, 1, 31, 7, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_utc_where_it_says_nothing_else(text: str, expected: datetime) -> None:
    assert time_argument(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("30s", 30), ("1.5d", 129600), ("1w", 604800)],
)
def test_a_time_may_be_so_long_ago(text: str, seconds: int) -> None:
    before, time, after = datetime.now(UTC), time_argument(text), datetime.now(UTC)
    assert before <= time + timedelta(seconds=seconds) <= after


@pytest.mark.parametrize("text", ["", "2x", "yesterday", "2026-13-01", "99999999w", "5"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a time. Write 2026-01-31, "):
        time_argument(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1234, "1.2 kB"),
        (999_949, "1.0 MB"),
        (123_456_789, "123 MB"),
        (5e18, "5,000 PB"),
    ],
)
def test_sizes_in_words(count: float, words: str) -> None:
    assert in_bytes(count) == words


def test_one_of_a_kind_is_counted_in_the_singular() -> None:
    assert joined_counts((1, "entry", "entries"), (2, "entry", "entries"), (1, "failed")) == (
        "1 entry, 2 entries, 1 failed"
    )


def test_counts_that_are_zero_are_left_out() -> None:
    assert joined_counts((3, "forwarded"), (0, "failed"), (1200, "late")) == (
        "3 forwarded, 1,200 late"
    )
    assert [how_many(n, "entry", "entries") for n in (0, 1, 2)] == [
        *("0 entries", "1 entry", "2 entries"),
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_table_of_records_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, lines, _ = flowlog("flows", "-", stdin=three_formats()[0])
    assert code == 0
    out = Terminal()
    writer_for("table", out).write(lines.splitlines())
    header, *rows = out.getvalue().splitlines()
    assert len(rows) == 12
    assert max(map(len, [header, *rows])) <= width
    # At 80 columns, who talked to whom and what became of it.
    if width >= 80:
        assert header.split()[:2] == ["time", "action"]
        assert {"source", "destination", "proto"} <= set(header.split())
    for line, row in zip(lines.splitlines(), rows, strict=True):
        assert row.startswith(json.loads(line)["time"][:19])


@given(
    widths=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), min_size=1, max_size=12),
    room=st.integers(1, 250),
)
def test_columns_are_left_out_by_importance_and_the_rest_fit(
    widths: list[tuple[int, int]], room: int
) -> None:
    columns = [Column(str(at), width, importance=most) for at, (width, most) in enumerate(widths)]
    shown = fit(columns, room)
    assert shown
    line = row_of(["x" * 50] * len(columns), shown, room)
    assert len(line) <= room
    left_out = [columns[at].importance for at in range(len(columns)) if at not in shown]
    if left_out:
        assert max(left_out) <= min(columns[at].importance for at in shown)
    assert fit(columns, None) == {at: column.width for at, column in enumerate(columns)}


def test_a_whole_table_lines_up_and_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    write_table(["rule", "n", "port"], [["a\x1b[2J", 1234, 8080], ["b", 5, "-"]], out,
                plain_numbers=["port"])  # fmt: skip
    assert out.getvalue().splitlines() == [
        "rule          n  port",
        r"a\x1b[2J  1,234  8080",
        "b             5     -",
    ]
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    narrow = Terminal()
    write_table(["rule", "bytes"], [["word " * 20, 123456789]], narrow)
    assert max(map(len, narrow.getvalue().splitlines())) <= 30
    assert "123,456,789" in narrow.getvalue()


def test_a_table_on_a_narrow_terminal_keeps_numbers_hours_and_the_ends_of_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    names = ["dead_letters", "container", "resource", "newest_hour", "reason"]
    rows: list[list[str | int]] = [
        [
            12_345,
            "insights-logs-networksecuritygroupflowevent",
            f"NETWORKWATCHER_WESTEUROPE_{name}-VNET-FLOWLOG",
            "2026-01-31T09Z",
            reason,
        ]
        for name, reason in (("WEB", "short"), ("DB", "a reason of several words"))
    ]
    narrow = Terminal()
    write_table(names, rows, narrow, expendable=("container", "reason"))
    assert narrow.getvalue().splitlines() == [
        "dead letters  resource                        newest hour   ",
        "      12,345  NETWORKWA…OPE_WEB-VNET-FLOWLOG  2026-01-31T09Z",
        "      12,345  NETWORKWA…ROPE_DB-VNET-FLOWLOG  2026-01-31T09Z",
    ]
    monkeypatch.setenv("COLUMNS", "52")
    narrower = Terminal()
    write_table(
        [names[0], *names[2:]], [[row[0], *row[2:4], "few words"] for row in rows], narrower
    )
    assert max(map(len, narrower.getvalue().splitlines())) <= 52


def test_a_screen_is_never_scrolled() -> None:
    """ECMA-48: home, the rest of each line, the rest of the screen."""
    size = os.terminal_size((10, 5))
    assert screenful("a\nb\n", size) == "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"
    whole = [*"abcd"]
    assert screenful("\n".join(whole), size).count("\n") == 4
    ten = "\x1b[1m0123456789\x1b[0m"
    assert _lines(screenful(f"{ten}\n{ten}!\nc\n", size)) == [ten, f"{ten}!", "c"]
    assert _lines(screenful("a\nb\nc\nd\ne", size)) == ["a", "b", "c", "… and 2 more lines"]
    assert _lines(screenful(f"a\nb\n{ten}{ten}\nc", size)) == ["a", "b", "… and 2 more lines"]


def _lines(screen: str) -> list[str]:
    return screen.removeprefix("\x1b[H").removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()


def test_colour_is_for_terminals_that_want_it() -> None:
    assert is_coloured(Terminal(), {"TERM": "xterm"})
    assert is_coloured(Terminal(), {"TERM": "xterm", "NO_COLOR": ""})  # no-color.org: not empty
    assert not is_coloured(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not is_coloured(io.StringIO(), {"TERM": "xterm"})
    assert not can_draw(Terminal(), {"TERM": "dumb"})


def test_progress_is_for_terminals_and_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    terminal, pipe, unwanted = Terminal(), io.StringIO(), Terminal()
    for line in (
        ProgressLine(out=terminal),
        ProgressLine(out=pipe),
        ProgressLine(out=unwanted, is_wanted=False),
    ):
        line.show("half of all, and some more")
        line.clear()
        line.clear()
    assert terminal.getvalue() == "\rhalf of all, and so\x1b[K\r\x1b[K"
    assert pipe.getvalue() == unwanted.getvalue() == ""


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_knows_every_command_and_the_options_of_each(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name, parser in commands().items():
        assert name in script
        for option in parser._option_string_actions:
            if option.startswith("--") and parser._option_string_actions[option].help != (
                argparse.SUPPRESS
            ):
                assert option.lstrip("-") in script


@pytest.mark.parametrize("when", ["_declare", "_run"])
def test_ctrl_c_is_exit_130_also_while_a_command_is_imported(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, when, interrupted)
    assert main(["completion", "bash"]) == 130


def test_ctrl_c_is_exit_130_also_while_the_command_line_itself_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "flowlog_core.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "flowlog_core.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert whole_main() == 130


def test_completion_without_shtab_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == (
        "flowlog completion needs shtab. Run: pip install 'flowlog-azure[cli]'\n"
    )


def test_the_first_signal_sets_the_event_and_the_second_interrupts() -> None:
    with stopped_by_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_is_ignored_as_by_nohup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


NOT_UNDERSTOOD = {
    ("status", "extra"): "flowlog status: error: unrecognized arguments: extra\n",
    ("status", "--nosuch"): "flowlog status: error: unrecognized arguments: --nosuch\n",
    ("--nosuch", "status"): "flowlog: error: unrecognized arguments: --nosuch\n",
    ("backfill", "--since", "3h", "--mac", "00224"): (
        "flowlog backfill: error: argument --mac: '00224' is not a MAC address. Write "
        "00-22-48-00-00-01 or 002248000001\n"
    ),
}


@pytest.mark.parametrize("arguments", NOT_UNDERSTOOD, ids=" ".join)
def test_what_is_not_understood_is_told_by_its_command(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(NOT_UNDERSTOOD[arguments])


def test_names_may_stand_before_and_behind_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    for file in (one, two):
        file.write_bytes(three_formats()[0])
    assert main(["flows", str(one), "--output", "csv", str(two)]) == 0
    interleaved = capsys.readouterr().out
    assert main(["flows", str(one), str(two), "--output", "csv"]) == 0
    assert capsys.readouterr().out == interleaved


def test_a_range_without_time_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ("--since", "2026-01-02", "--until", "2026-01-01")
    with pytest.raises(SystemExit) as ended:
        main(["flows", str(tmp_path), *span])
    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        "flowlog flows: --until 2026-01-01T00:00 is not after --since 2026-01-02T00:00\n",
    )


def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "x"
    assert main(["status", "--settings", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing} cannot be read: No such file or directory\n"


def test_a_fault_of_a_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "x\x1b[2J"
    monkeypatch.setattr(completion, "run", lambda _: missing.open())
    monkeypatch.setattr("flowlog_core.cli._discard_output", lambda: None)
    assert main(["completion", "bash"]) == 1
    shown = str(missing).replace("\x1b", "\\x1b")
    assert capfd.readouterr().err == f"flowlog completion: {shown}: No such file or directory\n"
