"""Flow records from sources one by one, as JSON lines. Needs no package beside the parser's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from flowlog_core.analyze.prefetch import prefetched
from flowlog_core.analyze.problems import Problem, Problems
from flowlog_core.analyze.sources import Source
from flowlog_core.parsing import Damaged, read
from flowlog_core.shape.rules import Rules


def rows(
    sources: Iterable[Source], problems: Problems, where: Rules | None = None
) -> Iterator[list[str]]:
    """The records of sources that match, as finished JSON objects, an entry's at a time.

    What cannot be read goes to `problems`; the rest is returned.
    """
    for source in prefetched(sources):
        rules = [*source.rules, *([where] if where else [])]
        for item in read(source.text(problems), source.entry_id):
            if isinstance(item, Damaged):
                problems.add(source.name, Problem.of_part(item))
                continue
            lines = list(item.lines)
            if rules:
                lines = [line for line in lines if _matches(orjson.loads(line), rules)]
            if lines:
                yield lines
            for bad in item.bad:
                problems.add(source.name, Problem.of_tuple(item.start, bad))


def _matches(record: dict[str, object], rules: list[Rules]) -> bool:
    return all(each.matches(record) for each in rules)
