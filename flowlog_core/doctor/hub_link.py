"""A link to an event hub, opened only to see whether the hub takes events."""

from __future__ import annotations

import asyncio
from typing import Any

from azure.eventhub.aio import EventHubProducerClient

from flowlog_core.sinks.event_hub_client import EventHub
from flowlog_core.sinks.event_hub_errors import flowlog_error


class HubLink(EventHub):
    """An event hub that is asked for its limit."""

    def max_batch_bytes(self, limit_s: float) -> int:
        """Open a link for sending, which needs the right to send. Returns the limit it has.

        Raises a `StorageError`. Leaves nothing behind.
        """
        doing = f"opening event hub {self._name}"

        async def ask(ends_at: float) -> int:
            try:
                async with asyncio.timeout_at(ends_at):
                    client = await self._take()
                    try:
                        batch = await client.create_batch()
                        await _look_again(client)
                        return batch.max_size_in_bytes
                    finally:
                        self._throw_away(client)
            except Exception as error:
                raise flowlog_error(doing, error) from error

        max_bytes: int = self._run(doing, limit_s, ask)
        return max_bytes


async def _look_again(client: EventHubProducerClient) -> None:
    """Raise the error of a link that was refused.

    A service accepts a link before it refuses it, and the SDK looks at the first answer alone. It
    has nothing public that would look again without sending.
    """
    (producer,) = client._producers.values()
    handler: Any = producer and producer._handler
    for _ in range(2):
        await handler.do_work_async()
