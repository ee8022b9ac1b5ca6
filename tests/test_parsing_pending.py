from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.parsing.pending import PendingBytes

_BYTES = st.text("{}[]a, \n").map(str.encode)

_STEPS = st.tuples(_BYTES, st.integers(0, 9))


@given(_BYTES, st.lists(_STEPS, max_size=9), st.integers(1, 99))
def test_it_is_the_bytes_read_from_a_position_on(
    before: bytes, steps: list[tuple[bytes, int]], max_bytes: int
) -> None:
    """However they arrive, are passed and looked at; a tail that was partly passed is none."""
    blob, at = before, len(before)
    pending = PendingBytes(at, before)
    for data, dropped in steps:
        pending.add(data)
        blob += data
        rest = blob[at:]
        assert len(pending) == len(rest)
        assert pending.data == rest
        assert (pending.position, pending.before) == (at, blob[:at][-256:])
        to_bracket = rest.rstrip().removesuffix(b"}").rstrip()
        has_tail = to_bracket.endswith(b"]") and rest.rstrip().endswith(b"}")
        brace = rest.rindex(b"}") if has_tail else len(rest)
        assert pending.tail() == ((len(to_bracket) - 1, brace) if has_tail else None)
        assert pending.decidable(max_bytes) == min(brace, max_bytes)
        assert pending.decidable(max_bytes, final=True) == min(len(rest), max_bytes)
        assert not pending.may_be_tail(brace)
        assert pending.may_be_tail(brace + 1)
        count = min(dropped, brace)
        assert pending.first(count) == rest[:count]
        pending.drop(count)
        at += count
