"""The Event Hubs sink against a broker that speaks AMQP 1.0, and misbehaves in every way it can.

The broker needs python-qpid-proton, which pip builds with a C compiler.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import repeat
from types import FrameType
from typing import Any

import orjson
import pytest

pytest.importorskip("proton", reason="python-qpid-proton is missing: it needs a C compiler")

from amqp_broker import ACCEPT, UNACKNOWLEDGED, Answer, Broker, Stage, reject
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.eventhub._pyamqp.error import (
    AMQPConnectionError,
    AMQPException,
    AMQPLinkError,
    MessageSendFailed,
)
from azure.eventhub.aio import EventHubProducerClient
from azure.eventhub.exceptions import ConnectError, EventDataSendError, EventHubError
from made_records import generated_entries, records_of, sums_of
from support import tuple_of
from test_sinks import entry_records, generated
from test_sinks_forms import PREFIX, batches, plain, sent

from flowlog_core.config.connections import Connection
from flowlog_core.consume import decode
from flowlog_core.errors import (
    ItemRefused,
    NotAllowed,
    NotFound,
    Refused,
    StorageError,
    Unavailable,
)
from flowlog_core.parallel import Parallel
from flowlog_core.schemas import SCHEMAS, row_of
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import EntryRecords, TooLarge, event_hub_client
from flowlog_core.sinks.event_hub import MAX_BATCH_BYTES, MAX_EVENT_BYTES, EventHubSink
from flowlog_core.sinks.event_hub_client import Event, EventHub
from flowlog_core.sinks.event_hub_errors import flowlog_error
from flowlog_core.sinks.message import Encoding, messages_of
from flowlog_core.testing.memory import some_blob

KEY = "interface"
FORMS = ("lean", "time,src_ip,tuples,rule")
LIMIT_S = 8.0
"""Long, as tests of other files may use the same processors: only silence lasts that long."""
TRY_S = 2.5
MAX_TEST_S = 30

# The SDK leaves the streams of connections that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _time_limit() -> Iterator[None]:
    """Ends a test that hangs: that is what most of them are about."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"the test took more than {MAX_TEST_S} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, MAX_TEST_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def opened_hub(connection_string: str, name: str) -> EventHub:
    return EventHub(Connection("Hub", connection_string), name, try_s=TRY_S, waits_s=(0.1, 0.3))


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as started:
        yield started


@pytest.fixture
def hub(broker: Broker) -> Iterator[EventHub]:
    opened = opened_hub(broker.connection_string, broker.hub)
    yield opened
    opened.close()
    gc.collect()  # so that what it warns of is not another test's


@pytest.fixture
def parallel() -> Iterator[Parallel]:
    pool = Parallel(6)
    yield pool
    pool.close()


def events(count: int, size: int = 10) -> list[Event]:
    return [Event(f"id-{i}", b"%d" % i * size, False, KEY) for i in range(count)]


def ids(broker: Broker) -> list[str]:
    return [event.id for event in broker.events]


def elapsed_s(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [("json", ("application/json", "None")), ("gzip", ("application/json", "gzip"))],
)
def test_the_hub_holds_every_record_of_an_interface_under_one_key(
    broker: Broker, hub: EventHub, parallel: Parallel, encoding: Encoding, kind: tuple[str, str]
) -> None:
    sink = EventHubSink(hub, encoding, parallel)
    entry = generated("nsg2", 700)
    packed = sink.pack(entry_records(entry))
    assert packed.too_large == []
    assert sink.send(packed.messages) == len(broker.events)
    batches = [decode(event.body) for event in broker.events]
    assert ids(broker) == [batch.id for batch in batches]
    batches.sort(key=lambda batch: int(batch.source["first_tuple"]))
    assert [tuple_of(r) for batch in batches for r in batch.records] == list(entry.tuples)
    assert {event.kind for event in broker.events} == {kind}
    (key,) = {event.partition_key for event in broker.events}
    assert re.fullmatch("[0-9a-f]{16}", key)


@pytest.mark.parametrize("sums", [False, True], ids=["records", "sums"])
@pytest.mark.parametrize("encoding", ["json", "gzip"])
def test_the_hub_holds_in_every_form_what_a_queue_and_a_table_hold(
    broker: Broker, hub: EventHub, parallel: Parallel, encoding: Encoding, sums: bool
) -> None:
    sink, entry = EventHubSink(hub, encoding, parallel), list(generated_entries())[-1]
    whole = records_of(entry, PREFIX)
    whole = sums_of(whole) if sums else whole
    for schema, fields in [*((one, "all") for one in SCHEMAS), *(("flowlog", f) for f in FORMS)]:
        shaper = Shaper(fields=Fields.parse(fields), aggregates=sums, schema=schema)
        form = sent(entry, shaper)
        broker.events.clear()
        assert sink.send(sink.pack(form).messages) == len(broker.events) > 0
        of_hub = [decode(event.body) for event in broker.events]
        assert ids(broker) == [batch.id for batch in of_hub]
        of_hub.sort(key=lambda batch: int(batch.source["first_tuple"]))
        records = [record for batch in of_hub for record in batch.records]
        of_queue = [decode(one.text) for one in messages_of(form, encoding)[0]]
        assert records == [record for batch in of_queue for record in batch.records]
        assert {batch.schema for batch in of_hub} == {batch.schema for batch in of_queue}
        if fields == "lean":
            assert records == whole  # `decode` makes them whole again
        of_table = batches(sent(entry, replace(shaper, names_blob=False)))
        rows = [plain(row) for batch in of_table for row in batch.rows]
        assert rows == [row_of(record) for record in records]


def test_other_interfaces_have_other_keys(hub: EventHub, parallel: Parallel) -> None:
    sink = EventHubSink(hub, "json", parallel)
    entry = generated("nsg2", 1)
    keys = [
        message.partition_key
        for mac in ("000D3AF87856", "000D3AF87857", "000d3af87856")
        for message in sink.pack(entry_records(entry, blob=some_blob(mac=mac))).messages
    ]
    assert len(keys) == 3
    assert keys[0] == keys[2] != keys[1]


def test_events_are_gathered_and_no_batch_exceeds_the_limit_of_the_link(
    broker: Broker, hub: EventHub, parallel: Parallel
) -> None:
    broker.max_message_bytes = 100_000
    sink = EventHubSink(hub, "json", parallel)
    entries = [entry_records(generated("nsg2", 30), offset=offset) for offset in range(40)]
    messages = [message for entry in entries for message in sink.pack(entry).messages]
    total = sum(len(message.body) for message in messages)
    assert sink.send(iter(messages)) == len(messages) == len(broker.events)
    assert sorted(ids(broker)) == sorted(message.id for message in messages)
    assert max(broker.batches) <= 100_000
    assert len(broker.batches) < 2 * total / 100_000 + 1


def test_a_batch_is_not_kept_back_for_an_event_that_is_not_drawn_yet() -> None:
    """Each draw checks the claim, so a send must follow its last draw at once."""
    clock = iter(range(10**6))
    sent: list[tuple[int, int]] = []

    class Noting(EventHub):
        def send(self, events: Sequence[Event], limit_s: float) -> None:
            sent.append((len(events), int(limit_s)))

    noting = Noting(Connection("Hub"), "flows")
    one_at_a_time = Parallel(1)
    sink = EventHubSink(noting, "json", one_at_a_time, lambda: float(next(clock)))
    entry = generated("nsg2", 2000)
    packed = list(sink.pack(entry_records(entry)).messages)
    sizes = [len(message.body) for message in packed]
    assert max(sizes) <= MAX_EVENT_BYTES
    assert sink.send(packed) == len(packed)
    assert sum(count for count, _ in sent) == len(packed)
    # A tick for the draw, one for the send: nothing was drawn in between.
    assert {limit_s for _, limit_s in sent} == {17}
    start = 0
    for count, _ in sent:
        assert sum(sizes[start : start + count]) <= MAX_BATCH_BYTES
        start += count
    one_at_a_time.close()
    noting.close()


def test_events_of_other_interfaces_share_no_batch(
    broker: Broker, hub: EventHub, parallel: Parallel
) -> None:
    """A redrive sends the entries of many blobs at once."""
    sink = EventHubSink(hub, "json", parallel)
    entry = generated("nsg2", 1)
    messages = [
        message
        for mac in ("000D3AF87856", "000D3AF87857", "000D3AF87856")
        for message in sink.pack(entry_records(entry, blob=some_blob(mac=mac))).messages
    ]
    assert sink.send(messages) == 3
    expected = sorted((message.id, message.partition_key) for message in messages)
    assert sorted((event.id, event.partition_key) for event in broker.events) == expected


def test_an_event_that_was_drawn_too_long_ago_is_not_sent(
    broker: Broker, hub: EventHub, parallel: Parallel
) -> None:
    clock = iter([0.0, 18.0])
    sink = EventHubSink(hub, "json", parallel, lambda: next(clock))
    with pytest.raises(Unavailable, match="no time is left"):
        sink.send(sink.pack(entry_records(generated("nsg2", 1))).messages)
    assert broker.batches == []


def test_a_record_too_large_for_an_event_is_given_back(hub: EventHub, parallel: Parallel) -> None:
    entry = entry_records(generated("nsg2", 2))
    line = entry.lines[0].replace('"rule":"', '"rule":"' + "x" * MAX_EVENT_BYTES)
    packed = EventHubSink(hub, "json", parallel).pack(
        EntryRecords(entry.position, [line, entry.lines[1]])
    )
    assert packed.too_large == [TooLarge(0, "the record fits no event of 65536 bytes")]
    assert [decode(m.body).records for m in packed.messages] == [[orjson.loads(entry.lines[1])]]


def of_entries(*offsets: int, size: int = 10) -> list[Event]:
    """An event of each entry."""
    return [
        Event(f"ab.0.{offset}.m0.1", b"x" * size, is_gzip=False, partition_key=KEY)
        for offset in offsets
    ]


def test_an_event_too_large_for_the_link_is_refused(broker: Broker, hub: EventHub) -> None:
    broker.max_message_bytes = 1000
    with pytest.raises(ItemRefused, match=r"event ab.0.99.m0.1 has 1001 bytes.* 1000") as caught:
        hub.send([*of_entries(12), *of_entries(99, size=1001)], LIMIT_S)
    assert caught.value.entry_id == "ab.0.99"
    assert ids(broker) == ["ab.0.12.m0.1"]


def test_of_a_batch_that_is_too_large_only_the_event_that_is_gets_refused(
    broker: Broker, hub: EventHub
) -> None:
    """Three batches of one event follow the one of all; the SDK sends a refused one twice."""
    refused = [reject("amqp:link:message-size-exceeded")] * 2
    broker.answers = iter([*refused, ACCEPT, *refused])
    with pytest.raises(ItemRefused, match=r"sending event ab.0.99.m0.1 .*as the test") as caught:
        hub.send(of_entries(12, 99, 180), LIMIT_S)
    assert caught.value.entry_id == "ab.0.99"
    assert ids(broker) == ["ab.0.12.m0.1"]
    hub.send(of_entries(99, 180), LIMIT_S)
    assert ids(broker) == ["ab.0.12.m0.1", "ab.0.99.m0.1", "ab.0.180.m0.1"]


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("com.microsoft:server-busy", Unavailable),
        ("amqp:link:message-size-exceeded", ItemRefused),
        ("amqp:decode-error", Refused),
    ],
)
def test_a_batch_that_is_always_rejected_is_an_error(
    broker: Broker, hub: EventHub, condition: str, kind: type[StorageError]
) -> None:
    broker.answers = repeat(reject(condition))
    with pytest.raises(kind, match=r"sending event id-0 to event hub flows: .*as the test says"):
        hub.send(events(2), LIMIT_S)
    assert broker.events == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_batch_that_is_rejected_for_now_is_sent_again(
    broker: Broker, hub: EventHub, times: int
) -> None:
    """The SDK repeats a send once by itself, at once; then it is done after a second."""
    broker.answers = iter([reject("com.microsoft:server-busy")] * times)
    hub.send(events(2), LIMIT_S)
    assert ids(broker) == ["id-0", "id-1"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(keeps=False, then="detach"),
        Answer(keeps=False, then="drop"),
    ],
    ids=["link closed", "connection dropped"],
)
def test_a_batch_that_got_lost_is_sent_again(broker: Broker, hub: EventHub, answer: Answer) -> None:
    broker.answers = iter([answer])
    hub.send(events(2), LIMIT_S)
    assert ids(broker) == ["id-0", "id-1"]


@pytest.mark.parametrize(
    "answer",
    [Answer(then="detach"), UNACKNOWLEDGED, Answer(then="silence")],
    ids=["link closed", "connection dropped", "no disposition"],
)
def test_a_batch_of_unknown_outcome_is_sent_again_with_the_same_ids(
    broker: Broker, hub: EventHub, answer: Answer
) -> None:
    broker.answers = iter([answer])
    hub.send(events(2), LIMIT_S)
    assert ids(broker) == ["id-0", "id-1"] * 2
    assert len(set(broker.events)) == 2


def test_what_was_acknowledged_is_not_sent_again(broker: Broker, hub: EventHub) -> None:
    broker.max_message_bytes = 1000
    broker.answers = iter([ACCEPT, *[reject("com.microsoft:server-busy")] * 2])
    hub.send([Event(f"id-{i}", b"x" * 600, False, KEY) for i in range(3)], LIMIT_S)
    assert ids(broker) == ["id-0", "id-1", "id-2"]
    assert len(broker.batches) == 5


@pytest.mark.parametrize("stage", ["sasl", "open", "cbs", "attach", "disposition"])
def test_silence_ends_in_time_and_a_fresh_client_works(
    broker: Broker, hub: EventHub, stage: Stage
) -> None:
    broker.silent_at = stage

    def send() -> None:
        with pytest.raises(Unavailable, match="no answer"):
            hub.send(events(1), 1.0)

    assert elapsed_s(send) < 3
    broker.silent_at = None
    hub.send(events(1), LIMIT_S)
    assert "id-0" in ids(broker)


def test_a_connection_that_died_unnoticed_is_replaced(broker: Broker, hub: EventHub) -> None:
    hub.send(events(1), LIMIT_S)
    broker.drop_connections()
    hub.send([Event("later", b"", False, KEY)], LIMIT_S)
    assert ids(broker) == ["id-0", "later"]


def test_a_hub_that_nobody_serves_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    text = Broker.string_of(port)
    hub = opened_hub(text, "flows")

    def send() -> None:
        with pytest.raises(Unavailable, match="sending event id-0 to event hub flows"):
            hub.send(events(1), LIMIT_S)

    assert elapsed_s(send) < LIMIT_S + 2
    hub.close()


def test_a_hub_that_does_not_exist_is_named(broker: Broker) -> None:
    hub = opened_hub(broker.connection_string, "absent")
    with pytest.raises(NotFound, match=r"event hub absent: .*was not found"):
        hub.send(events(1), LIMIT_S)
    hub.close()


def test_a_caller_without_the_right_to_send_is_told(broker: Broker, hub: EventHub) -> None:
    broker.refuse_link = "amqp:unauthorized-access"
    with pytest.raises(NotAllowed, match="'Send' claim required"):
        hub.send(events(1), LIMIT_S)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, NotAllowed), (404, NotFound), (503, Unavailable)]
)
def test_a_token_that_is_refused_is_an_error(
    broker: Broker, hub: EventHub, status: int, kind: type[StorageError]
) -> None:
    broker.token_status = status
    with pytest.raises(kind, match=f"Status code: {status}"):
        hub.send(events(1), LIMIT_S)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MessageSendFailed(b"com.microsoft:timeout"), Unavailable),
        (MessageSendFailed(b"amqp:internal-error"), Unavailable),
        (MessageSendFailed(b"amqp:resource-limit-exceeded"), Unavailable),
        (MessageSendFailed(b"com.microsoft:argument-error"), Refused),
        (MessageSendFailed(b"amqp:link:message-size-exceeded"), Refused),
        (AMQPLinkError(b"com.microsoft:entity-disabled"), Refused),
        (AMQPLinkError(b"amqp:resource-deleted"), NotFound),
        (AMQPLinkError(b"com.microsoft:auth-failed"), NotAllowed),
        (AMQPConnectionError(b"amqp:connection:forced"), Unavailable),
    ],
    ids=lambda value: (
        value.condition.decode() if isinstance(value, AMQPException) else value.__name__
    ),
)
def test_the_condition_of_an_error_decides(error: Any, kind: type[StorageError]) -> None:
    """As "AMQP errors in Azure Service Bus" describes them, whatever class the SDK gives them."""
    for of_sdk in (EventHubError, ConnectError, EventDataSendError):
        mapped = flowlog_error("sending", of_sdk(str(error), error))
        assert type(mapped) is kind
        assert str(mapped).startswith("sending: Error condition: ")
        assert "\n" not in str(mapped)
        of_item = flowlog_error("sending", of_sdk(str(error), error), "ab.0.12")
        blamed = error.condition == b"amqp:link:message-size-exceeded"
        assert type(of_item) is (ItemRefused if blamed else kind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ClientAuthenticationError("no identity"), NotAllowed),
        (ServiceRequestError("IMDS did not answer"), Unavailable),
        (TimeoutError(), Unavailable),
        (KeyError("records"), Unavailable),
        (NotFound("known"), NotFound),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_every_other_error_has_a_place_in_the_tree(
    error: Exception, kind: type[StorageError]
) -> None:
    assert type(flowlog_error("sending", error)) is kind


def test_sends_at_the_same_time_have_a_connection_each(
    broker: Broker, hub: EventHub, parallel: Parallel
) -> None:
    parallel(range(20), lambda i: hub.send([Event(f"{i}", b"", False, KEY)], LIMIT_S))
    assert sorted(ids(broker), key=int) == [str(i) for i in range(20)]
    assert 1 <= broker.connections <= 6


def test_a_hub_that_was_never_used_is_closed(broker: Broker) -> None:
    EventHub(Connection("Hub", broker.connection_string), "flows").close()
    assert broker.connections == 0


def test_a_hub_whose_connections_do_not_close_is_closed_all_the_same(
    hub: EventHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service closes other things after it."""
    monkeypatch.setattr(event_hub_client, "_CLOSE_S", 0.1)

    async def deaf(_: object) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    monkeypatch.setattr(EventHubProducerClient, "close", deaf)
    hub.send(events(1), LIMIT_S)
    assert elapsed_s(hub.close) < 3
    assert "connections did not close in time" in caplog.text


def test_whatever_goes_wrong_every_event_arrives_and_repeats_are_the_same(
    broker: Broker, hub: EventHub, parallel: Parallel
) -> None:
    """A short chaos run of what workers do: pack and send an entry until it is accepted."""
    rng = random.Random(22)
    troubles = [
        UNACKNOWLEDGED,
        Answer(then="detach"),
        Answer(keeps=False, then="detach"),
        Answer(keeps=False, then="drop"),
        reject("com.microsoft:server-busy"),
        reject("amqp:internal-error"),
    ]
    broker.answers = (rng.choice([rng.choice(troubles), ACCEPT]) for _ in repeat(None))
    sink = EventHubSink(hub, "gzip", parallel)
    entries = [entry_records(generated("nsg2", 20, seed), offset=seed) for seed in range(12)]

    def forward(entry: EntryRecords) -> None:
        while True:
            with suppress(Unavailable):
                sink.send(sink.pack(entry).messages)
                return

    with ThreadPoolExecutor(6) as workers:
        list(workers.map(forward, entries))
    broker.answers = iter(())
    received = {event.id: event for event in broker.events}
    assert all(received[event.id] == event for event in broker.events)
    found = [r for event in received.values() for r in decode(event.body).records]
    assert sorted(found, key=lambda r: str(r["id"])) == sorted(
        (orjson.loads(line) for entry in entries for line in entry.lines),
        key=lambda r: str(r["id"]),
    )
    assert max(Counter(ids(broker)).values()) > 1
