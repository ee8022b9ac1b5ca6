"""The queue, partition and account that each call of an interface uses, from the real keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from bench.harness.logs import blob_ref, one_of
from bench.scale.model import Append
from bench.scale.storage import Place
from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.sinks.shards import shard_of

# Microsoft's scalability targets, read 2026-11-27 under learn.microsoft.com/azure/storage:
# queues/scalability-targets and tables/scalability-targets, for messages and entities of 1 KiB, and
# common/scalability-targets-standard-account (of 19 November 2025), for East US and most other
# regions. An account in any other region takes 20,000.
QUEUE_MESSAGES_A_SECOND = 2000.0
PARTITION_ENTITIES_A_SECOND = 2000.0
QUEUES_MESSAGES_A_SECOND = 20000.0  # all of an account
TABLES_ENTITIES_A_SECOND = 20000.0  # all of an account
ACCOUNT_REQUESTS_A_SECOND = 40000.0

HOST_QUEUE = Place("the host's queue", QUEUE_MESSAGES_A_SECOND)
QUEUES = Place("all queues", QUEUES_MESSAGES_A_SECOND)
TABLES = Place("all tables", TABLES_ENTITIES_A_SECOND)
ACCOUNT = Place("the app's account", ACCOUNT_REQUESTS_A_SECOND)
LOG_ACCOUNT = Place("the account of the logs", ACCOUNT_REQUESTS_A_SECOND)


def fleet(interfaces: int, in_a_flow_log: int) -> list[BlobRef]:
    """The blobs of one hour of so many interfaces, so many of them sharing a VNet flow log."""
    return [blob_ref(one_of(number // in_a_flow_log, number)) for number in range(interfaces)]


def places(
    blobs: Sequence[BlobRef], shards: int, sink: str = "queue"
) -> Callable[[str, int], Sequence[Place]]:
    """For `Storage`: the places that a call of a kind burdens, for the interface of each blob.

    A partition of the table sink belongs to one flow log; a queue takes whatever falls to it.
    """
    state, sinks = [], []
    for blob in blobs:
        partition = checkpoint_key(blob).partition
        checkpoints = Place(f"checkpoints of {partition}", PARTITION_ENTITIES_A_SECOND)
        state.append((checkpoints, TABLES, ACCOUNT))
        name = f"{sink} {shard_of(blob, shards):02}"
        if sink == "table":
            rows = Place(f"{name} of {partition}", PARTITION_ENTITIES_A_SECOND)
            sinks.append((rows, TABLES, ACCOUNT))
        else:
            sinks.append((Place(name, QUEUE_MESSAGES_A_SECOND), QUEUES, ACCOUNT))
    host, logs = (HOST_QUEUE, QUEUES, ACCOUNT), (LOG_ACCOUNT,)

    def of_call(kind: str, interface: int) -> Sequence[Place]:
        if kind == "checkpoint":
            return state[interface]
        if kind == "send":
            return sinks[interface]
        return host if kind == "host's queue" else logs

    return of_call


class MetAt(NamedTuple):
    """The number of interfaces with which a limit is passed for the first time; None: with none."""

    on_average: int | None
    in_a_second: int | None


def met_at(
    keys: Iterable[Hashable], minute: Iterable[Append], units: float, a_second: float
) -> MetAt:
    """When the fullest of these keys is too full: on average, and in the busiest second.

    `keys` has one for each interface, and interfaces come one after the other; `minute` has their
    appends, each of which counts for so many units.
    """
    second_of = {append.interface: int(append.at_s) for append in minute}
    in_all: Counter[Hashable] = Counter()
    by_second: Counter[tuple[Hashable, int]] = Counter()
    on_average = in_a_second = None
    for number, key in enumerate(keys):
        in_all[key] += 1
        by_second[key, second_of[number]] += 1
        if on_average is None and in_all[key] * units / 60 > a_second:
            on_average = number + 1
        if in_a_second is None and by_second[key, second_of[number]] * units > a_second:
            in_a_second = number + 1
        if on_average and in_a_second:
            break
    return MetAt(on_average, in_a_second)
