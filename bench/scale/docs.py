"""Simulates thousands of interfaces by the measured costs, and writes the tables into the docs.

    python -m bench.scale.docs                  # from bench/scale/measured.json; minutes

Tables stand between `<!-- scale: NAME -->` and `<!-- scale end -->` in docs/scaling.md and
infra/README.md; the row of costs in docs/ways-in.md and the example in docs/operations.md are
written too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.harness.figures import markdown
from bench.scale.instances import CELLS, by_size, table_of_calls, table_of_money, with_one_change
from bench.scale.tables import event_table, limits_table, shards_table
from bench.scale.timer import timer_table
from infra import cost

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4  # a table or a row each


def measured_line() -> str:
    """What was measured, when and on what."""
    return f"Measured on {cost.MEASURED['day']}: {cost.MEASURED['machine']}."


QUICK: dict[str, Callable[[], str]] = {
    "measured": measured_line,
    "event": event_table,
    "costs": cost.table,
    "prices": cost.price_table,
}
"""Those that take no simulation: a test makes them anew."""
TABLES: dict[str, Callable[[], str]] = {
    **QUICK,
    "timer": timer_table,
    "calls": table_of_calls,
    "limits": limits_table,
    "shards": shards_table,
    "money": table_of_money,
}
SIMULATED = {
    "instances": (f"appends | interfaces | shards | {CELLS}", by_size),
    "otherwise": (f" | {CELLS}", with_one_change),
}
"""By rows, each of which takes as long as a table."""
BLOCK = re.compile(r"<!-- scale: (\w+) -->\n((?s:.*?))\n?<!-- scale end -->")


def ways_in_row(interfaces: int) -> str:
    """The row of docs/ways-in.md."""
    apps, timer = cost.timer_apps(interfaces)
    events = (cost.month(interfaces, trigger=by) for by in ("EventGrid", "EventQueue"))
    cells = [f"${one.total:,.0f}" for one in (*events, timer)]
    if apps > 1:
        cells[-1] += f" by {apps} apps"
    return f"| A month, {interfaces:,} interfaces ² | {' | '.join(cells)} |"


def made() -> dict[str, str]:
    """All tables, by name."""
    with ProcessPoolExecutor(WORKERS) as pool:
        cells = {
            name: [(words, pool.submit(one.cells)) for words, one in rows()]
            for name, (_, rows) in SIMULATED.items()
        }
        tables = {name: pool.submit(make) for name, make in TABLES.items()}
        return {name: table.result() for name, table in tables.items()} | {
            name: markdown(header, [(*words, *row.result()) for words, row in cells[name]])
            for name, (header, _) in SIMULATED.items()
        }


def rewrite(
    page: str, pattern: str | re.Pattern[str], new: str | Callable[[re.Match[str]], str]
) -> None:
    """Replace whatever the pattern finds in a page."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(pattern, new, text), encoding="utf-8")


def main() -> None:
    """Write them all."""
    tables = made()

    def block(found: re.Match[str]) -> str:
        return f"<!-- scale: {found[1]} -->\n{tables[found[1]]}\n<!-- scale end -->"

    for page in ("docs/scaling.md", "infra/README.md"):
        rewrite(page, BLOCK, block)
    for interfaces in (1_000, 10_000):
        row = ways_in_row(interfaces)
        rewrite("docs/ways-in.md", rf"(?m)^{re.escape(row.partition(' ²')[0])}.*$", row)
    example = "\n".join(cost.table().splitlines()[:3])
    rewrite("docs/operations.md", r"(?<=\$ python infra/cost\.py\n)(?:\|.*\n)+", f"{example}\n")


if __name__ == "__main__":
    main()
