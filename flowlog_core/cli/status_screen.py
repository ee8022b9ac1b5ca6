"""A `Status` as people read it, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

from flowlog_core.blob import BlobRef, hour_key
from flowlog_core.cli.output import harmless_json
from flowlog_core.cli.table import write_table
from flowlog_core.cli.terminal import printable
from flowlog_core.cli.words import how_many, in_bytes, in_words, joined_counts
from flowlog_core.operate.look import MAX_REASONS_READ
from flowlog_core.operate.status import ResourceStatus, Status

_MAX_ROWS = 20
_MAX_NAMED = 10


def write_status(status: Status, out: TextIO) -> None:
    """The totals, then what is in trouble. Counts of nothing are left out."""
    out.write(f"{_headline(status)}\n")
    out.writelines(f"{line}\n" for line in _facts(status))
    if status.resources:
        out.write("\n")
        _write_resources(status.resources, out)
    _write_failing(status, out)
    _write_claims(status, out)
    if status.reasons:
        out.write("\nDead letters, by reason")
        total = status.totals.dead_letters or 0
        out.write(f" (the {MAX_REASONS_READ} newest)\n" if total > MAX_REASONS_READ else "\n")
        rows = [(count, reason) for reason, count in status.reasons.most_common()]
        write_table(["count", "reason"], rows, out)
    if status.unknown:
        out.write("\nCould not be read:\n")
        out.writelines(f"  {printable(text)}\n" for text in status.unknown)


def _headline(status: Status) -> str:
    lag_s = status.totals.lag_s
    at = f"{status.at:%Y-%m-%d %H:%M:%S} UTC"
    if lag_s is None:
        return f"{at}: cannot tell whether everything is forwarded."
    if not status.totals.blobs:
        return f"{at}: no flow logs were found."
    if not lag_s:
        return f"{at}: everything is forwarded."
    return f"{at}: behind, by {in_words(lag_s)} at most."


def _facts(status: Status) -> list[str]:
    totals = status.totals
    ran_out = [one.has_run_out for row in status.resources for one in row.claims]
    blobs = joined_counts(
        (totals.blobs_behind or 0, f"behind with {in_bytes(totals.bytes_behind or 0)}"),
        (totals.failing or 0, "failing"),
        (ran_out.count(False), "being forwarded"),
        (ran_out.count(True), "claimed by a worker that ended"),
        (totals.archived or 0, "behind in the archive tier, where they cannot be read"),
    )
    seen = how_many(totals.blobs, "blob") if totals.blobs else ""
    lines = [", ".join(filter(None, (seen, blobs)))] if seen or blobs else []
    if totals.blobs == 0:
        where = ", ".join("/".join(one.container) for one in status.sweeps)
        lines.append(f"looked in {printable(where)}")
    if totals.dead_letters:
        lines.append(how_many(totals.dead_letters, "dead letter"))
    if totals.dropped:
        lines.append(f"{how_many(totals.dropped, 'record')} dropped by rule")
    for queue in status.queues:
        if queue.messages:
            age = "" if queue.oldest_s is None else in_words(queue.oldest_s)
            told = how_many(queue.messages, "message")
            waits = f", the oldest for {age}" if age else ""
            lines.append(f"{told} in queue {queue.queue}{waits}")
    lines += _passes(status)
    return lines


def _passes(status: Status) -> list[str]:
    """When the sweep, and `flowlog run`, last looked at everything."""
    if not status.sweeps:
        return []
    lines = []
    for name, done, not_done in (
        ("last_whole", "the last whole sweep ended {} ago", "no sweep has gone through all of {}"),
        (
            "last_look",
            "flowlog run looked at everything {} ago",
            "flowlog run did not see all of {}",
        ),
    ):
        moments = {"/".join(one.container): getattr(one, name) for one in status.sweeps}
        known = [moment for moment in moments.values() if moment is not None]
        missing = sorted(one for one, moment in moments.items() if moment is None)
        if known and missing:
            lines.append(f"{not_done.format(printable(', '.join(missing)))} yet")
        elif known:
            lines.append(done.format(in_words(round((status.at - min(known)).total_seconds()))))
    return lines or ["neither a sweep of the app nor flowlog run has gone through everything yet"]


def _write_resources(resources: Sequence[ResourceStatus], out: TextIO) -> None:
    troubled = sum(one.is_troubled for one in resources)
    shown = resources[: max(troubled, _MAX_ROWS)]
    accounts = {one.account for one in resources}
    columns: dict[str, list[str | int]] = {
        "lag": [in_words(one.lag_s) if one.lag_s else "-" for one in shown],
        "behind": [one.blobs_behind for one in shown],
        "bytes": [one.bytes_behind for one in shown],
        "failing": [len(one.failing) for one in shown],
        "dead_letters": [one.dead_letters for one in shown],
        "archived": [one.archived for one in shown],
        "dropped": [one.dropped for one in shown],
        "blobs": [one.blobs for one in shown],
        "newest_hour": [hour_key(one.newest_hour) for one in shown],
        "resource": list(_short_names(shown)),
        "account": [one.account for one in shown] if len(accounts) > 1 else [],
        "container": [one.container for one in shown],
    }
    kept = {name: cells for name, cells in columns.items() if any(c not in (0, "-") for c in cells)}
    rows = list(zip(*kept.values(), strict=True))
    write_table(list(kept), rows, out, expendable=("container", "blobs", "bytes", "dropped"))
    if len(shown) < len(resources):
        out.write(f"and {len(resources) - len(shown):,} more without trouble\n")


def _short_names(resources: Sequence[ResourceStatus]) -> Sequence[str]:
    """The last part of each resource's id, or all of it where that is not enough."""
    names = [one.resource_id.rsplit("/", 1)[-1] for one in resources]
    ids = {one.resource_id.lower() for one in resources}
    if len({name.lower() for name in names}) < len(ids):
        return [one.resource_id for one in resources]
    return names


def _write_failing(status: Status, out: TextIO) -> None:
    failing = [one for row in status.resources for one in row.failing]
    if not failing:
        return
    out.write("\nFailing: the next event tries again at once, the sweep at next_try\n")
    rows = [
        (_until(one.next_try, status.at), one.attempts, _short_blob(one.blob), one.error)
        for one in failing[:_MAX_NAMED]
    ]
    write_table(["next_try", "attempts", "blob", "error"], rows, out)
    _more(failing, out)


def _write_claims(status: Status, out: TextIO) -> None:
    claims = sorted(
        (one for row in status.resources for one in row.claims), key=lambda one: one.until
    )
    if not claims:
        return
    out.write("\nClaimed by a worker\n")
    rows = [
        [
            _until(one.until, status.at)
            if not one.has_run_out
            else f"ran out {in_words((status.at - one.until).total_seconds())} ago",
            _short_blob(one.blob),
        ]
        for one in claims[:_MAX_NAMED]
    ]
    write_table(["runs_out", "blob"], rows, out)
    _more(claims, out)


def _short_blob(text: str) -> str:
    """Resource, hour and interface of a blob; its whole name fits no line."""
    blob = BlobRef.parse(text)
    if blob is None:
        return text
    return f"{blob.log.resource_id.rsplit('/', 1)[-1]} {hour_key(blob.log.hour)} {blob.log.mac}"


def _until(moment: datetime, now: datetime) -> str:
    left_s = (moment - now).total_seconds()
    return "now" if left_s <= 0 else f"in {in_words(left_s)}"


def _more(items: Sequence[object], out: TextIO) -> None:
    if len(items) > _MAX_NAMED:
        out.write(f"and {len(items) - _MAX_NAMED:,} more: see --output json\n")


def status_to_json(status: Status) -> str:
    """Everything, as one JSON object in one line; null for what could not be seen."""
    totals = status.totals
    value: dict[str, Any] = {
        "at": _time(status.at),
        "totals": {name: getattr(totals, name) for name in totals.__slots__},
        "resources": [
            {
                "account": one.account,
                "container": one.container,
                "resource_id": one.resource_id,
                "newest_hour": _time(one.newest_hour),
                "lag_s": one.lag_s if status.sees_checkpoints else None,
                "blobs": one.blobs,
                "blobs_behind": one.blobs_behind if status.sees_checkpoints else None,
                "bytes_behind": one.bytes_behind if status.sees_checkpoints else None,
                "archived": one.archived,
                "dead_letters": one.dead_letters if totals.dead_letters is not None else None,
                "dropped": one.dropped if status.sees_checkpoints else None,
                "reasons": dict(one.reasons),
                "failing": [
                    {**each._asdict(), "next_try": _time(each.next_try)} for each in one.failing
                ],
                "claims": [{**each._asdict(), "until": _time(each.until)} for each in one.claims],
            }
            for one in status.resources
        ],
        "dead_letters": {
            "count": totals.dead_letters,
            "reasons_of_newest": MAX_REASONS_READ,
            "reasons": dict(status.reasons),
        },
        "queues": [one._asdict() for one in status.queues],
        "sweeps": [
            {
                "account": one.container.account,
                "container": one.container.name,
                "last_whole": one.last_whole and _time(one.last_whole),
                "last_look": one.last_look and _time(one.last_look),
            }
            for one in status.sweeps
        ],
        "unknown": list(status.unknown),
    }
    return harmless_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
