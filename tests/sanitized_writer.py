"""Thousands of good, cut, prolonged and distorted tuples for the compiled writer at argv[1].

Prints `as in Python` if it wrote what Python writes; run with a sanitizer, see test_compiled.py.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import sys
import threading
import time
from typing import Any

SPEC = importlib.util.spec_from_file_location("flowlog_core._tuple_writer", sys.argv[1])
assert SPEC is not None and SPEC.loader is not None  # noqa: PT018 - what mypy needs, at once
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
sys.modules[SPEC.name] = MODULE  # before anything of Flowlog looks for it

from flowlog_core.compiled import is_compiled  # noqa: E402 - see above
from flowlog_core.framing import Entry, Framer  # noqa: E402
from flowlog_core.normalize import UnreadableEntry, normalize  # noqa: E402
from flowlog_core.outline import Outline  # noqa: E402

GOOD = {
    1: "1525186745,192.168.1.4,10.0.0.4,55960,3389,T,I,A",
    2: "1542110379,10.5.16.4,2001:db8::1,44931,443,U,O,D,B,9223372036854775807,,0,",
    4: "1735636259204,10.1.0.4,104.208.16.91,56347,443,6,O,E,NX,12,5045,12,5902",
}
PIECES = ["", ",", ",,", ".", "0", "00", "9" * 20, "255", "256", "\0", "é", "\ud800", "x" * 48, "-"]


def distorted(text: str, chance: random.Random) -> object:
    """The tuple with something done to it, or something else."""
    at, to = sorted(chance.choices(range(len(text) + 1), k=2))
    return chance.choice(
        [
            text,
            text[:at],
            text[at:],
            text[:at] + chance.choice(PIECES) + text[at:],
            text[:at] + chance.choice(PIECES) + text[to:],
            text[:at] + text[to:] + text[at:to],
            f"{chance.randrange(10**15)}{text[text.index(',') :]}",
            f"{text},{text}",
            chance.choice([None, 5, [], {}, "", b"", text * 40]),
        ]
    )


def entry(version: int, tuples: list[object], chance: random.Random) -> dict[str, Any]:
    """An entry with them in groups."""
    groups = [tuples[at : at + 50] for at in range(0, len(tuples), 50)]
    name = chance.choice(["r", "rule" * 300, "", "é"])
    if version == 4:
        flows = [{"aclID": "a", "flowGroups": [{"rule": name, "flowTuples": g} for g in groups]}]
        return {
            "category": "FlowLogFlowEvent",
            "flowLogVersion": 4,
            "flowRecords": {"flows": flows},
        }
    rules = [{"rule": name, "flows": [{"flowTuples": group}]} for group in groups]
    properties = {"Version": version, "flows": rules}
    return {"category": "NetworkSecurityGroupFlowEvent", "properties": properties}


def fill_to_the_last_byte() -> None:
    """Write records of every short size and a long one, with wrong words of how many there are."""
    kind: Any = MODULE.Writer
    for size, count in itertools.product(
        [*range(40), 511, 512], (-(2**40), -1, 0, 1, 2, 51, 2**40)
    ):
        writer = kind((("lookup", {"a": "x" * size}, 1),), (0,))
        text, ends = writer.write("", [(["a"] * 50, 10, "")], count, None, None)
        if (bytes(text), memoryview(ends).cast("q")[-1]) != (
            b",".join(b"%d" % n + b"x" * size for n in range(10, 60)),
            len(text),
        ):
            raise SystemExit(f"records of {size} bytes were not written")


class Forgetful(dict[str, str]):
    """A table that keeps nothing alive, and lets another thread in whenever it is asked."""

    def __missing__(self, field: str) -> str:
        time.sleep(0)
        return f"<{field * 9}>"


def displace_each_others_fields() -> None:
    """Several threads, and more fields than are remembered."""
    kind: Any = MODULE.Writer
    writer = kind((("lookup", Forgetful(), 1), ("lookup", Forgetful(), 1)), (0, 1))
    pairs = [(str(n * 37 % 4000), str(n % 5000)) for n in range(6000)]
    wanted = ",".join(f"{n}<{a * 9}><{b * 9}>" for n, (a, b) in enumerate(pairs)).encode()
    groups = [([",".join(pair) for pair in pairs], 0, "")]
    wrong: list[bool] = []

    def work() -> None:
        wrong.extend(writer.write("", groups, 6000, None, None)[0] != wanted for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong != [False] * 16:
        raise SystemExit("threads do not write what one writes")


def read_to_the_last_byte(chance: random.Random) -> None:
    """Entries cut, prolonged and distorted as bytes, in memory that ends where they end."""
    for _ in range(3000):
        version = chance.choice([1, 2, 4])
        tuples: list[object] = [GOOD[version]] * chance.randrange(4)
        raw = json.dumps(entry(version, tuples, chance), separators=(",", ":")).encode()
        at, to = sorted(chance.choices(range(len(raw) + 1), k=2))
        junk = chance.choice([b"", b"", b'"', b"\\", b"[", b"]", b",", b'","', b"\x80", b"{", b"}"])
        raw = chance.choice(
            [raw, raw[: at + 1], raw[:at] + junk + raw[at:], raw[:at] + junk + raw[to:]]
        )
        found = list(Framer().feed(raw + b","))
        if found != list(Framer(compiled=False).feed(raw + b",")):
            raise SystemExit(f"not framed as in Python: {raw!r}")
        for item in found:
            if isinstance(item, Entry) and isinstance(item.parsed, Outline):
                exact = Outline(bytes(bytearray(item.raw)), item.parsed.value)
                if outcome_of(exact, compiled=True) != outcome_of(item.value, compiled=False):
                    raise SystemExit(f"not read as in Python: {raw!r}")
        for limit in {1, at, len(raw)} - {0}:
            if raw.startswith(b"{"):
                MODULE.outline(bytearray(raw[:limit]), 0, limit)


def outcome_of(one: object, *, compiled: bool) -> object:
    """What `normalize` gives, or the reason why it gives nothing."""
    try:
        return normalize(one, "x.", compiled=compiled)
    except UnreadableEntry as error:
        return error.reason


def main() -> None:
    """Compare."""
    fill_to_the_last_byte()
    read_to_the_last_byte(random.Random(11))
    displace_each_others_fields()
    chance = random.Random(7)
    for _ in range(20):
        for version, text in GOOD.items():
            tuples = [distorted(text, chance) for _ in range(300)]
            one = entry(version, tuples, chance)
            if normalize(one, "x.") != normalize(one, "x.", compiled=False):
                raise SystemExit(f"not as in Python: {one}")
    sys.stdout.write("as in Python\n" if is_compiled() else "not compiled\n")


if __name__ == "__main__":
    main()
