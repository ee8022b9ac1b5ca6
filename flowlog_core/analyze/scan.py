"""Flow records from sources as Arrow tables, several blocks at a time.

One thread finds the entries; others turn blocks of them into columns, in C++ and without Python's
lock. So two cores do twice the work, and tables still come in the order of the logs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from flowlog_core.analyze.columns import Block, Converted, blocks, convert
from flowlog_core.analyze.named_columns import with_names
from flowlog_core.analyze.names import NAMED_FIELDS, Names
from flowlog_core.analyze.prefetch import prefetched
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.schema import schema_of
from flowlog_core.analyze.sources import Source
from flowlog_core.analyze.where import matching
from flowlog_core.parsing.framing import Damaged, Entry, Framer
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import Rules

Progress = Callable[[str, int], object]
"""Called with the name of a source and how many more of its bytes were read."""


class _Work(NamedTuple):
    source: Source
    future: Future[Converted]


@dataclass(frozen=True)
class Query:
    """What is wanted of records: which columns, and of which records.

    `names` may hold named fields too, see `names.NAMED_FIELDS`.
    """

    names: tuple[str, ...] = FIELDS
    where: Rules | None = None
    known: Names = field(default_factory=Names)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the tables."""
        return schema_of(self.names)


def reader(
    sources: Iterable[Source],
    problems: Problems,
    query: Query,
    progress: Progress | None = None,
) -> pa.RecordBatchReader:
    """The records that are wanted, as a stream of Arrow batches in the order of the sources.

    What cannot be read goes to `problems`, by the thread that iterates; the rest comes all the
    same. Memory stays near some blocks of `MAX_TUPLES_A_BLOCK` tuples.
    """
    found = _tables(sources, problems, query, progress)
    batches = (batch for table in found for batch in table.to_batches())
    return pa.RecordBatchReader.from_batches(query.schema, batches)


def _tables(
    sources: Iterable[Source],
    problems: Problems,
    query: Query,
    progress: Progress | None,
) -> Iterator[pa.Table]:
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="flowlog-columns") as pool:
        waiting: deque[_Work] = deque()

        def finish() -> pa.Table:
            work = waiting.popleft()
            table, wrong = work.future.result()
            for problem in wrong:
                problems.add(work.source.name, problem)
            return table

        for source in prefetched(sources):
            for block in blocks(_items(source, problems, progress)):
                waiting.append(_Work(source, pool.submit(_rows, block, query, source.rules)))
                if len(waiting) > threads:
                    yield finish()
        while waiting:
            yield finish()


def _rows(block: Block, query: Query, of_source: tuple[Rules, ...]) -> Converted:
    rules = (*of_source, *([query.where] if query.where else []))
    named = [name for name in query.names if name in NAMED_FIELDS]
    needed = {*query.names, *(read for name in named for read in NAMED_FIELDS[name])}
    needed.update(read for each in rules for read in each.reads)
    table, wrong = convert(block, tuple(name for name in FIELDS if name in needed))
    table = with_names(matching(table, rules), query.known, named)
    return Converted(table.select(query.names), wrong)


def _items(
    source: Source, problems: Problems, progress: Progress | None
) -> Iterator[tuple[str, Entry | Damaged]]:
    framer = Framer()

    def found() -> Iterator[Entry | Damaged]:
        for piece in source.text(problems):
            if progress is not None:
                progress(source.name, len(piece))
            yield from framer.feed(piece)
        yield from framer.end(final=True)

    for item in found():
        yield f"{source.entry_id(item.start)}.", item
