"""Escapes foreign text, such as a blob's name: it cannot end a line or control a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with every character that is not printable written as an escape, like `\n`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
