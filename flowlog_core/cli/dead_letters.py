"""Dead letters: input that could not be read. List, show and redrive them.

list counts them by source, hour and reason. show prints the position, reason and bytes of each.
redrive parses them with the installed version and sends what it can read, with the ids that the
records always had. It removes what it sent, and keeps and names the rest. For the dead letter of a
single tuple it reads the entry from the flow log again. Settings come from the environment, see
docs/settings.md.

list, show and redrive --dry-run change nothing.

Exit code: 0 done; 1 some dead letters remain, or cannot be read; 2 it could not start.

Examples:
  flowlog dead-letters list --since 24h
  flowlog dead-letters show --reason "unknown format" --max 3
  flowlog dead-letters redrive --resource WEB-NSG --dry-run
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import orjson

from flowlog_core.analyze.selection import has_mac, has_resource
from flowlog_core.blob import hour_key
from flowlog_core.cli.environment import add_settings_argument, service_of, settings_of
from flowlog_core.cli.options import (
    RECORD_OUTPUTS,
    add_interface_arguments,
    add_output_argument,
    add_range_arguments,
    count_argument,
    shows_progress,
)
from flowlog_core.cli.output import harmless_cell, harmless_json
from flowlog_core.cli.table import write_table
from flowlog_core.cli.terminal import ProgressLine, printable
from flowlog_core.cli.words import how_many
from flowlog_core.config.settings import Settings
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.doctor.endpoints import Endpoint, Endpoints
from flowlog_core.doctor.explain_error import explained
from flowlog_core.errors import FlowlogError
from flowlog_core.operate.entry_again import AsksOnce
from flowlog_core.operate.letters import (
    BadLetter,
    BlobLetters,
    LetterStore,
    StoredLetter,
    kind_of,
    read_letter,
)
from flowlog_core.operate.redrive import Redriven, redrive
from flowlog_core.service import Service

_ACTIONS = ("list", "show", "redrive")
_SHOWN = 10
_SHOWN_BYTES = 4096
_FIELDS = ("count", "account", "container", "resource_id", "hour", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog dead-letters`."""
    parser.add_argument(
        "action",
        choices=_ACTIONS,
        metavar="|".join(_ACTIONS),
        help="count them, print them, or send what can now be read",
    )
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        default=[],
        help="only these: an id, or the name of its blob",
    )
    add_settings_argument(parser)
    wanted = parser.add_argument_group("which dead letters (default: all)")
    add_range_arguments(
        wanted, "only of the hours from this time on", "only of hours that begin before this time"
    )
    for name, what in (
        ("source", "whose account or container contains this text, such as ACCOUNT/CONTAINER"),
        ("reason", "whose reason contains this text"),
    ):
        wanted.add_argument(f"--{name}", metavar="TEXT", default="", help=f"only those {what}")
    add_interface_arguments(wanted)
    wanted.add_argument(
        "--max",
        type=count_argument(),
        metavar="N",
        help=f"at most N, the newest ones (default: all; show: {_SHOWN})",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="redrive: print what would be sent and what would stay",
    )
    add_output_argument(parser, "table", RECORD_OUTPUTS)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    service = service_of(settings)
    if service is None:
        return 2
    endpoints = Endpoints.of(settings, service.clients).all()
    try:
        letters = _Chosen(_store(settings, service), options)
        if options.action == "list":
            return _list(letters, options.output)
        if options.action == "show":
            return _show(letters, options.output)
        return _redrive(letters, service, options, endpoints)
    except FlowlogError as error:
        print(explained(error, endpoints), file=sys.stderr)
        return 2
    finally:
        service.close()


def _store(settings: Settings, service: Service) -> LetterStore:
    blobs = service.clients.blobs(settings.state)
    return BlobLetters(blobs.get_container_client(settings.dead_letter_container))


class _Chosen:
    """The selected dead letters, the newest first. Prints those that cannot be read."""

    def __init__(self, store: LetterStore, options: argparse.Namespace) -> None:
        self.store, self._options = store, options
        self.unreadable = 0
        self.missing = 0
        """Named, and not there."""
        self.has_more = False
        self._progress = ProgressLine(is_wanted=shows_progress(options))

    def __iter__(self) -> Iterator[tuple[StoredLetter, DeadLetter]]:
        there = list(self.store.all())
        for missing in self._missing(there):
            self.say(f"{missing}: there is no such dead letter")
            self.missing += 1
        listed = [one for one in there if self._is_listed(one)]
        listed.sort(key=lambda one: (one.stored_at, one.name), reverse=True)
        limit = self._options.max or (_SHOWN if self._options.action == "show" else None)
        found = 0
        for count, (one, content) in enumerate(self.store.read_each(listed), start=1):
            if self._progress.is_due():
                self._progress.show(f"{count:,} of {len(listed):,} dead letters read")
            try:
                letter = read_letter(content)
            except BadLetter as error:
                self.say(f"{one.name}: {error}")
                self.unreadable += 1
                continue
            if not self._is_chosen(letter):
                continue
            if found == limit:
                self.has_more = True
                break
            found += 1
            self._progress.clear()
            yield one, letter
        self._progress.clear()

    def say(self, text: str) -> None:
        """A line on standard error that replaces the progress."""
        self._progress.clear()
        print(printable(text), file=sys.stderr)

    @property
    def has_failed(self) -> bool:
        """Whether something was asked for that could not be had."""
        return bool(self.unreadable or self.missing)

    def _missing(self, there: Sequence[StoredLetter]) -> list[str]:
        names = {name for one in there for name in (one.id, one.name)}
        return [named for named in dict.fromkeys(self._options.ids) if named not in names]

    def _is_listed(self, one: StoredLetter) -> bool:
        options = self._options
        if options.ids and not {one.id, one.name}.intersection(options.ids):
            return False
        since = hour_key(options.since) if options.since else ""
        return one.hour >= since and (not options.until or one.hour < hour_key(options.until))

    def _is_chosen(self, letter: DeadLetter) -> bool:
        options, blob = self._options, letter.position.blob
        return (
            options.source.lower() in f"{blob.account}/{blob.container}".lower()
            and has_resource(options.resource, blob.log.resource_id)
            and has_mac(options.mac, blob.log.mac)
            and options.reason.lower() in letter.reason.lower()
        )


def _list(letters: _Chosen, output: str) -> int:
    counts: Counter[tuple[str, ...]] = Counter()
    for _, letter in letters:
        blob = letter.position.blob
        place = (blob.account, blob.container, blob.log.resource_id, hour_key(blob.log.hour))
        counts[(*place, kind_of(letter.reason))] += 1
    rows: list[tuple[str | int, ...]] = [(counts[key], *key) for key in sorted(counts)]
    if output == "ndjson":
        for row in rows:
            _write_json(dict(zip(_FIELDS, row, strict=True)))
    elif output == "csv":
        _write_csv(_FIELDS, rows)
    elif rows:
        write_table(_FIELDS, rows, sys.stdout, expendable=("container", "account"))
        if letters.has_more:
            print("and more that are older")
    elif not letters.has_failed:
        print("No dead letters.")
    return 1 if letters.has_failed else 0


def _show(letters: _Chosen, output: str) -> int:
    rows = []
    count = 0
    for count, (stored, letter) in enumerate(letters, start=1):
        if output == "table":
            print(("\n" if count > 1 else "") + "\n".join(_shown(stored, letter)))
        elif output == "csv":
            position = letter.position
            place = (str(position.blob), position.generation, position.offset, letter.tuple_index)
            rows.append((stored.id, *place, letter.reason, letter.raw.decode(errors="replace")))
        else:
            stored_at = f"{stored.stored_at:%Y-%m-%dT%H:%M:%SZ}"
            letter_json = orjson.loads(letter.to_json())
            _write_json({"name": stored.name, "stored_at": stored_at, **letter_json})
    if output == "csv":
        _write_csv(
            ("id", "blob", "generation", "offset", "tuple_index", "reason", "raw"),
            rows,
        )
    elif output == "table" and not count and not letters.has_failed:
        print("No dead letters.")
    elif output == "table" and letters.has_more:
        print("\nThere are more that are older: --max N shows more")
    return 1 if letters.has_failed else 0


def _write_json(value: dict[str, object]) -> None:
    sys.stdout.write(harmless_json(orjson.dumps(value).decode()) + "\n")


def _write_csv(names: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([harmless_cell(cell) for cell in row] for row in rows)


def _shown(stored: StoredLetter, letter: DeadLetter) -> Iterator[str]:
    position = letter.position
    tuple_index = "" if letter.tuple_index is None else f", tuple {letter.tuple_index}"
    yield f"id       {stored.id}"
    yield f"blob     {printable(str(position.blob))}"
    yield f"position byte {position.offset:,}{tuple_index}, generation {position.generation}"
    yield f"stored   {stored.stored_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"reason   {printable(letter.reason)}"
    for bad in letter.tuples[:_SHOWN]:
        yield f"tuple    {bad.index}: {printable(bad.raw)}: {printable(bad.reason)}"
    if len(letter.tuples) > _SHOWN:
        yield f"         and {len(letter.tuples) - _SHOWN:,} tuples more"
    yield f"bytes    {how_many(len(letter.raw), 'byte')}"
    yield f"         {readable_bytes(letter.raw)}"


def readable_bytes(raw: bytes, max_bytes: int = _SHOWN_BYTES) -> str:
    """Bytes as text without terminal controls: bytes that are not text are escaped."""
    text = printable(raw[:max_bytes].decode("utf-8", "backslashreplace"))
    left = len(raw) - max_bytes
    return text if left <= 0 else f"{text} … and {how_many(left, 'byte')} more: --output ndjson"


def _redrive(
    letters: _Chosen, service: Service, options: argparse.Namespace, endpoints: list[Endpoint]
) -> int:
    chosen = [stored for stored, _ in letters]
    pipeline = replace(service.pipeline, reader=AsksOnce(service.pipeline.reader))
    records = gone = 0
    try:
        for stored in chosen:
            done = redrive(stored, letters.store, pipeline, is_dry=options.dry_run)
            records += done.records
            gone += done.is_gone
            if done.why:
                letters.say(f"{stored.id} stays: {_why(done, endpoints)}")
    except FlowlogError as error:
        letters.say(explained(error, endpoints))
    if not chosen and not letters.has_failed:
        print("No dead letters.")
    elif not options.quiet:
        would = "would be " if options.dry_run else ""
        stay = len(chosen) - gone + letters.unreadable
        print(
            f"{how_many(records, 'record')} {would}sent, {how_many(gone, 'dead letter')} "
            f"{would}removed" + (f", {stay:,} stay" if stay else "")
        )
    return 1 if gone < len(chosen) or letters.has_failed else 0


def _why(stays: Redriven, endpoints: list[Endpoint]) -> str:
    if stays.error is None:
        return stays.why
    return f"its flow log cannot be read: {explained(stays.error, endpoints)}"
