"""Nothing is lost or altered: workers are killed and storage fails at random, for minutes.

Run from the repository's root: python -m bench.chaos [--minutes 3] [--seed 1] [--sink queue]
[--trigger EventGrid] [--kills-only]

Logs grow on Azurite; three worker processes forward them as one of the three triggers asks for,
through proxies that inject faults, and are killed every few seconds; at the end `flowlog run`
forwards what is left (see tests/chaos). Prints
what happened and what came of it. Exit code 1 if anything is lost, altered, unknown, or committed
at a wrong offset.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from chaos.run import Plan, run
from simulation.fault_proxy import EVERY_FAULT, Fault

from flowlog_core.demo.azurite import running_azurite

SILENCE = 0.3  # rare, as a client waits ten seconds for each


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill workers and hinder storage at random.")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sink", choices=["queue", "table"], default="queue")
    parser.add_argument(
        "--trigger", choices=["EventGrid", "EventQueue", "Timer"], default="EventGrid"
    )
    parser.add_argument("--kills-only", action="store_true", help="without faults of storage")
    options = parser.parse_args()
    logging.disable()  # it would be full of what is done to the service here
    plan = Plan(
        seed=options.seed,
        sink=options.sink,
        write_s=options.minutes * 60,
        trigger=options.trigger,
        logs=8,
        workers=3,
        kill_every_s=4,
        fault_rate=0 if options.kills_only else 0.05,
        storm_every_s=None if options.kills_only else 15,
        faults={**EVERY_FAULT, Fault.SILENCE: SILENCE},
        settle_s=15,
    )
    with running_azurite() as azurite:
        report = run(plan, azurite)
    print(report)
    sys.exit(bool(report.wrong))


if __name__ == "__main__":
    main()
