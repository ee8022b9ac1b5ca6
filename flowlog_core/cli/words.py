"""Numbers as people read them: how long, how many, how large."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def in_words(seconds: float) -> str:
    """A length of time in its two largest units, such as `2 h 5 min` or `40 s`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms" if seconds >= 0.001 else "0 s"
    left, parts = round(seconds), []
    for at, (unit, unit_s) in enumerate(_UNITS):
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count:,} {unit}")
            if at + 1 < len(_UNITS) and (more := left // _UNITS[at + 1][1]):
                parts.append(f"{more} {_UNITS[at + 1][0]}")
            break
    return " ".join(parts)


def in_bytes(count: float) -> str:
    """A size, such as `830 bytes` or `1.2 GB`; the units are of ten, as Azure bills them."""
    if count < 1000:
        return "1 byte" if round(count) == 1 else f"{count:,.0f} bytes"
    for unit in _SIZES[1:]:
        count /= 1000
        if count < 999.5 or unit == _SIZES[-1]:
            break
    return f"{count:.1f} {unit}" if count < 99.5 else f"{count:,.0f} {unit}"


def how_many(count: int, one: str, many: str = "") -> str:
    """A count with its noun, such as `1 blob` or `1,200 blobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined_counts(*counts: tuple[int, str] | tuple[int, str, str]) -> str:
    """`3 forwarded, 1 failed` of counts and what they count; those that are 0 are left out.

    What is counted may be a noun, as one and as many: `(1, "entry", "entries")` is `1 entry`.
    """
    return ", ".join(
        how_many(count, what, (*many, what)[0]) for count, what, *many in counts if count
    )
