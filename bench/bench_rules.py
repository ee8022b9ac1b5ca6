"""What a rule costs per tuple, compared with normalizing it.

    python -m bench.bench_rules

The rules are asked as they are before a record is made: what a group has in common is decided
once, the rest on the tuple's fields. Each round has tuples of its own, so that no answer is
remembered that a real log would not repeat. The work of cutting a tuple into its fields is not
counted: who makes records of tuples cuts them anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

import orjson

from bench.measuring import entries_of, machine
from flowlog_core.parsing.entry import normalize
from flowlog_core.shape.keep_drop import KeepDrop

TUPLES = 30
TUPLES_A_ROUND = 3_000
ROUNDS = 9
PLACES = (
    *("time", "src_ip", "dst_ip", "src_port", "dst_port", ("protocol", "protocol_number")),
    *("direction", ("action", "state"), "encryption"),
    *("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src"),
)
COMMON = ("version", "mac", "rule", "acl_id")
SPELLED: dict[str, dict[str, object]] = {
    "direction": {"I": "inbound", "O": "outbound"},
    "action": {"B": "allow", "C": "allow", "E": "allow", "D": "deny"},
    "state": {"B": "begin", "C": "continue", "E": "end", "D": "deny"},
    "encryption": {"": None},
}
RULES = (
    "rule=DefaultRule_*",
    "action=deny",
    "dst_ip=10.0.0.0/8,192.168.0.0/16",
    "port=443",
    "dst_port=443,8000-8999,direction!=inbound",
    "bytes>=1000",
    "time>=2026-01-01T07",
    "action=deny,protocol=udp;dst_port=53,123",
)
Group = tuple[dict[str, object], list[tuple[str, ...]]]


def groups_in(raw: bytes) -> list[Group]:
    """What the records of each group of a VNet entry have in common, and the tuples' fields."""
    entry = orjson.loads(raw)
    common = {"version": 4, "mac": entry["macAddress"]}
    return [
        (
            common | {"rule": group["rule"], "acl_id": flow["aclID"]},
            [tuple(text.split(",")) for text in group["flowTuples"]],
        )
        for flow in entry["flowRecords"]["flows"]
        for group in flow["flowGroups"]
    ]


def main() -> None:
    """Print the table."""
    raws = entries_of("vnet4", TUPLES, TUPLES_A_ROUND * ROUNDS)
    per_round = TUPLES_A_ROUND // TUPLES
    rounds = [raws[at : at + per_round] for at in range(0, len(raws), per_round)]
    parsed = [[orjson.loads(raw) for raw in some] for some in rounds]
    groups = [[group for raw in some for group in groups_in(raw)] for some in rounds]

    def least(work: Callable[[int], object]) -> float:
        """Nanoseconds of processor time a tuple, in the round that took least."""
        best = float("inf")
        for number in range(ROUNDS):
            started = thread_time()
            work(number)
            best = min(best, thread_time() - started)
        return best / TUPLES_A_ROUND * 1e9

    def normalizing(number: int) -> None:
        for entry in parsed[number]:
            normalize(entry, "x.")

    def asking(rules: KeepDrop) -> Callable[[int], object]:
        by_group = rules.by_group(COMMON, PLACES, SPELLED)

        def ask(number: int) -> None:
            for common, tuples in groups[number]:
                verdict = by_group(common)
                if verdict is not None:
                    for fields in tuples:
                        verdict(fields)

        return ask

    whole = least(normalizing)
    print(f"## A rule\n\n{machine()}; processor time, entries of {TUPLES} tuples\n")
    print("| drop rule | ns a tuple | of normalizing |\n|---|--:|--:|")
    print(f"| (normalizing) | {whole:.0f} | 100 % |")
    for text in RULES:
        ns = least(asking(KeepDrop.parse("", text)))
        print(f"| `{text}` | {ns:.0f} | {ns / whole:.0%} |")


if __name__ == "__main__":
    main()
