"""What a rule costs, compared with normalizing.

    python -m bench.rules

Entries are normalized with a drop rule and without one, in turns. Each round has tuples of its own,
and addresses are forgotten before each turn, so that no answer is remembered that a real log would
not repeat.
"""

from __future__ import annotations

from time import thread_time

import orjson

from bench.harness.figures import machine, markdown
from bench.harness.logs import entries_of
from flowlog_core.parsing import tuples
from flowlog_core.parsing.entry import normalize
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.tuple_filter import tuple_filters

TUPLES = 30
TUPLES_A_ROUND = 600
ROUNDS = 100
RULES = (
    "rule=DefaultRule_*",
    "version=2",
    "log_time=2026-01-01T08*",
    "action=deny",
    "direction!=inbound",
    "protocol=udp",
    "state=begin",
    "encryption=X",
    "src_ip=10.0.0.0/8",
    "src_ip=172.16.0.0/12",
    "dst_ip=10.0.0.0/8,192.168.0.0/16",
    "ip=2001:db8::/32,203.0.113.7",
    "dst_port=443",
    "port=443,8000-65535",
    "bytes>=1000",
    "packets_src_to_dst>=10",
    "time>=2026-01-01T07",
    "id=0123456789abcdef01234567.*",
    "dst_port=443,8000-8999,direction!=inbound",
    "action=deny,protocol=udp;dst_port=53,123",
)


def main() -> None:
    """Print the table."""
    raws = entries_of("vnet4", TUPLES, TUPLES_A_ROUND * ROUNDS)
    per_round = TUPLES_A_ROUND // TUPLES
    rounds = [
        [orjson.loads(raw) for raw in raws[at : at + per_round]]
        for at in range(0, len(raws), per_round)
    ]

    filters = [None, *(tuple_filters(KeepDrop.parse("", text)) for text in RULES)]
    best = [float("inf")] * len(filters)
    for entries in rounds:
        for at, drops in enumerate(filters):
            tuples._ADDRESSES.clear()
            started = thread_time()
            for entry in entries:
                normalize(entry, "x.", drops)
            best[at] = min(best[at], (thread_time() - started) / TUPLES_A_ROUND * 1e9)
    plain, *with_rules = best
    print(f"## A rule\n\n{machine()}; processor time, entries of {TUPLES} tuples\n")
    rows = [("(none)", f"{plain:.0f}", "")]
    rows += [
        (f"`{text}`", f"{ns:.0f}", f"{(ns - plain) / plain:.0%}")
        for text, ns in zip(RULES, with_rules, strict=True)
    ]
    print(markdown("drop rule | ns a tuple | more than without", rows))


if __name__ == "__main__":
    main()
