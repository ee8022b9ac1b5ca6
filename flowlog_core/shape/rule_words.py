"""Rules in words, for people who ask what theirs mean."""

from __future__ import annotations

from flowlog_core.shape.terms import Term

_WORDS = {
    "=": "is",
    "!=": "is not",
    ">=": "is at least",
    ">": "is more than",
    "<=": "is at most",
    "<": "is less than",
}
_TIME_WORDS = {"=": "is in", "!=": "is not in", ">=": "is from", ">": "is after", "<=": "is up to"}
_SUBJECTS = {
    "ip": "src_ip or dst_ip",
    "port": "src_port or dst_port",
    "packets": "packets in both directions",
    "bytes": "bytes in both directions",
}


def in_words(term: Term) -> str:
    """A term as a part of a sentence."""
    words = _WORDS | ({**_TIME_WORDS, "<": "is before"} if term.field == "time" else {})
    subject = _SUBJECTS.get(term.field, term.field)
    if term.negated and term.query_field.reading == "either":
        subject = f"neither {subject.replace(' or ', ' nor ')}"
        return f"{subject} is {' or '.join(value.text for value in term.values)}"
    return f"{subject} {words[term.operator]} {' or '.join(value.text for value in term.values)}"
