from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.unframed import Unframed

_BYTES = st.text("{}[]a, \n").map(str.encode)
_TAIL = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")


_STEPS = st.tuples(_BYTES, st.integers(0, 9), st.booleans())


@given(_BYTES, st.lists(_STEPS, max_size=9), st.integers(1, 99))
def test_it_is_the_bytes_read_from_a_position_on(
    before: bytes, steps: list[tuple[bytes, int, bool]], most_bytes: int
) -> None:
    """However they arrive, are passed and looked at; a tail that was partly passed is none."""
    blob, at = before, len(before)
    unframed = Unframed(at, before)
    for data, dropped, by_themselves in steps:
        unframed.add(data)
        blob += data
        rest = blob[at:]
        assert len(unframed) == len(rest)
        assert bytes(unframed.buffer if by_themselves else unframed.read[unframed.at :]) == rest
        assert (unframed.position, unframed.before) == (at, blob[:at][-64:])
        found = _TAIL.search(rest)
        brace = rest.rindex(b"}") if found else len(rest)
        assert unframed.tail() == ((found.start(), brace) if found else None)
        assert unframed.decidable(most_bytes) == min(brace, most_bytes)
        assert unframed.decidable(most_bytes, final=True) == min(len(rest), most_bytes)
        assert not unframed.may_be_tail(brace)
        assert unframed.may_be_tail(brace + 1)
        count = min(dropped, brace)
        assert unframed.first(count) == rest[:count]
        assert unframed.starts_with(rest[:count])
        assert not unframed.starts_with(rest + b"x")
        unframed.drop(count)
        at += count
