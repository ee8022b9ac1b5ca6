"""A reference implementation of the flow record: simple and slow.

The tests, the fuzzer and the demo compare `flowlog_core.parsing` with it. The two share no check
and no conversion, only the list of IANA's protocol names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from flowlog_core.parsing.protocols import KEYWORDS
from flowlog_core.testing.generate import Format

Record = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """An element that gives no record. Its reason must name one of `fields`."""

    value: object
    fields: tuple[str, ...]


class Unreadable(Exception):
    """The entry is of no known format."""


def fields_of(log_format: Format, written: str) -> Record:
    """The fields that follow from a valid tuple alone.

    Raises `ValueError` if the tuple is invalid.
    """
    version = int(log_format[-1])
    category = "FlowLogFlowEvent" if version == 4 else "NetworkSecurityGroupFlowEvent"
    record: Record = {"time": None, "category": category, "version": version}
    if wrong := _read(written.split(","), record):
        raise ValueError(f"{written!r}: {', '.join(wrong)}")
    return record


def reference(entry: object, id_prefix: str) -> list[Record | Bad]:
    """The record, or the `Bad` element, at each index of an entry in file order."""
    results: list[Record | Bad] = []
    for value, context in _tuples(entry):
        if isinstance(context, Bad):
            results.append(context)
            continue
        record = {"id": f"{id_prefix}{len(results)}", "time": None, **context}
        fields = value.split(",") if isinstance(value, str) else []
        wrong = _read(fields, record) if isinstance(value, str) else ["not a string"]
        results.append(Bad(value, tuple(wrong)) if wrong else record)
    return results


def _tuples(entry: object) -> Iterator[tuple[Any, Record | Bad]]:  # noqa: PLR0912 - one rule after another reads best
    """Every element of every `flowTuples` with its context; a malformed part is `Bad`."""
    if not isinstance(entry, dict):
        raise Unreadable
    category = _get(entry, "category")
    if category == "NetworkSecurityGroupFlowEvent":
        body = _get(entry, "properties")
        version = _get(body, "Version") if isinstance(body, dict) else None
        known, outer_name, groups_name, inner_name = {1, 2}, "rule", "flows", "mac"
        resource_id, target = _get(entry, "resourceId"), None
    elif category == "FlowLogFlowEvent":
        body, version = _get(entry, "flowRecords"), _get(entry, "flowLogVersion")
        known, outer_name, groups_name, inner_name = {4}, "aclID", "flowGroups", "rule"
        resource_id, target = _get(entry, "flowLogResourceID"), _get(entry, "targetResourceID")
    else:
        raise Unreadable
    if type(version) is not int or version not in known:
        raise Unreadable
    texts = (_get(entry, "time"), resource_id, target, _get(entry, "macAddress"))
    if not all(_is_text(text) for text in texts):
        raise Unreadable
    if not isinstance(body, dict) or not isinstance(_get(body, "flows"), list):
        raise Unreadable
    for outer in _get(body, "flows"):
        wrong = _wrong(outer, outer_name, groups_name)
        if wrong:
            yield outer, Bad(outer, wrong)
            continue
        for inner in _get(outer, groups_name):
            wrong = _wrong(inner, inner_name, "flowTuples")
            if wrong:
                yield inner, Bad(inner, wrong)
                continue
            mac, rule, acl_id = _get(entry, "macAddress"), _get(outer, "rule"), None
            if category == "FlowLogFlowEvent":
                rule, acl_id = _get(inner, "rule"), _get(outer, "aclID")
            elif _get(inner, "mac") is not None:
                mac = _get(inner, "mac")
            context = {
                "log_time": _get(entry, "time"),
                "category": category,
                "version": version,
                "resource_id": resource_id,
                "target_resource_id": target,
                "mac": mac,
                "rule": rule,
                "acl_id": acl_id,
            }
            for element in _get(inner, "flowTuples"):
                yield element, context


def _wrong(holder: object, text: str, items: str) -> tuple[str, ...]:
    if not isinstance(holder, dict):
        return ("expected an object",)
    wrong = [] if _is_text(_get(holder, text)) else [text]
    if not isinstance(_get(holder, items), list):
        wrong.append(items)
    return tuple(wrong)


def _get(holder: dict[str, Any], key: str) -> Any:
    """A key as Azure writes it; without one, the first that differs from it in case alone."""
    names = [key, *(name for name in holder if name.lower() == key.lower())]
    return next((holder[name] for name in names if name in holder), None)


def _is_text(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _read(fields: list[str], record: Record) -> list[str]:  # noqa: PLR0912 - as above
    """Fill in a record from its tuple's fields; return the names of the invalid ones."""
    version = record["version"]
    width = 8 if version == 1 else 13
    if len(fields) != width:
        return ["number of fields"]
    wrong = []

    record["time"] = _time(fields[0])
    if record["time"] is None:
        wrong.append("time")
    for at, name, word in ((1, "src", "source"), (2, "dst", "destination")):
        record[f"{name}_ip"] = fields[at]
        if not _is_address(fields[at]):
            wrong.append(f"{word} address")
        record[f"{name}_port"] = port = _decimal(fields[at + 2], 65535)
        if port is None:
            wrong.append(f"{word} port")

    number = _decimal(fields[5], 255) if version == 4 else {"T": 6, "U": 17}.get(fields[5])
    if number is None:
        wrong.append("protocol")
    else:
        record["protocol"] = KEYWORDS.get(number, str(number))
    record["protocol_number"] = number

    record["direction"] = {"I": "inbound", "O": "outbound"}.get(fields[6])
    if record["direction"] is None:
        wrong.append("direction")

    states = {"B": "begin", "C": "continue", "E": "end"}
    record["action"] = record["state"] = record["encryption"] = None
    if version == 4:
        record["action"] = "deny" if fields[7] == "D" else "allow"
        record["state"] = {**states, "D": "deny"}.get(fields[7])
        record["encryption"] = fields[8] or None
        if not _is_text(fields[8]):
            wrong.append("encryption")
    else:
        record["action"] = {"A": "allow", "D": "deny"}.get(fields[7])
        if record["action"] is None:
            wrong.append("decision")
    if version == 2:
        record["state"] = states.get(fields[8])
    if version != 1 and record["state"] is None:
        wrong.append("state")

    counters = [""] * 4 if version == 1 else fields[9:]
    for counter, (unit, here, there) in zip(
        counters,
        (
            ("packets", "source", "src_to_dst"),
            ("bytes", "source", "src_to_dst"),
            ("packets", "destination", "dst_to_src"),
            ("bytes", "destination", "dst_to_src"),
        ),
        strict=True,
    ):
        record[f"{unit}_{there}"] = number = _decimal(counter, 2**63 - 1)
        if counter and number is None:
            wrong.append(f"{unit} from {here}")
    return wrong


def _decimal(text: str, maximum: int) -> int | None:
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text):
        return None
    return int(text) if int(text) <= maximum else None


def _time(text: str) -> str | None:
    number = _decimal(text, 2**63 - 1)
    if number is None:
        return None
    milliseconds = number if number >= 10**11 else number * 1000
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
