"""The report's page in a browser: what it shows, what it filters, and that names cannot harm it."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, program
from made_records import SAMPLES
from test_analyze_report import BASE, some_report

from flowlog_core.analyze.report import DIMENSIONS, MAX_CELLS, MAX_NAMES, MAX_NEW_PORTS, Report
from flowlog_core.analyze.report_page import MAX_PAGE_BYTES, page
from flowlog_core.cli import main

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ASSETS = files("flowlog_core.analyze") / "report_assets"
UPLOT = {  # of uplot 1.6.32, as `npm pack` gives them
    "uplot.js": ("dist/uPlot.iife.min.js",
                 "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
    "uplot.css": ("dist/uPlot.min.css",
                  "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    "uplot-LICENSE": ("LICENSE",
                      "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
}  # fmt: skip

HOSTILE = {
    "</script><img src=x onerror=alert(1)>": "</script><img src=x onerror=alert(1)>",
    "<!--<script>alert(2)": "<!--<script>alert(2)",
    "\"'><svg/onload=alert(3)>&lt;&amp;": "\"'><svg/onload=alert(3)>&lt;&amp;",
    "abc\u202etxt.exe": "abc\\u202etxt.exe",
    "\u2066left\u2069\u200f": "\\u2066left\\u2069\\u200f",
    "\x1b[31mred\x00\r\n\x85": "\\x1b[31mred\\x00\\r\\n\\x85",
    "line\u2028separator": "line\\u2028separator",
    "=cmd|'/c calc'!A1": "=cmd|'/c calc'!A1",
    "  @SUM(1)": "  @SUM(1)",
    '+1,"2"': '+1,"2"',
    "\uff1d1+1": "\uff1d1+1",
    "{style} ${alert(4)} {{x}} %s": "{style} ${alert(4)} {{x}} %s",
    "r\xe8gle \u898f\u5247 \U0001f600": "r\xe8gle \u898f\u5247 \U0001f600",
    "x" * 200: "x" * 119 + "\u2026",
    "__proto__": "__proto__",
}
"""Names of rules, and what the page shows of them."""

FORMULAS = ("=cmd|'/c calc'!A1", "  @SUM(1)", '+1,"2"', "\uff1d1+1")


def hostile_report() -> Report:
    return some_report([BASE | {"rule": rule} for rule in HOSTILE])


class Page:
    """A page in the browser, in the words of its reader."""

    def __init__(self, browser: Chromium, path: Path) -> None:
        self.browser, self.path = browser, path

    def open(self, **how: Any) -> None:
        self.browser.open(self.path, **how)

    def rows(self, card: str) -> list[tuple[str, str]]:
        """Name and amount of each row of a list."""
        found = self.browser.run(
            f"[...document.querySelectorAll('#{card} .row')].map("
            "row => [row.querySelector('bdi').textContent, row.querySelector('.n').textContent])"
        )
        return [(name, amount) for name, amount in found]

    def press(self, card: str, text: str) -> None:
        self.browser.run(
            f"[...document.querySelectorAll('#{card} button')].find("
            f"button => button.textContent.startsWith({json.dumps(text)})).click()"
        )

    def filters(self) -> list[str]:
        found = self.browser.run(
            "[...document.querySelectorAll('#toolbar .filter')].map(each => each.textContent)"
        )
        return list(found)

    def copied(self, card: str) -> list[list[str]]:
        """What `Copy as CSV` of a card puts onto the clipboard."""
        text = self.browser.run(
            "new Promise(done => { Object.defineProperty(navigator, 'clipboard', "
            "{value: {writeText: async text => done(text)}, configurable: true}); "
            f"document.querySelector('#{card} details > button').click(); }})"
        )
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))

    def is_whole(self) -> None:
        """Nothing went wrong, nothing else was loaded, and nothing is wider than the window."""
        assert self.browser.faults == []
        assert self.browser.requests == [self.path.as_uri()]
        assert self.browser.run("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if program() is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def show(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Report], Page]:
    folder = tmp_path_factory.mktemp("pages")

    def made(report: Report, title: str = "Flows", **how: Any) -> Page:
        path = folder / f"{len(list(folder.iterdir()))}.html"
        path.write_text(page(report, title, MADE), "utf-8")
        shown = Page(browser, path)
        shown.open(**how)
        return shown

    return made


Show = Callable[..., Page]


def three_hosts() -> Report:
    return some_report([
        *[BASE | {"dst_port": 443}] * 3,
        BASE | {"src_ip": "10.0.0.2", "dst_port": 22, "time": "2026-01-01T07:05:00.000Z"},
        *[BASE | {"src_ip": "1.1.1.1", "dst_ip": "10.0.0.1", "dst_port": 23, "action": "deny",
                  "state": "deny", "rule": "DenyAll", "time": "2026-01-01T07:09:00.000Z",
                  "bytes_src_to_dst": None, "bytes_dst_to_src": None}] * 5,
    ])  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_are_shown_as_text(show: Show, width: int, dark: bool) -> None:
    shown = show(
        hostile_report(), "</title><script>alert(5)</script>\u202e", width=width, dark=dark
    )
    names = shown.browser.run(
        "(document.querySelector('#allowed-rules summary').click(), new Promise(done => "
        "setTimeout(() => done([...document.querySelectorAll('#allowed-rules .data tbody tr')]"
        ".map(row => row.firstChild.textContent)), 100)))"
    )
    assert sorted(names) == sorted(HOSTILE.values())
    assert shown.browser.run("document.title") == "</title><script>alert(5)</script>\\u202e"
    assert shown.browser.run("document.querySelectorAll('img, main script, main svg').length") == 0
    shown.is_whole()


def test_a_csv_holds_no_formula(show: Show) -> None:
    heading, *rows = show(hostile_report()).copied("allowed-rules")
    assert heading == ["rule", "allowed flows", "denied flows"]
    expected = {f"'{text}" if text in FORMULAS else text for text in HOSTILE.values()}
    assert {row[0] for row in rows} == expected
    assert [row[1:] for row in rows] == [["1", "0"]] * len(HOSTILE)


def test_the_page_says_what_was_allowed_and_denied(show: Show) -> None:
    shown = show(three_hosts())
    assert shown.rows("sources") == [("1.1.1.1", "5"), ("10.0.0.1", "3"), ("10.0.0.2", "1")]
    assert shown.rows("services") == [("telnet", "5"), ("https", "3"), ("ssh", "1")]
    assert shown.rows("denied-rules") == [("DenyAll", "5")]
    assert shown.rows("denied-sources") == [("1.1.1.1", "5")]
    assert shown.rows("kinds") == [("internet to internal", "5"), ("internal to internet", "4")]
    assert shown.rows("new-ports") == [("ssh", "1")]
    assert shown.copied("matrix")[1:] == [
        ["1.1.1.1", "10.0.0.1", "0", "5"],
        ["10.0.0.1", "8.8.8.8", "3", "0"],
        ["10.0.0.2", "8.8.8.8", "1", "0"],
    ]
    assert shown.copied("time")[1:] == [
        ["2026-01-01 07:00", "3", "0"],
        ["2026-01-01 07:05", "1", "0"],
        ["2026-01-01 07:09", "0", "5"],
    ]
    shown.press("toolbar", "bytes")
    assert shown.rows("sources") == [("10.0.0.1", "450"), ("10.0.0.2", "150")]
    shown.is_whole()


def test_a_click_filters_the_page_and_a_second_one_takes_the_filter_away(show: Show) -> None:
    shown = show(three_hosts())
    shown.press("destinations", "8.8.8.8")
    assert shown.filters() == ["Destination: 8.8.8.8 ×"]
    assert shown.rows("sources") == [("10.0.0.1", "3"), ("10.0.0.2", "1")]
    assert shown.rows("destinations") == [("10.0.0.1", "5"), ("8.8.8.8", "4")]  # to choose another
    assert shown.rows("denied-rules") == []
    shown.press("services", "ssh")
    assert shown.rows("sources") == [("10.0.0.2", "1")]
    shown.press("toolbar", "Destination")
    shown.press("services", "ssh")
    assert shown.filters() == []
    assert len(shown.rows("sources")) == 3
    shown.is_whole()


def test_the_chart_over_time_filters_by_a_click_and_by_dragging(show: Show) -> None:
    shown = show(three_hosts())  # ten slots of a minute
    left, top, width = shown.browser.run(
        "(box => [box.left, box.top, box.width])("
        "document.querySelector('#over-time .u-over').getBoundingClientRect())"
    )
    slot = width / 10
    shown.browser.click(left + 9.5 * slot, top + 30)
    assert shown.filters() == ["Time: 2026-01-01 07:09 ×"]
    assert shown.rows("sources") == [("1.1.1.1", "5")]
    shown.browser.click(left + 9.5 * slot, top + 30)
    assert shown.filters() == []
    shown.browser.drag(left + 5.5 * slot, top + 30, left + 9.5 * slot, top + 30)
    assert shown.filters() == ["Time: 2026-01-01 07:05 to 2026-01-01 07:10 ×"]
    assert shown.rows("sources") == [("1.1.1.1", "5"), ("10.0.0.2", "1")]
    shown.is_whole()


def test_the_matrix_filters_by_both_ends(show: Show) -> None:
    shown = show(three_hosts())
    shown.browser.run("document.querySelector(\"#matrix button[title^='10.0.0.2 to']\").click()")
    assert shown.filters() == ["Source: 10.0.0.2 ×", "Destination: 8.8.8.8 ×"]
    assert shown.rows("services") == [("ssh", "1")]


def test_what_has_focus_keeps_it_when_the_page_is_filtered(show: Show) -> None:
    shown = show(three_hosts())
    focused = shown.browser.run(
        "(button => (button.focus(), button.click(), document.activeElement.textContent))("
        "document.querySelectorAll('#services .row')[1])"
    )
    assert focused.startswith("https")


def test_a_print_is_light_and_has_no_controls(show: Show) -> None:
    shown = show(three_hosts(), dark=True)
    assert shown.browser.pdf().startswith(b"%PDF")
    background = "getComputedStyle(document.body).backgroundColor"
    assert shown.browser.run(background) == "rgb(17, 22, 29)"  # dark again afterwards
    shown.browser.run("dispatchEvent(new Event('beforeprint'))")
    assert shown.browser.run(background) == "rgb(255, 255, 255)"
    shown.is_whole()


class Tags(HTMLParser):
    """The elements of a page, and the addresses that they name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]


def test_the_page_names_no_other_and_lets_only_its_own_scripts_run() -> None:
    text = page(hostile_report(), "</title>", MADE)
    tags = Tags(text)
    assert tags.addresses == []
    assert (tags.tags.count("script"), tags.tags.count("style"), tags.tags.count("img")) == (
        3,
        2,
        0,
    )
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="(.*?)"', text)[0])
    assert policy.split("; ")[0] == "default-src 'none'"
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


def test_the_browser_runs_no_script_that_is_added(browser: Chromium, tmp_path: Path) -> None:
    """What would happen if a name did become markup: the policy holds."""
    text = page(three_hosts(), "Flows", MADE)
    path = tmp_path / "changed.html"
    added = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    path.write_text(text.replace("<main", f"{added}<main"), "utf-8")
    browser.open(path)
    assert browser.run("window.ran ?? 'nothing'") == "nothing"
    assert any("Content Security Policy" in fault for fault in browser.faults)
    # A browser that enforces trusted types makes no HTML of text.
    made = browser.run("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made' }"
                       " catch (error) { return error.name } })()")  # fmt: skip
    assert made == "TypeError"


def test_the_largest_report_is_below_two_megabytes() -> None:
    """Every bound of `Report` reached, with the largest numbers and names."""
    name = "\U0001f600" * 200
    port = {"service": name, "src_ip": name, "dst_ip": name, "first_minute": 10**8,
            "flows": 10**9, "bytes": 10**15}  # fmt: skip
    report = Report(
        first_ms=10**14, width_s=86400 * 365, records=10**9,
        names={dimension: [name] * MAX_NAMES for dimension in DIMENSIONS},
        found=dict.fromkeys(DIMENSIONS, 10**9),
        cells=[[72, 1, 3, 179, 179, 179, 179, 10**9, 10**12, 10**15]] * MAX_CELLS,
        summed_flows=10**9, new_ports=[port] * MAX_NEW_PORTS, new_ports_found=10**6,
    )  # fmt: skip
    assert len(page(report, name, MADE).encode()) <= MAX_PAGE_BYTES == 2_000_000


def test_addresses_have_the_names_that_are_given() -> None:
    text = page(three_hosts(), "Flows", MADE, {"10.0.0.1": "web-1"}.get)
    assert json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])["names"]["src_ip"] == [
        "1.1.1.1", "web-1 (10.0.0.1)", "10.0.0.2",
    ]  # fmt: skip


# ---- The command


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no captures in {SAMPLES}")
    to = tmp_path / "report.html"
    assert main(["report", "-o", str(to), "--title", "A & B", str(SAMPLES)]) == 0
    said = f"{to}: 448 records, {to.stat().st_size:,} bytes\n"
    assert capsys.readouterr().err == said
    assert "<title>A &amp; B</title>" in to.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [to]


def test_the_command_keeps_an_older_report_if_there_are_no_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, to = tmp_path / "PT1H.json", tmp_path / "report.html"
    log.write_bytes(b'{"records":[]}')
    to.write_text("older")
    assert main(["report", "-o", str(to), str(log)]) == 1
    assert "no records were found; nothing is written" in capsys.readouterr().err
    assert to.read_text() == "older"


def test_the_command_names_a_folder_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", "-o", str(tmp_path / "no" / "report.html"), str(tmp_path)])
    assert f"there is no folder {tmp_path / 'no'} to write to" in capsys.readouterr().err


# ---- What is inside


def test_uplot_is_the_file_of_its_release() -> None:
    found = {name: hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() for name in UPLOT}
    assert found == {name: digest for name, (_, digest) in UPLOT.items()}
    assert "uPlot 1.6.32" in (ASSETS / "README.md").read_text("utf-8")


def test_uplot_is_what_npm_has(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run([npm, "pack", "uplot@1.6.32", "--silent", "--fetch-retries=0"],
                            cwd=tmp_path, capture_output=True, timeout=60, check=False)  # fmt: skip
    if packed.returncode:
        pytest.skip("npm's registry cannot be reached")
    with tarfile.open(tmp_path / "uplot-1.6.32.tgz") as archive:
        for name, (path, _) in UPLOT.items():
            member = archive.extractfile(f"package/{path}")
            assert member is not None
            assert member.read() == (ASSETS / name).read_bytes()
