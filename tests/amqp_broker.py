"""An event hub on loopback for the tests: as much AMQP 1.0, by qpid-proton, as the SDK needs.

It authenticates nobody (SASL ANONYMOUS, every `$cbs` token is accepted), keeps what is sent to it,
and misbehaves as a test says. Sources: OASIS AMQP 1.0, parts 2 and 3; Microsoft's pages "AMQP 1.0
in Azure Service Bus and Event Hubs protocol guide" and "AMQP errors in Azure Service Bus".
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Literal, NamedTuple

import proton

Stage = Literal["sasl", "open", "cbs", "attach", "disposition"]
_KEY = "SharedAccessKeyName=test;SharedAccessKey=dGVzdA=="
_DATA_SECTION = 0x75
_UNDESCRIBED: Any = proton.UNDESCRIBED
_FIELDS = {0x10: 10, 0x11: 8, 0x12: 14, 0x13: 11, 0x14: 11, 0x15: 6, 0x16: 3, 0x17: 1, 0x18: 1}
"""How many fields each performative has, by its descriptor (part 2, section 2.7)."""
_ECHOED = re.compile("on_(session)_remote_(open)|on_(session|link|connection)_remote_(close)")
"""What the client opens or closes, the broker does too."""


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


class Broker(ThreadingTCPServer):
    """Listens on a port of its own, one thread for each connection."""

    def __init__(self, hub: str = "flows", max_message_bytes: int = 1024 * 1024) -> None:
        self.hub, self.max_message_bytes = hub, max_message_bytes
        self.events: list[Received] = []
        self.batches: list[int] = []
        """The size in bytes of each batch that arrived, kept or not."""
        self.silent_at: Stage | None = None
        """From this stage on, new connections get no answer."""
        self.refuse_link = ""
        """Refuses links to the hub with this error."""
        self.token_status = 202
        """The answer to `$cbs` put-token."""
        self.answers: Iterator[Answer] = iter(())
        """One for each batch that arrives; then `ACCEPT`."""
        self.lock = threading.Lock()
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port = int(self.server_address[1])

    @property
    def connection_string(self) -> str:
        return self.string_of(self.port)

    @staticmethod
    def string_of(port: int) -> str:
        return f"Endpoint=sb://127.0.0.1:{port};{_KEY};UseDevelopmentEmulator=true"

    @property
    def connections(self) -> int:
        return len(self.sockets)

    def drop_connections(self) -> None:
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Broker:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.drop_connections()
        self.server_close()  # waits for the threads


class _Connection(BaseRequestHandler):
    request: socket.socket
    server: Broker

    def handle(self) -> None:
        self.server.sockets.append(self.request)
        self._silent_at = self.server.silent_at
        self._is_dropped = False
        self._transport = proton.Transport(proton.Transport.SERVER)
        self._transport.sasl().allowed_mechs("ANONYMOUS")
        connection = proton.Connection()
        connection.container = "broker"
        self._events = proton.Collector()
        connection.collect(self._events)
        self._transport.bind(connection)
        with suppress(OSError):
            while not self._is_dropped and (data := self.request.recv(65536)):
                while self._silent_at != "sasl" and data and self._transport.capacity() > 0:
                    taken = data[: self._transport.capacity()]
                    self._transport.push(taken)
                    data = data[len(taken) :]
                    self._turn()

    def _turn(self) -> None:
        while (event := self._events.peek()) is not None:
            if echoed := _ECHOED.fullmatch(event.type.method):
                what, do = filter(None, echoed.groups())
                getattr(getattr(event, what), do)()
            elif handler := getattr(self, event.type.method, None):
                handler(event)
            self._events.pop()
        while (pending := self._transport.pending()) > 0:
            data = self._transport.peek(pending) or b""
            self._transport.pop(len(data))
            if not self._is_dropped:
                self.request.sendall(b"".join(_padded(data)))

    def on_connection_remote_open(self, event: Any) -> None:
        if self._silent_at != "open":
            event.connection.open()

    def on_link_remote_open(self, event: Any) -> None:
        link = event.link
        address = link.remote_target.address or link.remote_source.address
        is_of_service = address.startswith("$")
        if self._silent_at == "attach" and not is_of_service:
            return
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.max_message_size = self.server.max_message_bytes
        link.open()
        if not is_of_service and address.rpartition("/")[2] != self.server.hub:
            self._end(link, "amqp:not-found", f"The messaging entity '{address}' was not found")
        elif not is_of_service and self.server.refuse_link:
            self._end(link, self.server.refuse_link, "Unauthorized access. 'Send' claim required")
        elif link.is_receiver:
            link.flow(1000)

    def _end(self, link: Any, condition: str, text: str) -> None:
        link.condition = _condition(condition, text)
        link.close()

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
        with self.server.lock:
            answer = next(self.server.answers, ACCEPT)
            self.server.batches.append(len(content))
            if answer.keeps:
                self.server.events += _events_in(content)
        if answer.then == "drop":
            self._is_dropped = True
        elif answer.then == "detach":
            self._end(link, "amqp:link:detach-forced", "The link is closed by the service")
        elif answer.then != "silence" and self._silent_at != "disposition":
            self._settle(delivery, answer.condition)

    def _settle(self, delivery: Any, condition: str) -> None:
        if condition:
            delivery.local.condition = _condition(condition, "as the test says")
        delivery.update(proton.Delivery.REJECTED if condition else proton.Delivery.ACCEPTED)
        delivery.settle()

    def _answer(self, session: Any, node: str, content: bytes) -> None:
        """Answer a token (`$cbs`), or the question of a hub's partitions (`$management`)."""
        asked, said = proton.Message(), proton.Message()  # type: Any, Any
        asked.decode(content)
        said.correlation_id = asked.id
        status = self.server.token_status if node == "$cbs" else 200
        said.properties = {"status-code": proton.int32(status), "status-description": "as asked"}
        if node == "$management":
            partitions = proton.Array(_UNDESCRIBED, proton.Data.STRING, "0", "1")
            created_at = proton.timestamp(0)
            said.body = {"name": "", "created_at": created_at, "partition_ids": partitions}
        link = session.connection.link_head(0)
        while link.is_receiver or link.remote_source.address != node:
            link = link.next(0)
        link.delivery(f"{asked.id}")
        link.send(said.encode())
        link.advance()


def _condition(name: str, text: str) -> Any:
    """An error; the SDK needs a map in it."""
    info: Any = {proton.symbol("from"): "broker"}
    return proton.Condition(name, text, info)


def _padded(frames: bytes) -> Iterator[bytes]:
    """Whole frames with all fields: the SDK reads those that a sender may leave out at the end."""
    while frames:
        size = 8 if frames.startswith(b"AMQP") else int.from_bytes(frames[:4], "big")
        frame, frames = frames[:size], frames[size:]
        assert len(frame) == size
        if frame.startswith(b"AMQP") or size == 8 or frame[5] != 0:
            yield frame  # a protocol header, a heartbeat, SASL
            continue
        code, form, body = frame[10], frame[11], frame[12:]
        fields, count, rest = b"", 0, body
        if form != 0x45:  # 0xc0 and 0xd0: the width of the size and of the count
            width = 1 if form == 0xC0 else 4
            end = width + int.from_bytes(body[:width], "big")
            count = int.from_bytes(body[width : 2 * width], "big")
            fields, rest = body[2 * width : end], body[end:]
        fields += b"\x40" * (_FIELDS[code] - count)
        listed = (len(fields) + 4).to_bytes(4, "big") + _FIELDS[code].to_bytes(4, "big") + fields
        frame = frame[4:11] + b"\xd0" + listed + rest
        yield (len(frame) + 4).to_bytes(4, "big") + frame


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
