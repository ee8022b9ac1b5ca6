"""Processes dead letters with the installed code and settings, with the original record ids.

    read   parse   send (accepted)   store what is left   remove If-Match
                 X                 X                    X
                 the letter stays, and the next run sends the same ids and content again

A letter is removed once everything of it is in the sink, or in a letter of its own. One of which
nothing can be read stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flowlog_core.dead_letters import DeadLetter, letter_with_entry
from flowlog_core.errors import Conflict, FlowlogError, ItemRefused, NotFound
from flowlog_core.operate.entry_again import CannotRedrive, entry_again
from flowlog_core.operate.letters import BadLetter, LetterStore, StoredLetter, read_letter
from flowlog_core.parsing import Damaged, Framer, ParsedEntry, read
from flowlog_core.pipeline import Pipeline

_SEPARATORS = b" \t\r\n,"
_END = b"]}"  # so that brackets at the end of the bytes are not taken for the end of a blob
_CHANGED = "it changed meanwhile: run it again"


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one dead letter."""

    letter: StoredLetter
    records: int = 0
    """How many were sent."""
    is_gone: bool = False
    """Whether nothing of it is left."""
    why: str = ""
    """Why it, or a part of it, stays."""
    error: FlowlogError | None = None
    """What was raised where its flow log cannot be read."""


def redrive(
    stored: StoredLetter, store: LetterStore, pipeline: Pipeline, *, is_dry: bool = False
) -> Redriven:
    """Send what the installed code can read of a dead letter, and remove that from the store.

    With `is_dry` nothing is sent and nothing changed. A letter whose flow log cannot be read stays.
    Raises a `StorageError` of the letters, the checkpoints or the sink; then the letter is still
    there, or everything of it is in the sink or in other letters.
    """
    try:
        content, etag = store.read(stored.name)
        letter = read_letter(content)
        entries, left = _readable(letter, pipeline)
    except NotFound:
        return Redriven(stored, is_gone=True)
    except (BadLetter, CannotRedrive) as error:
        cause = error.__cause__ if isinstance(error.__cause__, FlowlogError) else None
        return Redriven(stored, why=str(error), error=cause)
    messages: list[Iterable[Any]] = []
    records = 0
    for entry in entries:
        shaped = pipeline.shaper(letter.position.at(entry.start), entry)
        packed = pipeline.sink.pack(shaped.sent)
        messages.append(packed.messages)
        records += len(shaped.sent.lines) - len(packed.too_large)
        too_large = shaped.of_tuples(packed.too_large)
        if entry.bad or too_large:
            # With the entry: the one in the flow log may be gone by the next time.
            left.append(letter_with_entry(shaped.kept, entry.raw, entry.bad, too_large))
    if left and not records:
        return Redriven(stored, why=left[0].reason)
    why = left[0].reason if left else ""
    if is_dry:
        return Redriven(stored, records, not left, why)
    try:
        pipeline.sink.send(chain.from_iterable(messages))
        _replace(stored, etag, left, store)
    except (ItemRefused, Conflict) as error:
        was_sent = isinstance(error, Conflict)
        return Redriven(stored, records * was_sent, why=_CHANGED if was_sent else str(error))
    return Redriven(stored, records, not left, why)


def _readable(letter: DeadLetter, pipeline: Pipeline) -> tuple[list[ParsedEntry], list[DeadLetter]]:
    """What of a letter can be read today, and letters for the rest. Raises `CannotRedrive`."""
    position, offset = letter.position, letter.position.offset
    if letter.tuple_index is not None:
        head = b'{"id":"%b"' % letter.id.encode()
        if not letter.raw.startswith(head):
            return [_only([letter.tuple_index], entry_again(letter, pipeline))], []
        # A record that was too large for the sink.
        line, others = [letter.raw.decode()], list(range(letter.tuple_index))
        return [ParsedEntry(offset, offset, letter.raw, line, [], others)], []
    items = list(
        read(
            [letter.raw, _END],
            lambda start: position.at(start).entry_id,
            Framer(offset),
            drops=pipeline.shaper.drops,
        )
    )
    parsed = [item for item in items if isinstance(item, ParsedEntry)]
    if not parsed:
        raise CannotRedrive(items[0].reason if isinstance(items[0], Damaged) else letter.reason)
    if letter.tuples:
        return [_only([one.index for one in letter.tuples], parsed[0])], []
    return parsed, list(_stretches(letter, items))


def _only(indexes: Sequence[int], entry: ParsedEntry) -> ParsedEntry:
    """An entry without the tuples that were forwarded with it. Raises `CannotRedrive`."""
    wanted = set(indexes)
    left_out = [*(bad.index for bad in entry.bad), *entry.dropped]
    all_indexes = range(len(entry.lines) + len(left_out))
    of_lines = [index for index in all_indexes if index not in set(left_out)]
    good = dict(zip(of_lines, entry.lines, strict=True))
    sent = [index for index in of_lines if index in wanted]
    bad = [one for one in entry.bad if one.index in wanted]
    if not sent and not wanted.intersection(entry.dropped):
        raise CannotRedrive(bad[0].reason if bad else "its entry has no such tuple")
    others = [index for index in all_indexes if index not in {*sent, *(one.index for one in bad)}]
    return entry._replace(lines=[good[index] for index in sent], bad=bad, dropped=others)


def _stretches(letter: DeadLetter, items: Sequence[ParsedEntry | Damaged]) -> Iterator[DeadLetter]:
    """The bytes between the entries that can be read, unchanged and complete."""
    run: list[Damaged] = []
    for item in (*items, None):
        if isinstance(item, Damaged):
            run.append(item)
        elif run:
            start = run[0].start
            until = letter.position.offset + len(letter.raw) if item is None else item.start
            raw = letter.raw[start - letter.position.offset : until - letter.position.offset]
            yield DeadLetter(
                letter.position.at(start), run[0].reason, raw.rstrip(_SEPARATORS) or raw
            )
            run = []


def _replace(
    stored: StoredLetter, etag: str, left: Iterable[DeadLetter], store: LetterStore
) -> None:
    """Replace one letter by others. Raises `Conflict` if one of them changed meanwhile."""
    same: DeadLetter | None = None
    for letter in left:
        if letter.id == stored.id:
            same = letter
            continue
        try:
            store.create(letter)
        except Conflict:  # of an earlier run, or of the service
            if not any(_holds(store, name, letter) for name in (letter.name, letter.plain_name)):
                raise
    if same is not None:
        store.replace(stored.name, same, etag)
        return
    with suppress(NotFound):
        store.remove(stored.name, etag)


def _holds(store: LetterStore, name: str, letter: DeadLetter) -> bool:
    with suppress(BadLetter, NotFound):
        return read_letter(store.read(name)[0]).raw.startswith(letter.raw)
    return False
