"""Generates traffic: the tuples of one interface's minute, in each format."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from flowlog_core.testing.interface import Interface

Format = Literal["nsg1", "nsg2", "vnet4"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rule:
    """A security rule and the traffic that matches it; `weight` is its relative frequency."""

    name: str
    direction: Literal["I", "O"]
    decision: Literal["A", "D"]
    acl: Literal["nsg", "guid", "platform", "unspecified"]
    weight: int
    peer: Literal["internet", "vnet"] = "internet"


_NSG_RULES = (
    Rule("DefaultRule_DenyAllInBound", "I", "D", "nsg", 40),
    Rule("DefaultRule_AllowInternetOutBound", "O", "A", "nsg", 30),
    Rule("DefaultRule_AllowVnetInBound", "I", "A", "nsg", 8, "vnet"),
    Rule("UserRule_AllowHttpsInBound", "I", "A", "guid", 10),
    Rule(
        "UserRule_allow-the-web-front-ends-to-reach-the-order-service-behind-the-inner-balancer",
        "I", "A", "nsg", 4, "vnet",
    ),
)  # fmt: skip  # one rule a line
_VNET_RULES = (
    *_NSG_RULES,
    Rule("PlatformRule", "I", "A", "platform", 8),
    Rule("unspecified", "O", "A", "unspecified", 2),
)
_ENCRYPTION = {
    "NX": 60, "X": 25, "NX_LOCAL_DST": 4, "NX_NOT_SUPPORTED": 3, "NX_HW_NOT_SUPPORTED": 2,
    "NX_SW_NOT_READY": 2, "NX_NOT_ACCEPTED": 2, "NX_FALLBACK": 2,
}  # fmt: skip  # a table of weights
_PORTS = (443, 443, 443, 80, 53, 123, 22, 3389, 1433, 5432, 8080, 8728)
_LIVE_FLOWS_KEPT = 64


class Traffic:
    """Tuples from one source of randomness."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        # Open flows, so that C and E usually follow a B in an earlier entry.
        self._live: dict[tuple[Format, str, str], list[str]] = {}

    def groups(
        self, log_format: Format, interface: Interface, time: datetime, tuples: int
    ) -> list[tuple[Rule, list[str]]]:
        """`tuples` tuples from the minute before `time`, grouped by rule, ascending in time."""
        rules = _VNET_RULES if log_format == "vnet4" else _NSG_RULES
        chosen = self._random.choices(rules, [rule.weight for rule in rules], k=tuples)
        # dict, not set: the order must follow from the seed only
        return [
            (rule, self._group(log_format, interface, rule, time, chosen.count(rule)))
            for rule in dict.fromkeys(chosen)
        ]

    def _group(
        self, log_format: Format, interface: Interface, rule: Rule, time: datetime, count: int
    ) -> list[str]:
        end_ms = (time - EPOCH) // timedelta(milliseconds=1)
        group: list[str] = []
        for time_ms in sorted(end_ms - self._random.randrange(60_000) for _ in range(count)):
            if group and self._random.random() < 0.02:
                group.append(group[-1])
                continue
            epoch = time_ms if log_format == "vnet4" else time_ms // 1000
            group.append(f"{epoch},{self._flow_and_state(log_format, interface, rule)}")
        return group

    def _flow_and_state(self, log_format: Format, interface: Interface, rule: Rule) -> str:
        live = self._live.setdefault((log_format, interface.mac, rule.name), [])
        if rule.decision == "D":
            flow, state = self._flow(log_format, interface, rule), "D"
        elif live and self._random.random() < 0.5:
            flow = live.pop(self._random.randrange(len(live)))
            state = "C" if self._random.random() < 0.3 else "E"
        else:
            flow = self._flow(log_format, interface, rule)
            state = "E" if self._random.random() < 0.05 else "B"
        if state in "BC":
            live.append(flow)
            del live[:-_LIVE_FLOWS_KEPT]
        if log_format == "nsg1":
            return f"{flow},{rule.decision}"
        if log_format == "nsg2":
            state = "B" if state == "D" else state
            return f"{flow},{rule.decision},{state},{self._counters(state, empty=1.0)}"
        (encryption,) = self._random.choices(list(_ENCRYPTION), list(_ENCRYPTION.values()))
        return f"{flow},{state},{encryption},{self._counters(state, empty=0.1)}"

    def _counters(self, state: str, *, empty: float) -> str:
        """`empty`: the probability that a B or D has empty counters instead of zeros."""
        dice = self._random.random()
        if state in "BD":
            return ",,," if dice < empty else "0,0,0,0"
        if state == "E" and dice < 0.1:
            return "0,0,0,0"
        sent = self._packets_and_bytes()
        one_way = state == "E" and dice < 0.3
        return f"{sent},{'0,0' if one_way else self._packets_and_bytes()}"

    def _packets_and_bytes(self) -> str:
        packets = int(10 ** (self._random.random() * 4))
        return f"{packets},{packets * self._random.randint(54, 1400)}"

    def _flow(self, log_format: Format, interface: Interface, rule: Rule) -> str:
        """The fields that all formats share: addresses, ports, protocol and direction."""
        pick = self._random.randrange
        v6 = pick(10) == 0
        number = int(interface.mac[-4:], 16)
        own = f"fd00:db8::{number:x}:4" if v6 else f"10.{number >> 8}.{number & 255}.4"
        if rule.peer == "vnet":
            peer = f"fd00:db8::{pick(1, 99):x}:5" if v6 else f"10.{pick(256)}.{pick(256)}.5"
        elif v6:
            peer = f"2001:db8:{pick(1, 65536):x}::{pick(1, 65536):x}"
        else:
            benchmark = f"198.{pick(18, 20)}.{pick(256)}"
            net = self._random.choice(("192.0.2", "198.51.100", "203.0.113", benchmark))
            peer = f"{net}.{pick(1, 255)}"
        served = pick(1, 65536) if rule.decision == "D" else self._random.choice(_PORTS)
        ports = f"{pick(1024, 65536)},{served}"
        dice = pick(100)
        if log_format != "vnet4":
            protocol = "T" if dice < 75 else "U"
        elif dice < 92:
            protocol = "6" if dice < 70 else "17"
        else:
            ports = "0,0"
            protocol = "50" if dice == 99 else ("58" if v6 else "1")
        inward = f"{peer},{own}" if rule.direction == "I" else f"{own},{peer}"
        return f"{inward},{ports},{protocol},{rule.direction}"
