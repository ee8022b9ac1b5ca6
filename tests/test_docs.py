"""The documentation: its commands run, its outputs are real, and its links lead somewhere.

What is run: every `flowlog` command on files, with its output where the page shows one, and the
Python of docs/analyze.md and docs/cookbook.md. Of what needs Azure, Docker or minutes, the command,
its options, the target or the module must exist. tests/test_consuming.py runs the examples of
docs/consuming.md, tests/test_infra_kql.py checks the Kusto.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from doc_commands import ROOT, SAMPLES, at_the_samples, output_of, shown_in
from packaging.requirements import Requirement
from test_packaging import PROJECT

from flowlog_core.cli import main, whole_parser

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "infra/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
NOT_RUN = {
    **dict.fromkeys(("az", "azd", "azcopy"), "they need Azure"),
    **dict.fromkeys(("docker", "kubectl", "func", "jq"), "they are not installed here"),
    **dict.fromkeys(("pip", "python", "python3", "make", ".ci/run"), "they take minutes"),
    **dict.fromkeys(("eval", "export", "cd", "git"), "they belong to another command"),
}
"""Programs that pages show and no test runs."""

NEED_STORAGE = ("run", "tail", "doctor", "demo", "status", "backfill", "replay", "dead-letters")
"""Commands that are about an installation. Other tests run them; here their options are parsed."""


SHOWN = [each for page in PAGES for each in shown_in(page)]
RUN = [
    each
    for each in SHOWN
    if each.command.startswith("flowlog ") and each.command.split()[1] not in NEED_STORAGE
]


class Command(NamedTuple):
    """One command of a page, with its arguments."""

    page: str
    words: list[str]

    @property
    def program(self) -> str:
        return self.words[0].removeprefix(".venv/bin/")


def lines_of(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell script, whatever lines it is written over."""
    waiting = ""
    for line in text.splitlines():
        waiting += line + "\n"
        if line.endswith(("\\", "|", "&&")):
            continue
        try:
            words = shlex.split(waiting.replace("\\\n", " "), comments=True)
        except ValueError:  # a quotation goes on in the next line
            continue
        if "$(" in waiting:  # what is inside has quotations of its own: only the program is known
            words = words[:1]
        waiting = ""
        command: list[str] = []
        for word in [*words, "|"]:
            if word in ("|", "&&", ";"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)
    assert waiting == ""


def commands() -> list[Command]:
    """Every command in a block of shell, of every page."""
    block = re.compile(r"^```(?:sh|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [
        Command(page, words)
        for page in PAGES
        for text in block.findall((ROOT / page).read_text("utf-8"))
        for words in lines_of(text)
    ]
    return found + [Command(each.page, words) for each in SHOWN for words in lines_of(each.command)]


COMMANDS = commands()
FLOWLOG = [each for each in COMMANDS if each.program == "flowlog"]


def test_the_reader_of_pages_finds_their_commands() -> None:
    """The tests below say nothing if they find nothing."""
    assert list(lines_of('a "b\nc" \\\n  d # e\nf | g &&\nh')) == [
        ["a", "b\nc", "d"], ["f"], ["g"], ["h"],
    ]  # fmt: skip
    assert len(COMMANDS) > 60
    assert len(FLOWLOG) > 25
    assert {"README.md", "docs/analyze.md", "infra/README.md"} <= {each.page for each in COMMANDS}


# ---- flowlog


@pytest.mark.parametrize("shown", RUN, ids=[f"{each.page}:{each.line}" for each in RUN])
def test_a_command_prints_what_its_page_shows(shown: Any) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no captures in {SAMPLES}")
    with at_the_samples():
        found = output_of(shown.command)
    # How large a Parquet file is depends on the library that writes it.
    size = re.compile(r"[\d,]+ bytes$", re.MULTILINE)
    assert size.sub("N bytes", found) == size.sub("N bytes", shown.output)


def parsed(words: list[str]) -> argparse.Namespace:
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            return whole_parser().parse_args(words)
    except SystemExit:
        raise AssertionError(error.getvalue()) from None


@pytest.mark.parametrize("page", sorted({each.page for each in FLOWLOG}))
def test_commands_of_blocks_are_understood(page: str) -> None:
    for each in FLOWLOG:
        if each.page == page:
            parsed(each.words[1:])


def test_commands_on_files_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no captures in {SAMPLES}")
    monkeypatch.chdir(tmp_path)
    Path("PT1H.json").write_bytes((SAMPLES / "nsg-v2.json").read_bytes())
    Path("logs").symlink_to(SAMPLES, target_is_directory=True)
    shown = [shlex.split(one.command) for one in RUN]
    wanted = [
        each.words
        for each in FLOWLOG
        if each.words[1] not in NEED_STORAGE
        and each.words not in shown
        and not any("://" in word for word in each.words)
    ]
    assert len(wanted) >= 2
    for words in wanted:
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(words[1:]) == 0, words


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    """`flowlog COMMAND --option`, whatever else it leaves out."""
    subparsers = next(
        action
        for action in whole_parser()._actions  # argparse offers no other way
        if isinstance(action, argparse._SubParsersAction)
    )
    text = re.sub(
        r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for command, rest in re.findall(r"`flowlog ([a-z][a-z-]*)([^`]*)`", text):
        assert command in subparsers.choices, f"flowlog {command}"
        known = subparsers.choices[command]._option_string_actions
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in known, f"flowlog {command} {option}"


# ---- Everything else


def test_other_programs_are_known_and_what_they_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, words in COMMANDS:
        where = f"{page}: {shlex.join(words)}"
        program = words[0].removeprefix(".venv/bin/")
        if program in ("flowlog", "base64", "gunzip", "sort", "uniq", "wc"):
            continue
        assert program in NOT_RUN, where
        if program == "make":
            assert words[1] in targets, where
        elif program == "pip":
            extras = {extra for word in words[2:] for extra in Requirement(word).extras}
            assert extras <= PROJECT["optional-dependencies"].keys(), where
        elif program.startswith("python") and words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None, where
        elif program.startswith("python") or program == ".ci/run":
            assert (ROOT / words[-1 if program == ".ci/run" else 1]).is_file(), where


@pytest.mark.parametrize("page", [page for page in PAGES if re.fullmatch(r"docs/[^/]+", page)])
def test_a_page_begins_with_whom_it_is_for(page: str) -> None:
    assert re.match(r"# .*\n\nFor ", (ROOT / page).read_text("utf-8"))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(plain)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target.read_text("utf-8")), link


# ---- docs/cookbook.md and docs/analyze.md


def test_decisions_are_headed_by_their_number_and_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = (folder / "README.md").read_text("utf-8")
    for page in sorted(folder.glob("[0-9]*.md")):
        number = page.name[:4]
        assert page.read_text("utf-8").startswith(f"# {number}: "), page.name
        assert f"[{number}]({page.name})" in listed


def test_the_cookbook_has_twenty_questions_with_one_command_each() -> None:
    text = (ROOT / "docs/cookbook.md").read_text("utf-8")
    parts = re.split(r"^### (\d+)\. .*\?$", text, flags=re.MULTILINE)
    assert parts[1::2] == [str(number) for number in range(1, 21)]
    blocks = [
        re.split(r"^## ", part, flags=re.MULTILINE)[0].count("```console") for part in parts[2::2]
    ]
    assert blocks == [1] * 20


class Tuple(NamedTuple):
    """A tuple of the captures, read here without any code of the package."""

    nsg: str
    rule: str
    fields: list[str]

    @property
    def is_denied(self) -> bool:
        return self.fields[7] == "D"

    @property
    def bytes(self) -> int:
        return int(self.fields[10] or 0) + int(self.fields[12] or 0)


@pytest.fixture(scope="module")
def captured() -> list[Tuple]:
    """Version 2 has the decision in field 7; version 4 the state, whose D is a denial."""
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no captures in {SAMPLES}")
    found = []
    for path in sorted(SAMPLES.glob("*.json")):
        for entry in json.loads(path.read_bytes())["records"]:
            if "flowRecords" in entry:
                flows = [(one["aclID"], group) for one in entry["flowRecords"]["flows"]
                         for group in one["flowGroups"]]  # fmt: skip
            else:
                flows = [(entry["resourceId"], flow | {"rule": one["rule"]})
                         for one in entry["properties"]["flows"]
                         for flow in one["flows"]]  # fmt: skip
            found += [
                Tuple(acl.rpartition("/")[2], group["rule"], text.split(","))
                for acl, group in flows
                for text in group["flowTuples"]
            ]
    return found


def answer(number: int) -> list[list[str]]:
    """The rows of the answer to one question of the cookbook."""
    shown = shown_in("docs/cookbook.md")[number - 1]
    return [line.split() for line in shown.output.splitlines()[1:]]


def test_the_cookbook_names_what_was_denied(captured: list[Tuple]) -> None:
    denied = Counter((one.nsg, one.rule) for one in captured if one.is_denied)
    sources = {key: len({one.fields[1] for one in captured if one.is_denied and key == one[:2]})
               for key in denied}  # fmt: skip
    expected = sorted(
        [nsg, rule, str(count), str(sources[nsg, rule])] for (nsg, rule), count in denied.items()
    )
    assert sorted(answer(1)) == expected


def test_the_cookbook_sums_bytes(captured: list[Tuple]) -> None:
    outbound: Counter[str] = Counter()
    for one in captured:
        if one.fields[6] == "O":
            outbound[one.fields[2]] += one.bytes
    expected = [[ip, f"{count:,}"] for ip, count in outbound.most_common(5)]
    assert [[row[0], row[4]] for row in answer(15)] == expected


def python_blocks(page: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def printed_by(script: str) -> str:
    """What a script prints, run by itself as a reader would, in the current folder."""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "COLUMNS": "200"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize(("number", "library"), [(0, "duckdb"), (1, "polars"), (2, "pyarrow")])
def test_exported_files_are_read_back(captured: list[Tuple], number: int, library: str) -> None:
    """The captures of 2024-08-19, 18:00 to 19:00, are 1724090400 to 1724094000 of `date +%s`."""
    denied = [
        one for one in captured if one.is_denied and 1724090400 <= int(one.fields[0]) < 1724094000
    ]
    script = python_blocks("docs/cookbook.md")[number]
    assert f"import {library}" in script
    with at_the_samples():
        output_of("flowlog export --to lake samples/")
        found = printed_by(script)
    assert {one.rule for one in denied} == {"DefaultRule_DenyAllInBound"}
    assert re.search(r"DefaultRule_DenyAll", found)
    assert re.search(rf"\b{len(denied)}\b", found)


def test_the_python_of_the_analysis_page_runs(captured: list[Tuple]) -> None:
    (script,) = python_blocks("docs/analyze.md")
    with at_the_samples() as folder:
        (folder / "logs").symlink_to(SAMPLES, target_is_directory=True)
        printed = printed_by(script)
    since = 1735603200000  # 2024-12-31, by `date +%s`
    denied = [
        one
        for one in captured
        if one.is_denied and one.fields[4] == "22" and int(one.fields[0]) >= since
    ]
    assert len(denied) == printed.count("DefaultRule_DenyAllInBound") > 0
    for action, count in Counter("deny" if one.is_denied else "allow" for one in captured).items():
        assert re.search(rf"{action} +{count} ", printed)
    assert printed.count('"ntp"') + printed.count(" ntp ") >= sum(
        one.fields[4] == "123" for one in captured
    )
