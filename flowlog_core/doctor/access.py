"""Whether Flowlog can use each container, queue and table as it needs to.

The checks leave nothing behind, and consumers see nothing of them:

- Source containers are listed, and one byte of a blob is read.
- In the checkpoint table, an entity is written to the partition `doctor` and removed If-Match. Only
  Flowlog reads that table, and its queries end before that partition.
- The dead-letter container and the table of records get a write that is authorized and then fails:
  the replacement of a blob that does not exist, and a transaction whose second row cannot be
  replaced, so that the first is not written either.
- A queue has no such write. The test message is invisible from the start and deleted at once. It is
  sent only after a test has shown that this caller may delete messages. If it is left behind even
  so, it expires within a minute, and it is a Flowlog message without records.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import orjson
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableTransactionError, UpdateMode
from azure.storage.queue import QueueClient

from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.doctor.explain_error import code_of
from flowlog_core.doctor.installation import Installation
from flowlog_core.sinks import SCHEMA
from flowlog_core.storage.create_on_demand import is_missing

_HIDDEN_S, _LIVES_S = 59, 60  # a message must live longer than it is invisible
_NO_ETAG = "W/\"datetime'2000-01-01T00%3A00%3A00.0000000Z'\""
# Well formed: the service would otherwise reject their form before it checks permissions.
_NO_MESSAGE, _NO_RECEIPT = str(uuid.UUID(int=0)), "AgAAAAMAAAAAAAAAAAAAAAAAAAA="
_CONTAINER_SETTINGS = ("FLOWLOG_NSG_CONTAINER", "FLOWLOG_VNET_CONTAINER")


def log_containers(at: Installation, source: Connection) -> Iterator[Finding]:
    """The containers of flow logs exist and can be listed, and their blobs can be read."""
    service, account = at.clients.blobs(source), at.service.accounts[source.name]
    for container, setting in zip(at.settings.containers, _CONTAINER_SETTINGS, strict=True):
        client = service.get_container_client(container)
        try:
            found = client.list_blobs(results_per_page=1, raw_response_hook=at.hear)
            first = next(iter(found), None)
            if first is not None:
                client.download_blob(first.name, 0, 1).readall()
        except ResourceNotFoundError as error:
            if is_missing(error):
                yield Finding(
                    "warning",
                    f"Account {account} has no container {container}",
                    "Network Watcher creates it with the first flow log of its kind. If you have "
                    f"such logs, they are in another account than {source.name}, or in another "
                    f"container than {setting} says",
                )
                continue
            if code_of(error) != "BlobNotFound":  # deleted since it was listed
                raise
        yield Finding("ok", f"Container {container} of account {account} can be listed and read")


def checkpoint_table(at: Installation) -> Iterator[Finding]:
    """Checkpoints can be written, read and deleted."""
    name = at.settings.checkpoint_table
    table = at.clients.tables(at.settings.state).get_table_client(name)

    def trial() -> Iterator[Finding]:
        key = ("doctor", f"trial|{uuid.uuid4().hex}")
        entity = {"PartitionKey": key[0], "RowKey": key[1]}
        said = table.create_entity(entity, raw_response_hook=at.hear)
        try:
            table.get_entity(*key)
        finally:
            unchanged = MatchConditions.IfNotModified
            table.delete_entity(*key, etag=said["etag"], match_condition=unchanged)
        yield Finding("ok", f"Table {name}: a test entity was written, read and deleted")

    return _tried(at, f"Table {name}", trial, table.create_table)


def dead_letter_container(at: Installation) -> Iterator[Finding]:
    """Dead letters can be written. Those of today's flow logs are listed."""
    name, day = at.settings.dead_letter_container, f"{at.now():%Y-%m-%d}"
    container = at.clients.blobs(at.settings.state).get_container_client(name)

    def trial() -> Iterator[Finding]:
        with suppress(ResourceModifiedError):
            container.upload_blob(
                "doctor",
                b"",
                overwrite=True,
                etag='"0x0"',
                match_condition=MatchConditions.IfNotModified,
                raw_response_hook=at.hear,
            )
        yield Finding("ok", f"Container {name} can be written to")
        found = next(container.list_blobs(name_starts_with=day).by_page(), ())
        names = [one.name for one in found]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield Finding(
                "warning",
                f"{len(names)} dead letters of today's flow logs: {', '.join(names[:3])}{more}",
                f"Each blob in {name} contains what could not be read, its offset and the reason. "
                "The rest of the flow log was forwarded",
            )

    return _tried(at, f"Container {name}", trial, container.create_container)


def sink(at: Installation) -> list[Callable[[], Iterator[Finding]]]:
    """Records can be sent: one check for each queue, or one for the table."""
    if at.settings.sink == "table":
        return [partial(_table_sink, at)]
    return [partial(_queue_sink, at, queue) for queue in at.clients.record_queues()]


def _table_sink(at: Installation) -> Iterator[Finding]:
    name = at.settings.table
    table = at.clients.tables(at.settings.sink_connection).get_table_client(name)
    trial_row, absent_row = (
        {"PartitionKey": "doctor", "RowKey": f"{kind}|{uuid.uuid4().hex}"}
        for kind in ("trial", "absent")
    )
    on_condition = {"etag": _NO_ETAG, "match_condition": MatchConditions.IfNotModified}
    replace = {"mode": UpdateMode.REPLACE}

    def trial() -> Iterator[Finding]:
        try:
            table.submit_transaction(
                [("upsert", trial_row, replace), ("update", absent_row, replace | on_condition)],
                raw_response_hook=at.hear,
            )
        except TableTransactionError as error:
            if error.status_code != 404 or is_missing(error):
                raise
        yield Finding("ok", f"Table {name} accepts rows")

    return _tried(at, f"Table {name}", trial, table.create_table)


def trial_message() -> str:
    """A Flowlog message without records, in case a consumer ever sees the test."""
    body = {"schema": SCHEMA, "id": "doctor", "source": {}, "count": 0, "records": []}
    return b64encode(orjson.dumps(body)).decode()


def _queue_sink(at: Installation, queue: QueueClient) -> Iterator[Finding]:
    name = queue.queue_name

    def trial() -> Iterator[Finding]:
        try:
            queue.delete_message(_NO_MESSAGE, _NO_RECEIPT, raw_response_hook=at.hear)
        except HttpResponseError as error:
            if is_missing(error):
                raise
            code = code_of(error)
            if code in ("AuthorizationPermissionMismatch", "InsufficientAccountPermissions"):
                yield Finding(
                    "unknown",
                    f"Queue {name}: sending was not tested, because this caller may not delete the "
                    "test message",
                    "Check that the role Storage Queue Data Message Sender is assigned on storage "
                    f"account {queue.account_name}. It is enough to send, if the queue exists",
                )
                return
            if code != "MessageNotFound":
                raise
        sent = queue.send_message(
            trial_message(), visibility_timeout=_HIDDEN_S, time_to_live=_LIVES_S
        )
        queue.delete_message(sent)
        yield Finding("ok", f"Queue {name}: an invisible test message was sent and deleted")

    return _tried(at, f"Queue {name}", trial, queue.create_queue)


def _tried(
    at: Installation,
    thing: str,
    trial: Callable[[], Iterator[Finding]],
    create: Callable[[], object],
) -> Iterator[Finding]:
    """What `trial` finds. A missing thing is reported, or created first if `at.may_create`."""
    try:
        yield from trial()
    except HttpResponseError as error:
        if not is_missing(error):
            raise
    else:
        return
    if not at.may_create:
        yield Finding(
            "ok",
            f"{thing} does not exist yet. Flowlog creates it on first use",
            "`flowlog doctor --fix` creates it now",
        )
        return
    with suppress(ResourceExistsError):
        create()
    yield Finding("ok", f"{thing} was created")
    yield from trial()
