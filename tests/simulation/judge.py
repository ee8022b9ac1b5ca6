"""Checks the promises at every step of a simulation and at its end.

The judge sees what happens at the storage services, at the exact time. It knows what was committed
to the blobs, and which worker had which fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.consume import decode
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.sinks.message import Message
from flowlog_core.testing.memory import EPOCH, MemoryCheckpoints
from simulation.log import REFUSED, ItemKey, SimulatedLog
from simulation.rules import Rules


@dataclass(eq=False)
class Attempt:
    """One call of `ingest` and its faults. Its number is part of its owner name."""

    number: int
    blob: BlobRef
    met_trouble: bool = False
    """One of its storage calls failed, or it crashed: its work may be half done."""
    met_trouble_at_checkpoint: bool = False
    was_taken_over: bool = False
    """Its claim ran out, and another attempt claimed the blob."""
    is_gone: bool = False
    """It crashed, or the simulation is over: what it still does has no effect."""
    calls: int = 0
    began_s: float = 0
    gone_s: float | None = None
    """When it crashed; None while it has not."""
    is_of_sweep: bool = False

    @property
    def owner(self) -> str:
        """The owner name in its claim."""
        return f"worker-{self.number}"


_GONE = {"an event was lost", "an event failed too often", "a sweep's worker ended"}
"""What leaves no event behind. Events that met a sweep's claim on their first delivery were left to
it, and it has no event of its own that would return: the next sweep goes on."""


_MAX_REFUSALS, _APART_S = 3, 598  # ten minutes, in answers that have whole seconds


class Violated(Exception):
    """A promise was broken: `promise` says which one, `detail` how."""

    def __init__(self, promise: str, detail: str) -> None:
        self.promise, self.detail = promise, detail
        super().__init__(f"{promise}: {detail}")


@dataclass
class _Sent:
    """The sends of one message id."""

    text: str
    by: list[Attempt] = field(default_factory=list)
    unexplained: list[Attempt] = field(default_factory=list)
    """Without the SDK's retries."""


class Judge:
    """Records what happened; every method raises `Violated` if a promise is broken."""

    def __init__(
        self,
        logs: Mapping[BlobRef, SimulatedLog],
        checkpoints: MemoryCheckpoints,
        counts: Counter[str],
        rules: Rules,
    ) -> None:
        self._logs, self._checkpoints, self._counts = logs, checkpoints, counts
        self._rules = rules
        self._attempts: dict[str, Attempt] = {}
        self._of_digest = {_digest(log.blob): log for log in logs.values()}
        self._of_entity = {str(log.blob): log for log in logs.values()}
        self._sent: dict[str, _Sent] = {}
        self._message_of: dict[str, str] = {}
        self._delivered: dict[tuple[BlobRef, ItemKey], set[str | bytes]] = defaultdict(set)
        self._table: dict[str, str | bytes] = {}
        self._owner_since: dict[str, tuple[str, datetime]] = {}
        self._took_over_from: dict[str, datetime] = {}  # when who took it began, at the earliest
        self.excuses: Counter[str] = Counter()
        """Reasons why the last sweep may find something."""

    def started(self, attempt: Attempt) -> None:
        """An attempt begins."""
        self._attempts[attempt.owner] = attempt

    # At the checkpoints.

    def stored(self, by: Attempt, old: Checkpoint | None, new: Checkpoint, now: datetime) -> None:
        """`by` has replaced `old` by `new`, at the exact time `now`."""
        log = self._of_entity[new.blob]
        old = old or Checkpoint(new.blob)
        if new.progress.generation == old.progress.generation:
            is_ahead = new.progress.offset >= old.progress.offset
            _require(is_ahead, "offsets never go back", old, "->", new)
        else:
            _require(
                old.progress.generation < new.progress.generation <= log.rewrites,
                "a generation is raised for a rewriting only, and never lowered",
                log.rewrites,
                "rewritings:",
                old,
                "->",
                new,
            )
        has_run_out = old.owned_until is None or now >= old.owned_until
        is_alive = not has_run_out and self._attempts[old.owner].gone_s is None
        if new.owner != old.owner:
            self._owner_since[new.blob] = new.owner, now
        if not new.owner and new.failure is None:
            self._took_over_from.pop(new.blob, None)
        if old.owner and new.owner == by.owner != old.owner:
            # A write may take effect long after the time that it says: the worker stood still.
            last = self._took_over_from.get(new.blob)
            _require(
                by.is_of_sweep or last is None or (now - last).total_seconds() > 599,
                "an event takes a blob over once in ten minutes",
                by.owner,
                "takes it from",
                old.owner,
                "and it was taken over at",
                last,
            )
            self._took_over_from[new.blob] = true_time(by.began_s)
            self._counts["blobs taken over"] += 1
            self._counts["blobs taken over from the dead at once"] += not has_run_out
        if old.owner and has_run_out:
            self.excuses["a claim ran out"] += 1
            self._counts["claims that ran out"] += 1
        if old.owner and old.owner != by.owner:
            if is_alive:
                a_ring = replace(old, rings=old.rings + 1)
                _require(
                    new == a_ring, "a live claim is left to its owner", by.owner, old, "->", new
                )
            elif new.owner == by.owner:
                self._attempts[old.owner].was_taken_over = True
        self._refusals_counted(old, new, now)
        if new.rings > old.rings:
            self._counts["rings"] += 1
        else:
            _require(new.rings == old.rings, "a ring is never forgotten", old, "->", new)

    def _refusals_counted(self, old: Checkpoint, new: Checkpoint, now: datetime) -> None:
        before = old.failure.refusal if old.failure else None
        after = new.failure.refusal if new.failure else None
        if after is None or after == before:
            return
        is_same = before is not None and before.entry_id == after.entry_id
        _require(
            after.count == (before.count + 1 if before and is_same else 1)
            and (not (before and is_same) or (now - before.at).total_seconds() > _APART_S),
            "refusals count if they are ten minutes apart",
            before,
            "->",
            after,
        )

    def may_send(self, by: Attempt, now: datetime) -> None:
        """`by` begins to send a message."""
        stored = self._checkpoints.get(checkpoint_key(by.blob)).checkpoint
        _require(
            stored is not None
            and stored.owner == by.owner
            and stored.owned_until is not None
            and now < stored.owned_until,
            "nobody sends without a live claim",
            by.owner,
            "sends; stored is",
            stored,
        )

    # At the sink and the dead letters.

    def is_refused(self, message: Message) -> bool:
        """Whether the sink refuses the message for what it is."""
        log = self._of_digest[message.id.split(".")[0]]
        return bool(log.refused) and decode(message.text).records[0]["src_ip"].startswith(REFUSED)

    def delivered(self, message: Message, by: Attempt, *, is_blind_retry: bool = False) -> None:
        """A message has reached the sink; the SDK itself may send it again."""
        batch = decode(message.text)
        log = self._of_digest[batch.id.split(".")[0]]
        sent = self._sent.setdefault(message.id, _Sent(message.text))
        if sent.text != message.text:
            # Its entry was rewritten before anything behind it was committed.
            _require(log.rewrites > 0, "a repeat is identical", message.id)
            self._counts["ids used again after a rewriting"] += 1
            sent.text = message.text
        self._counts["repeats"] += bool(sent.by)
        sent.by.append(by)
        if not is_blind_retry:
            sent.unexplained.append(by)
        faultless = [a for a in sent.unexplained if not (a.met_trouble or a.was_taken_over)]
        _require(
            len(faultless) <= 1,
            "no message comes twice without a crash, failed call or expired claim",
            message.id,
            "by",
            *(attempt.owner for attempt in sent.by),
        )
        for record in batch.records:
            _require(
                not self._rules.drop_always(record["src_ip"]),
                "what a rule drops is not sent",
                record["src_ip"],
                "of",
                message.id,
            )
            self._take(log, record["id"], record["src_ip"])
            first = self._message_of.setdefault(record["id"], message.id)
            _require(
                first == message.id or log.rewrites > 0 or self._rules.change,
                "a record always comes in the message of the same id",
                record["id"],
                "in",
                first,
                "and",
                message.id,
            )

    def set_aside(self, letter: DeadLetter, now: datetime) -> None:
        """A dead letter was kept."""
        log, position = self._of_digest[letter.position.blob_digest], letter.position
        if letter.raw in log.refused:
            self._counts["refused entries set aside"] += 1
            stored = self._checkpoints.get(checkpoint_key(log.blob)).checkpoint
            refusal = stored.failure.refusal if stored and stored.failure else None
            # After a crash the letter may come again, when its entry is passed.
            _require(
                refusal is not None
                and refusal.entry_id == position.entry_id
                and refusal.count >= _MAX_REFUSALS - 1
                and (now - refusal.at).total_seconds() > _APART_S,
                "what is refused is set aside at its third refusal",
                letter.id,
                "stored is",
                refusal,
            )
        if letter.tuple_index is not None:
            self._take(log, letter.id, letter.raw)
            return
        left = letter.raw
        while left:  # neighbours share a dead letter
            held = next(
                (
                    one
                    for one in log.ever.get((position.offset, None), ())
                    if isinstance(one, bytes) and (left + b",").startswith(one + b",")
                ),
                left,
            )
            self._take(log, position.entry_id, held)
            left = left[len(held) + 1 :]
            position = position.at(position.offset + len(held) + 1)

    def _take(self, log: SimulatedLog, item_id: str, held: str | bytes) -> None:
        position = _position(item_id)
        _require(
            held in log.ever.get(position, ()),
            "nothing is made up",
            held,
            "at",
            position,
            "of",
            log.blob,
        )
        self._delivered[log.blob, position].add(held)
        self._table[item_id] = held

    # At the end.

    def left(self, attempt: Attempt, *, failed: bool) -> None:
        """`ingest` has returned, or raised (`failed`)."""
        stored = self._checkpoints.get(checkpoint_key(attempt.blob)).checkpoint
        if stored is None or stored.owner != attempt.owner:
            return
        _require(
            failed and attempt.met_trouble_at_checkpoint,
            "a worker that ends has released its claim",
            attempt.owner,
            "left",
            stored,
        )
        self._counts["claims left behind by a failed call"] += 1

    def handed_over(self, attempt: Attempt) -> None:
        """`ingest` has left the blob to its owner."""
        blob = str(attempt.blob)
        owner, since = self._owner_since.get(blob, ("", EPOCH))
        gone_s = self._attempts[owner].gone_s if owner else None
        stored = self._checkpoints.get(checkpoint_key(attempt.blob)).checkpoint
        last = stored.taken_over_at if stored else None
        began = true_time(attempt.began_s)
        _require(
            gone_s is None
            or gone_s >= attempt.began_s
            or since >= began
            or attempt.met_trouble
            or (last is not None and (began - last).total_seconds() < 601),
            "the next worker takes over a blob of a dead process",
            attempt.owner,
            "left it to",
            owner,
        )

    def quiet(self, behind: Iterable[BlobRef], *, events_return: bool) -> None:
        """All events are done. `behind`: the blobs that a sweep would forward.

        With `events_return`, an event that met a claim comes back until that ended. Then nothing
        but events that are gone for good excuses a blob that is behind.
        """
        for log in self._logs.values():
            stored = self._checkpoints.get(checkpoint_key(log.blob)).checkpoint
            if stored is not None and stored.owner:
                self.excuses["a claim was left behind"] += 1
        excuses = _GONE & self.excuses.keys() if events_return else self.excuses
        if not excuses:
            self._counts["schedules without need of a sweep"] += 1
            names = [f"{blob.log.hour:%H}h" for blob in behind]
            _require(not names, "no sweep is needed where all went well", f"behind: {names}")
            self._complete()

    def swept(self, behind: list[BlobRef], found: list[BlobRef]) -> None:
        """The last sweep has listed the blobs; it had to find at least `behind`."""
        missed = [str(blob) for blob in behind if blob not in found]
        _require(not missed, "the sweep finds all that is behind", f"missed: {missed}")

    def end(self) -> None:
        """The last sweep is over."""
        self._complete()

    def _complete(self) -> None:
        for log in self._logs.values():
            stored = self._checkpoints.get(checkpoint_key(log.blob)).checkpoint
            held = log.now()
            _require(stored is not None or not held, "nothing is lost", f"{log.blob} untouched")
            if stored is None:
                continue
            start = Position(log.blob, stored.progress.generation)
            dropped = {
                position
                for position, what in held.items()
                if isinstance(what, str) and self._rules.drop_ever(what)
            }
            self._counts["tuples dropped by rule"] += len(dropped)
            if not log.rewrites and not self._rules.change:
                _require(
                    stored.progress.dropped == len(dropped),
                    "what is dropped is counted, once",
                    f"{stored.progress.dropped} for {len(dropped)} tuples",
                )
            for position, what in held.items():
                if position in dropped:
                    continue
                _require(
                    what in self._delivered[log.blob, position],
                    "nothing is lost",
                    what,
                    "at",
                    position,
                    "is missing; stored is",
                    stored,
                )
                if not log.rewrites:
                    item = _item_id(start, position)
                    _require(
                        self._table.get(item) == what,
                        "the table holds exactly what was written",
                        item,
                        "is",
                        self._table.get(item),
                        "instead of",
                        what,
                    )
            if not log.rewrites:
                rows = sum(item.startswith(f"{start.blob_digest}.") for item in self._table)
                least = len(held) - len(dropped)
                _require(
                    least <= rows <= (len(held) if self._rules.change else least),
                    "the table holds exactly what was written",
                    f"{rows} rows for {len(held)} tuples",
                )


def true_time(now_s: float) -> datetime:
    """The storage service's time, to the microsecond."""
    return EPOCH + timedelta(seconds=now_s)


def _require(kept: bool, promise: str, *detail: object) -> None:
    if not kept:
        raise Violated(promise, " ".join(map(str, detail)))


def _digest(blob: BlobRef) -> str:
    return Position(blob).blob_digest


def _position(item_id: str) -> ItemKey:
    """Entry offset and tuple index (None: the whole entry) from a record's or dead letter's id."""
    _, _, offset, *index = item_id.split(".")
    return int(offset), int(index[0]) if index else None


def _item_id(start: Position, key: ItemKey) -> str:
    offset, index = key
    position = start.at(offset)
    return position.entry_id if index is None else position.record_id(index)
