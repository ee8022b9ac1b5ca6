"""What a small append costs, beside the same requests made by hand.

    python -m bench.append [appends]

An event of 1, 30 and 100 tuples on Azurite, and in the same loop what such an event was before
messages were compressed: seven requests (for fewer tuples five) by `http.client` over kept
connections, with a signature made once and no promise kept. Medians, with the middle half of the
values. Then events of several blobs at a time, beside what Azurite's one thread does meanwhile.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median, quantiles

import orjson

from bench.harness.azurite import GrowingBlob, service_of
from bench.harness.by_hand import ByHand
from bench.harness.figures import machine, markdown, processor_s, timed
from bench.harness.logs import entries_of
from flowlog_core.blob import Position
from flowlog_core.demo.azurite import Azurite, running_azurite
from flowlog_core.parsing.entry import normalize
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import messages_of
from flowlog_core.testing.generate import Format
from flowlog_core.testing.memory import some_blob

FORM: Format = "nsg2"
SIZES = (1, 30, 100)
WARM_UP = 20
APPENDS_A_BLOB = 50  # Azurite's reads grow with the blob, which is not what is measured
AT_A_TIME = 16
EVENTS_AT_A_TIME = 20


def spread(values_s: list[float]) -> str:
    """The median in milliseconds, and the middle half of the values."""
    low, middle, high = (f"{value * 1e3:.1f}" for value in quantiles(values_s, n=4))
    return f"{middle} ms ({low} to {high})"


def messages_by_hand(tuples: int) -> list[bytes]:
    """The uncompressed messages that so many tuples make."""
    (raw,) = entries_of(FORM, tuples, tuples)
    lines = normalize(orjson.loads(raw), "x.0.").lines
    messages, _ = messages_of(EntryRecords(Position(some_blob(hour=0), offset=0), lines), "json")
    return [message.text.encode() for message in messages]


def small_appends(azurite: Azurite, tuples: int, appends: int) -> list[str]:
    """A row: an event, the requests by hand, and their ratios."""
    service = service_of(azurite.connection_string)
    blob = GrowingBlob(service, FORM)
    texts = messages_by_hand(tuples)
    hand = ByHand(azurite, f"byhand{tuples}")
    ours, by_hand = [], []
    for number in range(WARM_UP + appends):
        if number % APPENDS_A_BLOB == 0:
            blob.start_over()
            blob.ingest()
        offset = blob.blob_bytes - 2
        blob.append(tuples)
        ours.append(timed(blob.ingest))
        by_hand.append(timed(partial(hand.append, blob.client, offset, texts)))
    hand.close()
    blob.close()
    service.close()
    cells = [str(tuples)]
    for part in range(2):  # processor time and elapsed time
        one, other = ([took[part] for took in each[WARM_UP:]] for each in (ours, by_hand))
        cells += [spread(one), spread(other), f"{median(one) / median(other):.2f}"]
    return cells


def at_a_time(azurite: Azurite) -> None:
    """Print how many appends a second so many blobs at a time make, and who is busy meanwhile."""
    service = service_of(azurite.connection_string)
    blobs = [GrowingBlob(service, FORM, number) for number in range(AT_A_TIME)]
    took_s = ours_s = theirs_s = 0.0
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for number in range(1 + EVENTS_AT_A_TIME):
            for blob in blobs:
                blob.append(100)
            before_s = processor_s(azurite.pid)
            took = timed(lambda: list(pool.map(GrowingBlob.ingest, blobs)))
            if number:  # the first ones open connections
                took_s += took.elapsed_s
                ours_s += took.processor_s
                theirs_s += processor_s(azurite.pid) - before_s
    events = AT_A_TIME * EVENTS_AT_A_TIME
    print(
        f"\n{AT_A_TIME} blobs at a time, 100 tuples an append: {events / took_s:.0f} appends a "
        f"second. Meanwhile Flowlog's process took {ours_s / took_s:.0%} of a core and Azurite's, "
        f"which answers in one thread, {theirs_s / took_s:.0%}: {ours_s / events * 1e3:.1f} and "
        f"{theirs_s / events * 1e3:.1f} ms an append, so that Azurite can answer "
        f"{events / theirs_s:.0f} a second at most."
    )
    for blob in blobs:
        blob.close()
    service.close()


def main(appends: int = 200) -> None:
    """Print all."""
    logging.disable(logging.WARNING)  # each blob that is started over is said to be rewritten
    print(f"## Small appends\n\n{machine()}; Azurite on the same machine\n")
    three = "of an event | of the requests by hand | ratio"
    with running_azurite() as azurite:
        rows = [small_appends(azurite, tuples, appends) for tuples in SIZES]
        print(markdown(f"tuples | processor time {three} | latency {three}", rows, left=0))
        at_a_time(azurite)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
