"""A report as one HTML page, which loads nothing and runs no script but its own.

Anybody may choose the names in logs. They are embedded as JSON in which no HTML parser finds
markup, in a script element that is not run, and the page shows them only as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from typing import Any

from flowlog_core.analyze.report import KINDS, Report

MAX_PAGE_BYTES = 2_000_000
_MAX_NAME_CHARACTERS = 120
_MAX_TITLE_CHARACTERS = 200

Label = Callable[[str], str | None]
"""The name of an address; None where it has none."""

# The policy comes before everything that it governs. The page's own script makes no HTML of text,
# so the browser may refuse that too (trusted types).
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{chart_style}</style>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p id="summary"></p></header>
<noscript><p>The charts need JavaScript. It is inside this page; nothing is loaded.</p></noscript>
<div id="toolbar"></div>
<main id="charts"></main>
<footer id="notes"></footer>
<script type="application/json" id="data">{data}</script>
<!-- The chart over time is drawn by uPlot.
{chart_licence}-->
<script>{chart_script}</script>
<script>{script}</script>
</body>
</html>
"""


def page(report: Report, title: str, made: datetime, label: Label = lambda _: None) -> str:
    """The page, of at most `MAX_PAGE_BYTES` bytes. `made` is aware UTC."""
    chart_style, style = _asset("uplot.css"), _asset("report.css")
    chart_script, script = _asset("uplot.js"), _asset("report.js")
    policy = (
        f"default-src 'none'; script-src {_hash(chart_script)} {_hash(script)}; "
        f"style-src {_hash(chart_style)} {_hash(style)}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return _PAGE.format(
        policy=policy,
        title=html.escape(_short(title, _MAX_TITLE_CHARACTERS)),
        chart_style=chart_style,
        style=style,
        data=_json(_data(report, made, label)),
        chart_licence=_asset("uplot-LICENSE"),
        chart_script=chart_script,
        script=script,
    )


def _data(report: Report, made: datetime, label: Label) -> dict[str, Any]:
    def named(dimension: str, name: str | None) -> str:
        if name is None:
            return "(none)"
        known = label(name) if dimension in ("src_ip", "dst_ip") else None
        return _short(f"{known} ({name})" if known else name, _MAX_NAME_CHARACTERS)

    return {
        "made": f"{made:%Y-%m-%d %H:%M}",
        "first_ms": report.first_ms,
        "width_s": report.width_s,
        "records": report.records,
        "kinds": KINDS,
        "names": {at: [named(at, name) for name in names] for at, names in report.names.items()},
        "found": report.found,
        "cells": report.cells,
        "summed_flows": report.summed_flows,
        "new_ports": [
            port | {at: named(at, port[at]) for at in ("service", "src_ip", "dst_ip")}
            for port in report.new_ports
        ],
        "new_ports_found": report.new_ports_found,
    }


def _short(text: str, characters: int) -> str:
    """The text with everything invisible, or that turns its direction, written as an escape."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return shown if len(shown) <= characters else f"{shown[: characters - 1]}…"


def _json(data: dict[str, Any]) -> str:
    """JSON without a character that begins or ends a piece of HTML."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return (files(__package__) / "report_assets" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
