"""An event hub on loopback for the tests: as much AMQP 1.0, by qpid-proton, as the SDK needs.

It authenticates nobody (SASL ANONYMOUS, every `$cbs` token is accepted), keeps what is sent to it,
and misbehaves as a test says. Sources: OASIS AMQP 1.0, parts 2 and 3; Microsoft's pages "AMQP 1.0
in Azure Service Bus and Event Hubs protocol guide" and "AMQP errors in Azure Service Bus".
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import proton

Stage = Literal["sasl", "open", "cbs", "attach", "disposition"]
Fault = Callable[["Broker"], "Answer"]
_KEY = "SharedAccessKeyName=test;SharedAccessKey=dGVzdA=="
_DATA_SECTION = 0x75
_NO_DESCRIPTOR: Any = proton.UNDESCRIBED
_FIELDS = {0x10: 10, 0x11: 8, 0x12: 14, 0x13: 11, 0x14: 11, 0x15: 6, 0x16: 3, 0x17: 1, 0x18: 1}
"""How many fields each performative has, by its descriptor (part 2, section 2.7)."""


class Received(NamedTuple):
    """One event, as the hub keeps it."""

    id: Any
    body: bytes
    partition_key: str
    kind: tuple[str, str]
    """Content type and encoding; `None` is the text for none."""


@dataclass(frozen=True)
class Answer:
    """What the hub does with a batch."""

    keeps: bool = True
    condition: str = ""
    """Rejects the batch with this error."""
    then: Literal["", "detach", "drop", "silence"] = ""
    """Instead of a disposition: ends the link, drops the connection, or says nothing."""


ACCEPT = Answer()
UNACKNOWLEDGED = Answer(then="drop")
"""The batch is kept, and the connection ends before the client learns of it."""


def reject(condition: str) -> Answer:
    """Reject a batch."""
    return Answer(keeps=False, condition=condition)


class Broker:
    """Listens on a port of its own, one thread for each connection."""

    def __init__(self, hub: str = "flows", max_message_bytes: int = 1024 * 1024) -> None:
        self.hub, self.max_message_bytes = hub, max_message_bytes
        self.events: list[Received] = []
        self.batches: list[int] = []
        """The size in bytes of each batch that arrived, kept or not."""
        self.connections = 0
        self.silent_at: Stage | None = None
        """From this stage on, new connections get no answer."""
        self.refuse_link = ""
        """Refuses links to the hub with this error."""
        self.token_status = 202
        """The answer to `$cbs` put-token."""
        self.answers: Iterator[Answer] = iter(())
        """One for each batch that arrives; then `ACCEPT`."""
        self.lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def connection_string(self) -> str:
        return self.string_of(self.port)

    @staticmethod
    def string_of(port: int) -> str:
        return f"Endpoint=sb://127.0.0.1:{port};{_KEY};UseDevelopmentEmulator=true"

    def drop_connections(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # wakes `accept`
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            thread = threading.Thread(target=_Connection(self, client).run, daemon=True)
            self._threads.append(thread)
            thread.start()


class _Connection:
    def __init__(self, broker: Broker, client: socket.socket) -> None:
        self._broker, self._socket = broker, client
        self._silent_at = broker.silent_at
        self._is_dropped = False
        self._pad = _Padding()
        self._transport = proton.Transport(proton.Transport.SERVER)
        self._transport.sasl().allowed_mechs("ANONYMOUS")
        connection = proton.Connection()
        connection.container = "broker"
        self._events = proton.Collector()
        connection.collect(self._events)
        self._transport.bind(connection)

    def run(self) -> None:
        with self._socket, suppress(OSError):
            while data := self._socket.recv(65536):
                if self._silent_at == "sasl":
                    continue
                while data and self._transport.capacity() > 0:
                    taken = data[: self._transport.capacity()]
                    self._transport.push(taken)
                    data = data[len(taken) :]
                    self._turn()
                if self._is_dropped:
                    return

    def _turn(self) -> None:
        while (event := self._events.peek()) is not None:
            handler = getattr(self, event.type.method, None)
            if handler is not None:
                handler(event)
            self._events.pop()
        while (pending := self._transport.pending()) > 0:
            data = self._transport.peek(pending) or b""
            self._transport.pop(len(data))
            if not self._is_dropped:
                self._socket.sendall(self._pad(data))

    def on_connection_remote_open(self, event: Any) -> None:
        if self._silent_at != "open":
            event.connection.open()

    def on_session_remote_open(self, event: Any) -> None:
        event.session.open()

    def on_link_remote_open(self, event: Any) -> None:
        link = event.link
        address = link.remote_target.address or link.remote_source.address
        is_hub = address.rpartition("/")[2] == self._broker.hub
        if self._silent_at == "attach" and not address.startswith("$"):
            return
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.max_message_size = self._broker.max_message_bytes
        link.open()
        if not is_hub and not address.startswith("$"):
            self._end(link, "amqp:not-found", f"The messaging entity '{address}' was not found")
        elif is_hub and self._broker.refuse_link:
            self._end(link, self._broker.refuse_link, "Unauthorized access. 'Send' claim required")
        elif link.is_receiver:
            link.flow(1000)

    def _end(self, link: Any, condition: str, text: str) -> None:
        info: Any = {proton.symbol("from"): "broker"}
        link.condition = proton.Condition(condition, text, info)
        link.close()

    def on_link_remote_close(self, event: Any) -> None:
        event.link.close()

    def on_session_remote_close(self, event: Any) -> None:
        event.session.close()

    def on_connection_remote_close(self, event: Any) -> None:
        event.connection.close()

    def on_delivery(self, event: Any) -> None:
        delivery, link = event.delivery, event.link
        if not link.is_receiver or delivery.partial or not delivery.readable:
            return
        content = link.recv(delivery.pending)
        link.advance()
        node = link.remote_target.address
        if node.startswith("$"):
            self._settle(delivery, "")
            if self._silent_at != "cbs":
                self._answer(event.session, node, content)
            return
        with self._broker.lock:
            answer = next(self._broker.answers, ACCEPT)
            self._broker.batches.append(len(content))
            if answer.keeps:
                self._broker.events += _events_in(content)
        if answer.then == "drop":
            self._is_dropped = True
        elif answer.then == "detach":
            self._end(link, "amqp:link:detach-forced", "The link is closed by the service")
        elif answer.then != "silence" and self._silent_at != "disposition":
            self._settle(delivery, answer.condition)

    def _settle(self, delivery: Any, condition: str) -> None:
        if condition:
            info: Any = {proton.symbol("from"): "broker"}
            delivery.local.condition = proton.Condition(condition, "as the test says", info)
        delivery.update(proton.Delivery.REJECTED if condition else proton.Delivery.ACCEPTED)
        delivery.settle()

    def _answer(self, session: Any, node: str, content: bytes) -> None:
        """Answer a token (`$cbs`), or the question of a hub's partitions (`$management`)."""
        asked, said = proton.Message(), proton.Message()  # type: Any, Any
        asked.decode(content)
        said.correlation_id = asked.id
        status = self._broker.token_status if node == "$cbs" else 200
        said.properties = {"status-code": proton.int32(status), "status-description": "as asked"}
        if node == "$management":
            partitions = proton.Array(_NO_DESCRIPTOR, proton.Data.STRING, "0", "1")
            said.body = {
                "name": self._broker.hub,
                "created_at": proton.timestamp(0),
                "partition_ids": partitions,
            }
        link = session.connection.link_head(0)
        while link.is_receiver or link.remote_source.address != node:
            link = link.next(0)
        link.delivery(f"{asked.id}")
        link.send(said.encode())
        link.advance()


class _Padding:
    """Fills up each performative: the SDK reads fields that a sender may leave out at the end."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        out, self._rest = bytearray(), self._rest + data
        while len(self._rest) >= 8:
            size = 8 if self._rest.startswith(b"AMQP") else int.from_bytes(self._rest[:4], "big")
            if len(self._rest) < size:
                break
            frame, self._rest = self._rest[:size], self._rest[size:]
            out += _padded(frame)
        return bytes(out)


def _padded(frame: bytes) -> bytes:
    if frame.startswith(b"AMQP") or len(frame) == 8 or frame[5] != 0:
        return frame  # a protocol header, a heartbeat, SASL
    code, form, body = frame[10], frame[11], frame[12:]
    if form == 0x45:
        fields, count, rest = b"", 0, body
    else:  # 0xc0 and 0xd0: the width of the size and of the count
        width = 1 if form == 0xC0 else 4
        size = int.from_bytes(body[:width], "big")
        count = int.from_bytes(body[width : 2 * width], "big")
        fields, rest = body[2 * width : width + size], body[width + size :]
    fields += b"\x40" * (_FIELDS[code] - count)
    listed = (len(fields) + 4).to_bytes(4, "big") + _FIELDS[code].to_bytes(4, "big") + fields
    frame = frame[4:11] + b"\xd0" + listed + rest
    return (len(frame) + 4).to_bytes(4, "big") + frame


def _events_in(content: bytes) -> Iterator[Received]:
    """The events of a batch, each of which is a message in a data section of its own."""
    while content:
        section = proton.Data()
        content = content[section.decode(content) :]
        section.next()
        described: Any = section.get_py_described()
        if described.descriptor != _DATA_SECTION:
            continue
        message: Any = proton.Message()
        message.decode(bytes(described.value))
        key = message.annotations[proton.symbol("x-opt-partition-key")]
        kind = str(message.content_type), str(message.content_encoding)
        yield Received(message.id, bytes(message.body), str(key), kind)
