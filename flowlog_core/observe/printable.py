"""Text of others, such as a blob's name, as part of a line: it ends no line, steers no terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with every character that is not printable written as an escape, like `\n`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
