"""What one event costs, measured with the real service on Azurite, as a job for the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.harness.azurite import CountingTransport, GrowingBlob, service_of
from bench.harness.figures import timed
from bench.scale.model import Job, Step
from bench.scale.storage import Call
from flowlog_core.testing.generate import Format
from infra import cost

Kind = Literal["queue", "gzip", "table"]
TUPLES = 100  # an append
WARM_UP = 20  # appends; the first ones open connections, make the table and the queue
CHECKPOINT_CALLS, READS = 3, 1
PROPERTIES = 3  # how often the host asks for the blob's before it calls the app: docs/host.md
# A receive counts as one request, and a busy queue fills it: with 9 messages for the host
# (docs/host.md), with up to 32 for a consumer (learn.microsoft.com/rest/api/storageservices/
# get-messages, read 2026-11-27).
HOST_BATCH, CONSUMER_BATCH = 9, 32
HOST_QUEUE_UNITS = 2 + 1 / HOST_BATCH  # put, deleted, received
RECORD_MESSAGE_UNITS = 2 + 1 / CONSUMER_BATCH  # sent by the app, deleted and received
ROW_UNITS = 2  # a row has about 2 KB, and the published limits are for entities of 1 KiB


@dataclass(frozen=True)
class EventCost:
    """What forwarding one append of `TUPLES` tuples takes."""

    form: Format
    sink: Kind
    processor_s: float
    sends: int
    """Messages, or batches of rows."""
    read_bytes: float
    sent_bytes: float

    @property
    def name(self) -> str:
        """Format and sink."""
        return f"{self.form}, {self.sink}"

    @property
    def send_units(self) -> float:
        """What one send counts for, with the consumer's share."""
        return TUPLES * ROW_UNITS if self.sink == "table" else RECORD_MESSAGE_UNITS

    @property
    def queue_units(self) -> float:
        """What one event counts for in all queues of the app's account."""
        return HOST_QUEUE_UNITS + (0 if self.sink == "table" else self.sends * self.send_units)

    @property
    def table_units(self) -> float:
        """What one event counts for in all tables of the app's account."""
        return CHECKPOINT_CALLS + (self.sends * self.send_units if self.sink == "table" else 0)

    def job(self, processor_times: float = 1.0, properties: int = PROPERTIES) -> Job:
        """As the simulation takes it; the processor time is divided evenly over the app's calls.

        The host puts a message into its queue, receives it and asks for the blob's properties,
        unless it is an event queue, which Event Grid fills; `ingest` gets the checkpoint, claims,
        reads, sends and commits; then the host deletes the message.
        """
        each_s = self.processor_s * processor_times / (CHECKPOINT_CALLS + READS + 1)
        host, checkpoint = (Call("host's queue"),), (Call("checkpoint"),)
        sends = self.sends * (Call("send", self.send_units),)
        ours = checkpoint, checkpoint, (Call("read"),), sends, checkpoint
        asking = (
            (Call("host's queue", 1 / HOST_BATCH),),
            *properties * ((Call("properties"),),),
        )
        return Job(
            (*(Step(0, it) for it in asking), *(Step(each_s, it) for it in ours)),
            arriving=host,
            leaving=host,
        )


def measure(connection: str, form: Format, sink: Kind, appends: int) -> EventCost:
    """The medians over so many appends to one blob, each taken by an event of its own."""
    counted = CountingTransport()
    service = service_of(
        connection,
        counted,
        FLOWLOG_SINK="table" if sink == "table" else "queue",
        FLOWLOG_QUEUE_ENCODING="gzip" if sink == "gzip" else "json",
        FLOWLOG_CHECKPOINT_TABLE=f"checkpoints{form}{sink}",
    )
    blob = GrowingBlob(service, form)
    processor_s = []
    for number in range(WARM_UP + appends):
        if number == WARM_UP:
            counted.start_over()
        blob.append(TUPLES)
        processor_s.append(timed(blob.ingest).processor_s)
    blob.close()
    service.close()
    requests = counted.requests
    sends, odd = divmod(requests["send"], appends)
    # One process, as here, remembers what it released last and reads nothing; several instances
    # meet each other's releases, so the simulation makes all calls.
    is_known = appends <= requests["state"] <= CHECKPOINT_CALLS * appends
    if odd or not is_known or requests["read"] != READS * appends:
        raise SystemExit(f"not the calls that the simulation makes: {requests}")
    return EventCost(
        form,
        sink,
        median(processor_s[WARM_UP:]),
        sends,
        counted.read_bytes / appends,
        counted.sent_bytes / appends,
    )


def measured_costs() -> dict[str, EventCost]:
    """Those of measured.json, by their names."""
    return {name: EventCost(**fields) for name, fields in cost.MEASURED["events"].items()}
