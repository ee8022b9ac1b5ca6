"""Removes secrets from errors: a shared access signature is in every URL that it opens.

Some libraries put the URL into their messages, and those end in logs, in a checkpoint's `error` and
in tracebacks. Keys and tokens travel in headers, which nobody puts into a message.
"""

from __future__ import annotations

import re

_SIGNATURE = re.compile(r"(?i)(\bsig=)[^&\s'\"<>)]+")


def without_secrets(text: str) -> str:
    """`text` with the signature of every URL left out."""
    return _SIGNATURE.sub(r"\1REDACTED", text)


def redact(error: BaseException) -> None:
    """Leave signatures out of an exception and of all that it was raised from or holds."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        held = [*one.args, one.__cause__, one.__context__, *vars(one).values()]
        waiting += [other for other in held if isinstance(other, BaseException)]
        one.args = tuple(without_secrets(a) if isinstance(a, str) else a for a in one.args)
        for name, value in vars(one).items():
            if isinstance(value, str):
                setattr(one, name, without_secrets(value))
