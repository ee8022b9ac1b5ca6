"""Turns an entry into what a sink packs: the records and fields that the settings choose.

    shaper = Shaper.of(settings)
    for item in read(chunks, entry_id, drops=shaper.drops):
        sink.pack(shaper(position, item).sent)

The result depends on the entry and the settings alone. So forwarding the same bytes again under the
same settings sends the same records in messages with the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from flowlog_core.blob import Position, digest
from flowlog_core.parsing import ParsedEntry
from flowlog_core.parsing.packed_text import packed_like
from flowlog_core.parsing.record import SUM_SUFFIX
from flowlog_core.shape.aggregate import aggregate, written
from flowlog_core.shape.fields import LEAN, Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.tuple_filter import tuple_filters
from flowlog_core.sinks import SCHEMA, EntryRecords, Form, TooLarge

if TYPE_CHECKING:
    from flowlog_core.config.settings import Settings
    from flowlog_core.parsing.entry import DropsByVersion

FLOWLOG = "flowlog"
_NO_RULES = KeepDrop.parse("", "")


class Shaped(NamedTuple):
    """One entry, as it is sent."""

    sent: EntryRecords
    """What a sink packs."""
    kept: EntryRecords
    """A whole flow record of each tuple that is kept."""

    def of_tuples(self, too_large: Sequence[TooLarge]) -> list[TooLarge]:
        """The records of `sent` that are too large, as indexes of `kept`.

        Each tuple of a sum that is too large is among them. So dead letters hold whole flow
        records, which can be sent again under any settings.
        """
        if self.sent.sums is None:
            return list(too_large)
        at = {index: place for place, index in enumerate(self.kept.tuple_indexes)}
        return [
            TooLarge(at[index], one.reason)
            for one in too_large
            for index in self.sent.sums[one.index]
        ]


@dataclass(frozen=True)
class Shaper:
    """Selects and converts what is sent of each entry. By default, everything unchanged."""

    rules: KeepDrop = _NO_RULES
    fields: Fields = field(default_factory=Fields)
    aggregates: bool = False
    schema: str = FLOWLOG
    """A name in `schemas.SCHEMAS`. `fields` applies to Flowlog's own schema only."""
    names_blob: bool = True
    """Whether what is sent contains the blob's name, as messages do. `lean` then omits the fields
    that the name contains."""

    @classmethod
    def of(cls, settings: Settings) -> Shaper:
        """As the settings say, for any sink."""
        return cls(
            KeepDrop.of(settings.keep, settings.drop),
            settings.fields,
            settings.aggregate,
            settings.schema,
            names_blob=settings.sink != "table",
        )

    @cached_property
    def drops(self) -> DropsByVersion | None:
        """For `parsing.read`: drops tuples before their records are written; None if none are."""
        return None if self.rules.keeps_all else tuple_filters(self.rules)

    def __call__(self, position: Position, entry: ParsedEntry) -> Shaped:
        """What is sent of an entry that was read with `drops`."""
        left_out = [*(one.index for one in entry.bad), *entry.dropped]
        kept = EntryRecords(position, entry.lines, left_out)
        whole = self._summed(kept) if self.aggregates else kept
        sent = whole
        if self._form is not None:
            form, write = self._form
            blob = position.blob.name if self.names_blob else ""
            lines = (orjson.dumps(write(orjson.loads(line), blob)).decode() for line in whole.lines)
            sent = whole._replace(lines=packed_like(whole.lines, lines), form=form)
        return Shaped(sent, kept)

    @staticmethod
    def _summed(entry: EntryRecords) -> EntryRecords:
        sums = aggregate(map(orjson.loads, entry.lines))
        records = written(sums, map(orjson.loads, entry.lines))
        indexes = entry.tuple_indexes
        return entry._replace(
            lines=packed_like(entry.lines, (orjson.dumps(one).decode() for one in records)),
            sums=[[indexes[at] for at in one.members] for one in sums],
            form=Form(mark=SUM_SUFFIX),
        )

    @cached_property
    def _form(self) -> tuple[Form, Callable[[Mapping[str, Any], str], Any]] | None:
        """The form that is sent, and the function that converts to it; None if unchanged."""
        before = SUM_SUFFIX if self.aggregates else ""
        if self.schema != FLOWLOG:
            from flowlog_core.schemas import SCHEMAS, VERSIONS  # noqa: PLC0415 - needed by few

            mapped = SCHEMAS[self.schema]
            form = Form(f"{self.schema}/{VERSIONS[self.schema]}", mark=f"{before}.{self.schema}")
            return form, lambda record, _: mapped(record)
        if self.fields.is_lean:
            return Form(SCHEMA, LEAN, f"{before}.{LEAN}"), self.fields.select
        names = self.fields.names
        if names is None:
            return None
        mark = f"{before}.f{digest(','.join(names), digest_bytes=4)}"
        return Form(SCHEMA, names, mark), self.fields.select
