"""Where the processor's time goes on the way from a blob's bytes to its messages, step by step.

    python -m bench.bench_tuple

Each step is measured by itself, as in `bench_normalize`: nanoseconds of processor time a tuple, the
best of several rounds that take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
from pybase64 import b64decode, b64encode_as_string

from bench.bench_ingest import reference
from bench.measuring import best_of, blob_of, entries_of, machine
from flowlog_core.blob import Position
from flowlog_core.compiled import outline
from flowlog_core.framing import Entry, Framer
from flowlog_core.groups import groups_of
from flowlog_core.messages import messages_of
from flowlog_core.normalize import normalize
from flowlog_core.outline import Outline
from flowlog_core.sinks import EntryRecords
from flowlog_core.testing.generate import Format

TUPLES = 150
BLOB_TUPLES = 9_000
ROUNDS = 15


def of_a_tuple(form: Format) -> dict[str, float]:
    """Nanoseconds of each step, a tuple. `together` is all of it done in turn, as `ingest` does."""
    if outline is None:
        raise SystemExit("nothing was compiled: see `make setup`")
    ref = reference(form)
    position = Position(ref, offset=12)
    raws = entries_of(form, TUPLES, BLOB_TUPLES)
    blob = blob_of(raws)
    items = [item for item in Framer().feed(blob) if isinstance(item, Entry)]
    outlines = [item.parsed for item in items if isinstance(item.parsed, Outline)]
    texts = [text for raw in raws if (text := outline(raw, 0, len(raw))[1])]
    if not len(items) == len(outlines) == len(texts) == len(raws):
        raise SystemExit("not every entry has an outline: the figures would mean nothing")
    prefix = f"{position.entry_id}."
    found = [groups_of(one.value, in_raw=True) for one in outlines]
    entries = [EntryRecords(position, normalize(one, prefix).lines) for one in outlines]
    messages = [message for entry in entries for message in messages_of(entry)[0]]
    bodies = [b64decode(message.text) for message in messages]

    def write() -> None:
        for one, groups in zip(outlines, found, strict=True):
            writer = groups.log_format.writer
            if writer is not None:
                writer.write('{"id":"' + prefix, groups.groups, groups.next_index, _none, one.raw)

    def together() -> None:
        for item in Framer().feed(blob):
            if isinstance(item, Entry):
                at = position.at(item.start)
                lines = normalize(item.parsed, f"{at.entry_id}.").lines
                _draw(messages_of(EntryRecords(at, lines))[0])

    # Drawn, not kept: memory that is used again stays in the caches, as it does in `ingest`.
    works: dict[str, Callable[[], object]] = {
        "outline": lambda: _draw(outline(raw, 0, len(raw)) for raw in raws),
        "parse": lambda: _draw(orjson.loads(text) for text in texts),
        "frame": lambda: _draw(Framer().feed(blob)),
        "walk": lambda: _draw(groups_of(one.value, in_raw=True) for one in outlines),
        "write": write,
        "normalize": lambda: _draw(normalize(one, prefix) for one in outlines),
        # Copied once, as where an envelope and records are joined.
        "encode": lambda: _draw(b64encode_as_string(b"".join((body, b""))) for body in bodies),
        "pack": lambda: _draw(one for entry in entries for one in messages_of(entry)[0]),
        "together": together,
    }
    count = len(raws) * TUPLES
    seconds = best_of(ROUNDS, *works.values())
    return dict(zip(works, (one / count * 1e9 for one in seconds), strict=True))


def _none(*_: object) -> None:
    """The generator makes no tuple that would need Python."""


def _draw(items: Iterable[object]) -> None:
    for _ in items:
        pass


def main() -> None:
    """Print the table: each step without those that have a row of their own."""
    print(f"## One tuple, of entries of {TUPLES}\n\n{machine()}; ns of processor time\n")
    forms: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")
    columns = [of_a_tuple(form) for form in forms]
    print(f"| step | in | {' | '.join(forms)} |\n|---|---|{'--:|' * len(forms)}")
    steps: list[tuple[str, str, Callable[[dict[str, float]], float]]] = [
        ("find the entry's end, leave its tuples out", "C", lambda ns: ns["outline"]),
        ("parse what is left", "orjson", lambda ns: ns["parse"]),
        (
            "the rest of framing: separators, position, copy",
            "Python",
            lambda ns: ns["frame"] - ns["outline"] - ns["parse"],
        ),
        ("walk down to the groups, JSON of names and ids", "Python", lambda ns: ns["walk"]),
        ("cut, check and write tuples", "C", lambda ns: ns["write"]),
        (
            "the rest of normalizing",
            "Python",
            lambda ns: ns["normalize"] - ns["walk"] - ns["write"],
        ),
        ("copy records into messages, base64", "C", lambda ns: ns["encode"]),
        (
            "the rest of packing: runs, envelopes",
            "Python",
            lambda ns: ns["pack"] - ns["encode"],
        ),
        (
            "more, as one step displaces the other's memory",
            "",
            lambda ns: ns["together"] - ns["frame"] - ns["normalize"] - ns["pack"],
        ),
        ("**together**", "", lambda ns: ns["together"]),
    ]
    for name, where, of in steps:
        print(f"| {name} | {where} | {' | '.join(f'{of(ns):.0f}' for ns in columns)} |")


if __name__ == "__main__":
    main()
