"""Names of IP protocols, from IANA's "Assigned Internet Protocol Numbers", in lower case."""

from __future__ import annotations

# Without those that are deprecated, reserved or of historic interest only; a protocol that is not
# listed is called by its number.
KEYWORDS: dict[int, str] = {
    0: "hopopt",
    1: "icmp",
    2: "igmp",
    3: "ggp",
    4: "ipv4",
    6: "tcp",
    8: "egp",
    9: "igp",
    17: "udp",
    27: "rdp",
    33: "dccp",
    41: "ipv6",
    43: "ipv6-route",
    44: "ipv6-frag",
    45: "idrp",
    46: "rsvp",
    47: "gre",
    48: "dsr",
    50: "esp",
    51: "ah",
    55: "mobile",
    57: "skip",
    58: "ipv6-icmp",
    59: "ipv6-nonxt",
    60: "ipv6-opts",
    88: "eigrp",
    89: "ospfigp",
    94: "ipip",
    97: "etherip",
    98: "encap",
    103: "pim",
    108: "ipcomp",
    111: "ipx-in-ip",
    112: "vrrp",
    113: "pgm",
    115: "l2tp",
    118: "stp",
    132: "sctp",
    133: "fc",
    134: "rsvp-e2e-ignore",
    136: "udplite",
    137: "mpls-in-ip",
    138: "manet",
    139: "shim6",
    140: "wesp",
    141: "rohc",
    142: "ethernet",
    143: "aggfrag",
    144: "nsh",
}


def keyword(number: int) -> str:
    """The IANA keyword in lower case, or the number as a string where none is listed."""
    return KEYWORDS.get(number, str(number))
