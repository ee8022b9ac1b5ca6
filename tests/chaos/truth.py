"""The expected results, from what was written, with other code than the forwarding uses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flowlog_core.blob import BlobRef, Position
from flowlog_core.testing.generate import HEAD, GeneratedEntry
from flowlog_core.testing.reference import Bad, reference

Record = dict[str, Any]

BROKEN = '{"broken":tru}'
"""An entry that is no JSON."""

_MAX_NAMED = 5


@dataclass
class Truth:
    """Records and dead letters that are due, by id."""

    records: dict[str, Record] = field(default_factory=dict)
    dead_letters: dict[str, str] = field(default_factory=dict)
    """What was written there."""

    def wrote(self, blob: BlobRef, entries: Iterable[GeneratedEntry]) -> int:
        """The blob holds these entries; returns the byte after the last."""
        offset = end = 0
        for entry in entries:
            offset = end + len(b",") if end else len(HEAD)
            end = offset + len(entry.raw)
            self._wrote(f"{Position(blob, offset=offset).entry_id}.", entry)
        return end

    def _wrote(self, prefix: str, entry: GeneratedEntry) -> None:
        try:
            value = json.loads(entry.raw)
        except ValueError:
            self.dead_letters[prefix.removesuffix(".")] = entry.raw.decode()
            return
        for index, item in enumerate(reference(value, prefix)):
            if isinstance(item, Bad):
                self.dead_letters[f"{prefix}{index}"] = str(item.value)
            else:
                self.records[item["id"]] = item


def apart(letter_id: str, raw: str) -> Iterator[tuple[str, str]]:
    """A dead letter of neighbours, read at once, as one of each entry; any other as it is."""
    count = raw.count(BROKEN)
    if raw != ",".join([BROKEN] * count):
        yield letter_id, raw
        return
    start, _, offset = letter_id.rpartition(".")
    for at in range(count):
        yield f"{start}.{int(offset) + at * len(f'{BROKEN},')}", BROKEN


@dataclass
class Verdict:
    """What arrived, held against the truth."""

    due: int
    arrived: int
    repeats: int
    """How often a record came again, with the same id and content."""
    wrong: list[str]
    """A sentence for each thing that is lost, altered or unknown."""


def check(what: str, due: dict[str, Any], arrived: Iterable[tuple[str, Any]]) -> Verdict:
    """Hold what arrived, as id and content, against what is due; `what` names it."""
    times: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {"altered": [], "unknown": [], "lost": []}
    for key, content in arrived:
        times[key] += 1
        if key not in due:
            wrong["unknown"].append(f"{key}: {content}")
        elif content != due[key]:
            wrong["altered"].append(f"{key}: {content} instead of {due[key]}")
    wrong["lost"] = [f"{key}: {content}" for key, content in due.items() if key not in times]
    told: list[str] = []
    for kind, found in wrong.items():
        told += [f"{what} {kind}: {one}" for one in found[:_MAX_NAMED]]
        if len(found) > _MAX_NAMED:
            told.append(f"{what} {kind}: {len(found)} in all")
    return Verdict(len(due), len(times), times.total() - len(times), told)
