"""The storage services in a simulation, as one worker sees them through its `Line`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from azure.core.exceptions import HttpResponseError

from flowlog_core.blob import BlobRef, entry_id_of
from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, CheckpointKey
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import OutOfRange, storage_errors
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.sinks.message import Message, messages_of
from flowlog_core.source.reading import Slice
from simulation.calls import Line
from simulation.judge import Violated

_MESSAGE_BYTES = 2200  # one or two records, so that many an entry needs several messages


class SimulatedCheckpoints:
    """What `ingest` uses of a `CheckpointStore`; the rest is the sweep's."""

    def __init__(self, line: Line) -> None:
        self._line, self._store = line, line.world.checkpoints

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        return self._call("get", lambda: self._store.get(key), writes=False)

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        """See `CheckpointStore.create`."""
        return self._call(
            f"create {_brief(checkpoint)}",
            lambda: self._judged(key, checkpoint, lambda: self._store.create(key, checkpoint)),
        )

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        """See `CheckpointStore.replace`."""
        if not etag.startswith("etag-"):
            owner = self._line.attempt.owner
            self._line.stop(Violated("every write is conditional", f"{owner}: {etag!r}"))
        return self._call(
            f"replace {etag} {_brief(checkpoint)}",
            lambda: self._judged(
                key, checkpoint, lambda: self._store.replace(key, checkpoint, etag)
            ),
        )

    def _call(self, what: str, effect: Callable[[], Answer], *, writes: bool = True) -> Answer:
        return self._line.call(what, effect, writes=writes, at_checkpoint=True)

    def _judged(self, key: CheckpointKey, new: Checkpoint, write: Callable[[], Answer]) -> Answer:
        old = self._store.get(key).checkpoint
        answer = write()
        self._line.world.judge.stored(self._line.attempt, old, new, self._line.now)
        return answer


class SimulatedBlobs:
    """A `LogReader`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        return self._line.call(
            f"read {max_bytes} from {start} of {etag or 'the current version'}",
            lambda: self._answer(blob, start, max_bytes, etag),
            writes=False,
        )

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        return self._line.call(
            "length", lambda: self._line.world.blobs.blob_bytes(blob), writes=False
        )

    def _answer(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """What is true, or sometimes a body that is too short, or a denial that there is any."""
        world = self._line.world
        true = world.blobs.read(blob, start, max_bytes, etag)
        if world.rng.random() >= world.weather.unavailable / 2:
            return true
        world.counts["faults: false answer to a read"] += 1
        self._line.attempt.met_trouble = True
        if world.rng.random() < 0.5:
            world.note(self._line.attempt.owner, "    a false 416")
            raise OutOfRange(f"{blob} has no byte {start}")
        world.note(self._line.attempt.owner, "    a short answer")
        return true._replace(data=true.data[: world.rng.randrange(len(true.data))])


class SimulatedSink:
    """A `Sink` of queue messages, several in flight at a time, arriving in any order."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`."""
        return Packed(*messages_of(entry, "json", _MESSAGE_BYTES))

    def send(self, messages: Iterable[Any]) -> int:
        """See `Sink.send`. Messages wait as in threads; every message that was taken is sent."""
        world = self._line.world
        under_way: list[Any] = []
        count = 0
        try:
            for message in messages:
                try:
                    world.judge.may_send(self._line.attempt, self._line.now)
                except Violated as violated:
                    self._line.stop(violated)
                under_way.append(message)
                count += 1
                if len(under_way) >= world.sends_in_flight:
                    self._send_one(under_way)
        finally:
            self._send_rest(under_way)
        return count

    def _send_rest(self, under_way: list[Any]) -> None:
        """Send all of them even if some fail, because the others were already in flight."""
        try:
            while under_way:
                self._send_one(under_way)
        finally:
            if under_way:
                self._send_rest(under_way)

    def _send_one(self, under_way: list[Any]) -> None:
        message = under_way.pop(self._line.world.rng.randrange(len(under_way)))
        judge, attempt = self._line.world.judge, self._line.attempt

        def deliver(*, is_blind_retry: bool = False) -> None:
            self._refuse(message)
            judge.delivered(message, attempt, is_blind_retry=is_blind_retry)

        self._line.call(
            f"send {_position(message.id)}", deliver, second=partial(deliver, is_blind_retry=True)
        )

    def _refuse(self, message: Message) -> None:
        """Raise what the service answers, as the real sinks do, if it does not take the message."""
        world = self._line.world
        code = "InvalidHeaderValue" if world.is_release_bad else ""
        if not code and world.judge.is_refused(message):
            code = "RequestBodyTooLarge"
        if code:
            with storage_errors("sending", entry_id_of(message.id)):
                answer: Any = SimpleNamespace(status_code=400, reason="")
                error: Any = HttpResponseError(code, response=answer)
                error.error_code = code
                raise error


class SimulatedDeadLetters:
    """A `DeadLetterStore`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        for letter in letters:
            self._line.call(f"store dead letter {_position(letter.id)}", partial(self._put, letter))

    def _put(self, letter: DeadLetter) -> None:
        self._line.world.letters.put([letter])
        self._line.world.judge.set_aside(letter, self._line.now)


def _position(item_id: str) -> str:
    """A message's or dead letter's id without the digest of its blob."""
    return item_id.partition(".")[2]


def _brief(checkpoint: Checkpoint) -> str:
    progress, until = checkpoint.progress, checkpoint.owned_until
    return (
        f"offset={progress.offset} generation={progress.generation} etag={progress.etag!r} "
        f"owner={checkpoint.owner!r} until={until and until.time()} rings={checkpoint.rings}"
    )
