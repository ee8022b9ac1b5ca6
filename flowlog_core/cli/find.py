"""Find the records of an address, a network or a port, as source or destination.

Examples:
  flowlog find 10.0.0.4 PT1H.json
  flowlog find 203.0.113.0/24 --denied logs/
  flowlog find 443/tcp --output csv logs/ > https.csv
"""

from __future__ import annotations

import argparse
import re

from flowlog_core.cli.analysis import UsageError, usage_errors
from flowlog_core.cli.flows import add_flow_arguments, print_flows
from flowlog_core.cli.top import both, denied_too
from flowlog_core.shape.rules import Rules, parse

_PORT = re.compile(r"([0-9]{1,5}(?:-[0-9]{1,5})?)(?:/([a-z]+))?", re.IGNORECASE | re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog find`."""
    parser.add_argument(
        "what", metavar="WHAT", help="10.0.0.4, 10.0.0.0/8, 2001:db8::1, 443, 8000-8999 or 53/udp"
    )
    parser.add_argument("--denied", action="store_true", help="only what was denied")
    add_flow_arguments(parser, "table")


def run(options: argparse.Namespace) -> int:
    """Print what was found. Returns 1 if anything could not be read, else 0."""
    with usage_errors("find"):
        terms = terms_of(options.what)
        where = denied_too(options)
        return print_flows(options, terms if where is None else both(terms, where))


def terms_of(what: str) -> Rules:
    """The rule that finds an address, a network or a port. Raises `UsageError`."""
    port = _PORT.fullmatch(what)
    if port is None:
        text = f"ip={what}"
    else:
        text = f"port={port[1]}" + (f",protocol={port[2]}" if port[2] else "")
    try:
        rules = parse(text)
    except ValueError:
        rules = None
    if rules is None or len(rules.rules) != 1 or any(t.negated for t in rules.rules[0]):
        raise UsageError(
            f"{what!r} is not an address, a network such as 10.0.0.0/8, or a port such as 443, "
            "8000-8999 or 53/udp"
        )
    return rules
