"""Puts dead letters through today's code, with the ids that their records always had.

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

from flowlog_core.dead_letters import DeadLetter, letter_with_entry
from flowlog_core.errors import Conflict, NotFound
from flowlog_core.operate.entry_again import CannotRedrive, entry_again
from flowlog_core.operate.letters import BadLetter, LetterStore, StoredLetter, read_letter
from flowlog_core.parsing import BadTuple, Damaged, Framer, Lines, ParsedEntry, read
from flowlog_core.pipeline import Pipeline
from flowlog_core.sinks import EntryRecords

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


def redrive(
    stored: StoredLetter, store: LetterStore, pipeline: Pipeline, *, is_dry: bool = False
) -> Redriven:
    """Send what today's code can read of a dead letter, and remove that from the store.

    With `is_dry` nothing is sent and nothing changed. Raises a `StorageError`; then the letter is
    still there, or everything of it is in the sink or in other letters.
    """
    try:
        content, etag = store.read(stored.name)
        letter = read_letter(content)
        entries, left = _readable(letter, pipeline)
    except NotFound:
        return Redriven(stored, is_gone=True)
    except (BadLetter, CannotRedrive) as error:
        return Redriven(stored, why=str(error))
    packed = [(entry, raw, bad, pipeline.sink.pack(entry)) for entry, raw, bad in entries]
    for entry, raw, bad, (_, too_large) in packed:
        if bad or too_large:
            # With the entry: the one in the flow log may be gone by the next time.
            left.append(letter_with_entry(entry, raw, bad, too_large))
    records = sum(len(entry.lines) - len(one.too_large) for entry, _, _, one in packed)
    if left and not records:
        return Redriven(stored, why=left[0].reason)
    why = left[0].reason if left else ""
    if is_dry:
        return Redriven(stored, records, not left, why)
    pipeline.sink.send(chain.from_iterable(one.messages for *_, one in packed))
    try:
        _replace(stored, etag, left, store)
    except Conflict:
        return Redriven(stored, records, why=_CHANGED)
    return Redriven(stored, records, not left, why)


Readable = tuple[EntryRecords, bytes, list[BadTuple]]
"""The records of an entry that are to be sent, its bytes, and its tuples that stay bad."""


def _readable(letter: DeadLetter, pipeline: Pipeline) -> tuple[list[Readable], list[DeadLetter]]:
    """What of a letter can be read today, and letters for the rest. Raises `CannotRedrive`."""
    position = letter.position
    if letter.tuple_index is not None:
        head = b'{"id":"%b"' % letter.id.encode()
        if letter.raw.startswith(head):  # a record that was too large for the sink
            entry = EntryRecords(
                position, Lines.of([letter.raw.decode()]), range(letter.tuple_index)
            )
            return [(entry, letter.raw, [])], []
        return [_only([letter.tuple_index], entry_again(letter, pipeline), letter)], []
    items = list(
        read(
            [letter.raw, _END],
            lambda offset: position.at(offset).entry_id,
            Framer(position.offset),
        )
    )
    parsed = [item for item in items if isinstance(item, ParsedEntry)]
    if not parsed:
        raise CannotRedrive(items[0].reason if isinstance(items[0], Damaged) else letter.reason)
    if letter.tuples:
        return [_only([one.index for one in letter.tuples], parsed[0], letter)], []
    readable = [
        (
            EntryRecords(position.at(one.start), one.lines, [bad.index for bad in one.bad]),
            one.raw,
            one.bad,
        )
        for one in parsed
    ]
    return readable, list(_stretches(letter, items))


def _only(indexes: Sequence[int], parsed: ParsedEntry, letter: DeadLetter) -> Readable:
    """The records of some tuples of an entry; the others were forwarded with the entry."""
    wanted = set(indexes)
    whole = EntryRecords(letter.position, parsed.lines, [bad.index for bad in parsed.bad])
    good = [
        (index, line)
        for index, line in zip(whole.tuple_indexes, parsed.lines, strict=True)
        if index in wanted
    ]
    still_bad = [bad for bad in parsed.bad if bad.index in wanted]
    if not good:
        raise CannotRedrive(still_bad[0].reason if still_bad else "its entry has no such tuple")
    sent = {index for index, _ in good}
    last = max(sent)
    entry = EntryRecords(
        letter.position,
        Lines.of(line for _, line in good),
        [index for index in range(last) if index not in sent],
    )
    return entry, parsed.raw, still_bad


def _stretches(letter: DeadLetter, items: Sequence[ParsedEntry | Damaged]) -> Iterator[DeadLetter]:
    """What lies between the entries that can be read, as it is: no byte gets lost."""
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
    """Store letters in the place of one. Raises `Conflict` if it, or theirs, changed meanwhile."""
    same: DeadLetter | None = None
    for letter in left:
        if letter.name == stored.name:
            same = letter
            continue
        try:
            store.create(letter)
        except Conflict:  # of an earlier run, or of the service
            if not _holds(store, letter):
                raise
    if same is not None:
        store.replace(same, etag)
        return
    with suppress(NotFound):
        store.remove(stored.name, etag)


def _holds(store: LetterStore, letter: DeadLetter) -> bool:
    with suppress(BadLetter, NotFound):
        return read_letter(store.read(letter.name)[0]).raw.startswith(letter.raw)
    return False
