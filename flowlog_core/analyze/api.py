"""The Python API: the same as the command line's, for notebooks and scripts.

A source is what a command takes: a file, a folder, a zip, the address of a container, or several
of them. `since` and `until` are aware datetimes or texts such as `2026-01-31T09:30` or `24h`;
`where` is a rule, see docs/rules.md. What cannot be read is a `ProblemWarning`; the rest is
returned. `read` needs the parser alone; the others need the extra `analyze`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from flowlog_core.analyze.names import Names
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.rows import rows
from flowlog_core.analyze.selection import Selection, moment
from flowlog_core.analyze.sources import Source, expand
from flowlog_core.analyze.widths import width_s
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import Rules, parse

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Where = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Time = datetime | str | None


class ProblemWarning(UserWarning):
    """Something in a source could not be read; the text names it, and what was wrong."""


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One flow record, with the fields of docs/schema/flow-record.schema.json."""

    id: str
    time: datetime
    """Aware UTC, to the millisecond."""
    log_time: str | None
    category: str
    version: int
    resource_id: str | None
    target_resource_id: str | None
    mac: str | None
    rule: str | None
    acl_id: str | None
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    protocol: str
    protocol_number: int
    direction: str
    """inbound or outbound."""
    action: str
    """allow or deny."""
    state: str | None
    """begin, continue, end or deny; None in NSG version 1."""
    encryption: str | None
    packets_src_to_dst: int | None
    bytes_src_to_dst: int | None
    packets_dst_to_src: int | None
    bytes_dst_to_src: int | None

    @property
    def bytes(self) -> int | None:
        """Both directions together; None where neither is counted."""
        return _sum(self.bytes_src_to_dst, self.bytes_dst_to_src)

    @property
    def packets(self) -> int | None:
        """Both directions together; None where neither is counted."""
        return _sum(self.packets_src_to_dst, self.packets_dst_to_src)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def read(
    source: Where,
    *,
    since: Time = None,
    until: Time = None,
    resource: str = "",
    mac: str = "",
    where: str = "",
) -> Iterator[FlowRecord]:
    """The records of a source, or of several, in the order of the logs.

    Raises ValueError for a time, a rule or an address that cannot be understood.
    """
    rules = _rules(where)
    sources = _sources(source, _selection(since, until, resource, mac))
    for lines in rows(sources, _problems(), rules):
        for line in lines:
            record = orjson.loads(line)
            record["time"] = datetime.fromisoformat(record["time"])
            yield FlowRecord(**record)


def to_arrow(  # noqa: PLR0913 - all but the first are named
    source: Where,
    *,
    since: Time = None,
    until: Time = None,
    resource: str = "",
    mac: str = "",
    where: str = "",
    fields: Iterable[str] = FIELDS,
    service_tags: str = "",
    names: str = "",
) -> pa.Table:
    """The records as an Arrow table, a column for each of the fields.

    Fields may also be those of `names.NAMED_FIELDS`, such as service; `service_tags` and `names`
    are the files that they need. Raises ValueError as `read` does, and for an unknown field.
    """
    from flowlog_core.analyze.scan import Query, reader  # noqa: PLC0415 - needs the extra

    query = Query(tuple(fields), _rules(where), Names.read(service_tags, names))
    chosen = _selection(since, until, resource, mac)
    return reader(_sources(source, chosen), _problems(), query).read_all()


def to_pandas(source: Where, **wanted: Any) -> pd.DataFrame:
    """The records as a pandas data frame; takes what `to_arrow` takes."""
    return to_arrow(source, **wanted).to_pandas()


def to_polars(source: Where, **wanted: Any) -> pl.DataFrame:
    """The records as a Polars data frame; takes what `to_arrow` takes."""
    import polars as pl  # noqa: PLC0415 - the user's own choice

    return pl.DataFrame(to_arrow(source, **wanted))


def aggregate(  # noqa: PLR0913 - all but the first are named
    source: Where,
    *,
    by: Iterable[str] = (),
    every: str = "",
    sort: str = "bytes",
    limit: int | None = None,
    since: Time = None,
    until: Time = None,
    resource: str = "",
    mac: str = "",
    where: str = "",
    service_tags: str = "",
    names: str = "",
) -> pa.Table:
    """Sums of tuples, flows, packets and bytes by fields, and by time with `every` such as `5m`.

    An Arrow table, the largest `sort` (bytes, packets, flows or tuples) first; with `every`, the
    earliest time first. Raises ValueError for what cannot be understood.
    """
    from flowlog_core.analyze.scan import Query, reader  # noqa: PLC0415 - needs the extra
    from flowlog_core.analyze.sums import SORTS, Sums, checked_names  # noqa: PLC0415 - as above

    if sort not in SORTS:
        raise ValueError(f"sort is one of {', '.join(SORTS)}, not {sort!r}")
    sums = Sums(checked_names(tuple(by)), width_s(every) if every else None, sort, limit)
    query = Query(sums.reads, _rules(where), Names.read(service_tags, names))
    chosen = _selection(since, until, resource, mac)
    return sums.of(reader(_sources(source, chosen), _problems(), query))


def _sources(source: Where, selection: Selection) -> Iterator[Source]:
    several = [source] if isinstance(source, str | os.PathLike) else source
    return expand([os.fspath(one) for one in several], selection)


def _selection(since: Time, until: Time, resource: str, mac: str) -> Selection:
    return Selection(_time(since), _time(until), resource, mac)


def _time(time: Time) -> datetime | None:
    if isinstance(time, str):
        return moment(time, datetime.now(UTC))
    if time is not None and time.tzinfo is None:
        raise ValueError(f"a time must say its zone: {time!r}")
    return time and time.astimezone(UTC)


def _rules(where: str) -> Rules | None:
    return parse(where) if where else None


def _problems() -> Problems:
    def warn(source: str, problem: str) -> None:
        warnings.warn(f"{source}: {problem}", ProblemWarning, stacklevel=4)

    return Problems(warn)
