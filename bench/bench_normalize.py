"""How quick is `normalize`, measured against `orjson.loads` of the same entries.

Run from the repository's root: python -m bench.bench_normalize

For each format and two sizes of entry, prints nanoseconds a tuple, the best of several rounds, for
`orjson.loads` of the entry, for `str.split` of its tuples alone (what any reader in pure Python
pays before it looks at a field) and for `normalize` including the joining of its lines to bytes;
then the tuples a second, and the ratio of `loads` to `normalize`.
"""

from __future__ import annotations

import platform
import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

import orjson

from flowlog_core.normalize import normalize

ENTRIES = 20
GROUPS = 4
ROUNDS = 40
PREFIX = "0123456789abcdef01234567.0.123456."
RESOURCE_ID = (
    "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/MYGROUP/PROVIDERS"
    "/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/MYGROUP-NSG"
)


def make_tuple(version: int, second: int, remotes: list[str], rng: random.Random) -> str:
    """One good tuple: few local and some hundred remote addresses, random ports and counters."""
    addresses = [f"10.1.0.{rng.randrange(4, 8)}", rng.choice(remotes)]
    direction = rng.choice("IO")
    if direction == "I":
        addresses.reverse()
    ports = [rng.randrange(1024, 65536), rng.choice([443, 80, 53, rng.randrange(65536)])]
    start = f"{','.join(addresses)},{ports[0]},{ports[1]}"
    protocol = rng.choice("TTTU")
    if version == 1:
        return f"{second},{start},{protocol},{direction},{rng.choice('AAD')}"
    packets = [int(rng.lognormvariate(2, 1.5)) for _ in range(2)]
    sizes = [count * rng.randrange(54, 1400) for count in packets]
    counters = f"{packets[0]},{sizes[0]},{packets[1]},{sizes[1]}"
    if version == 2:
        state = rng.choice("BBBCEE")
        counters = ",,," if state == "B" else counters
        return f"{second},{start},{protocol},{direction},{rng.choice('AAD')},{state},{counters}"
    state = rng.choice("BBDCEE")
    counters = "0,0,0,0" if state in "BD" else counters
    moment = f"{second}{rng.randrange(1000):03}"
    number = {"T": 6, "U": 17}[protocol]
    encryption = rng.choice(["NX", "NX", "X", "NX_HW_NOT_SUPPORTED"])
    return f"{moment},{start},{number},{direction},{state},{encryption},{counters}"


def make_entry(version: int, groups: list[list[str]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"time": "2024-08-19T18:00:06.8944384Z", "macAddress": "6045BDEC2532"}
    if version == 4:
        flows = [{"rule": f"UserRule_{n}", "flowTuples": group} for n, group in enumerate(groups)]
        return entry | {
            "category": "FlowLogFlowEvent",
            "flowLogResourceID": RESOURCE_ID,
            "targetResourceID": RESOURCE_ID,
            "flowLogVersion": 4,
            "flowRecords": {"flows": [{"aclID": RESOURCE_ID, "flowGroups": flows}]},
        }
    return entry | {
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": RESOURCE_ID,
        "properties": {
            "Version": version,
            "flows": [
                {"rule": f"UserRule_{n}", "flows": [{"mac": "6045BDEC2532", "flowTuples": group}]}
                for n, group in enumerate(groups)
            ],
        },
    }


def best_ns(work: Callable[[], None], tuples: int) -> float:
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times) / tuples * 1e9


def measure(version: int, size: int, remotes: list[str], rng: random.Random) -> None:
    raw: list[bytes] = []
    texts: list[list[str]] = []
    for number in range(ENTRIES):
        second = 1724090346 + 60 * number
        made = [make_tuple(version, second + i * 60 // size, remotes, rng) for i in range(size)]
        share = -(-size // GROUPS)
        groups = [made[start : start + share] for start in range(0, size, share)]
        raw.append(orjson.dumps(make_entry(version, groups)))
        texts.append(made)
    entries = [orjson.loads(one) for one in raw]

    def load() -> None:
        for one in raw:
            orjson.loads(one)

    def split() -> None:
        for made in texts:
            for text in made:
                text.split(",")

    def run() -> None:
        for entry in entries:
            "\n".join(normalize(entry, PREFIX).lines).encode()

    count = ENTRIES * size
    if sum(len(normalize(entry, PREFIX).lines) for entry in entries) != count:
        raise SystemExit("not every tuple became a record: the figures would mean nothing")
    loads, splits, whole = (best_ns(work, count) for work in (load, split, run))
    print(
        f"{version:>7} {size:>6} {loads:>6.0f} {splits:>6.0f} {whole:>10.0f}"
        f" {1e9 / whole:>12,.0f} {loads / whole:>6.1%}"
    )


def main() -> None:
    rng = random.Random(1)
    remotes = [".".join(str(rng.randrange(1, 224)) for _ in range(4)) for _ in range(400)]
    print(f"Python {platform.python_version()}, orjson {orjson.__version__}; ns a tuple")
    print("version tuples  loads  split  normalize     tuples/s  ratio")
    for version in (1, 2, 4):
        for size in (150, 1000):
            measure(version, size, remotes, rng)


if __name__ == "__main__":
    main()
