"""The flow logs that are measured: generated ones, and the captures in ../shared/samples."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.parsing import ParsedEntry, read
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import messages_of
from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface, document

HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"


def interface_of(form: Format, number: int = 1) -> Interface:
    """An interface that logs in this format."""
    return Interface.vnet(number) if form == "vnet4" else Interface.nsg(number)


def one_of(network: int, number: int) -> Interface:
    """One of many interfaces that share the VNet flow log of a network."""
    return replace(Interface.vnet(network), mac=f"0022{number:08X}")


def entries_of(form: Format, tuples: int, total_tuples: int) -> list[bytes]:
    """Entries of so many tuples each."""
    generator, interface = FlowLogGenerator(1), interface_of(form)
    count = total_tuples // tuples
    return [generator.entry(form, interface, HOUR, tuples).raw for _ in range(count)]


def blob_of(entries: list[bytes]) -> bytes:
    """A whole PT1H.json."""
    empty = document([])
    return empty[:-2] + b",".join(entries) + empty[-2:]


def blob_ref(interface: Interface, hour: datetime = HOUR, account: str = "account") -> BlobRef:
    """The blob of one interface's hour, in the container of its kind of log."""
    name = interface.blob_name(hour)
    log = LogBlob.parse(name)
    if log is None:
        raise ValueError(f"cannot be read: {name}")
    return BlobRef(account, interface.container, log)


def parse_and_pack(blob: bytes, ref: BlobRef) -> None:
    """All of an event that is no storage call and no checkpoint: frame, normalize, pack."""
    start = Position(ref)
    for item in read([blob], lambda offset: start.at(offset).entry_id):
        if not isinstance(item, ParsedEntry):
            raise SystemExit("the generator made a damaged entry: the figures would mean nothing")
        for _ in messages_of(EntryRecords(start.at(item.start), item.lines))[0]:
            pass


def captures(
    tuples: int, pattern: str = "*.json", renew: Callable[[str, int], str] = lambda text, _: text
) -> bytes:
    """The samples again and again, each time with the tuples that `renew` makes of theirs."""
    entries: list[bytes] = []
    samples = [orjson.loads(path.read_bytes()) for path in sorted(SAMPLES.glob(pattern))]
    count = times = 0
    while count < tuples:
        times += 1
        for sample in copy.deepcopy(samples):
            for entry in sample["records"]:
                for outer in (entry.get("properties") or entry["flowRecords"])["flows"]:
                    for group in outer.get("flows") or outer["flowGroups"]:
                        texts = group["flowTuples"]
                        group["flowTuples"] = [renew(text, times) for text in texts]
                        count += len(texts)
                entries.append(orjson.dumps(entry))
    return blob_of(entries)


def renewed_captures(tuples: int) -> bytes:
    """The samples minute after minute, with other client ports and traffic: nothing to remember."""
    random_ = random.Random(1)

    def renew(text: str, minute: int) -> str:
        time, source, destination, source_port, port, *rest = text.split(",")
        time = str(int(time) + minute * (60 if len(time) == 10 else 60_000))
        source_port = str(random_.randint(1024, 65535))
        counted = [
            str(int(int(one) * random_.uniform(0.5, 2))) if one.isdigit() else one
            for one in rest[-4:]
        ]
        return ",".join((time, source, destination, source_port, port, *rest[:-4], *counted))

    return captures(tuples, renew=renew)
