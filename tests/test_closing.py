from __future__ import annotations

import pytest

from flowlog_core.closing import close_all


def test_all_are_closed_in_order_whatever_one_raises() -> None:
    closed: list[str] = []

    def fails(name: str) -> None:
        closed.append(name)
        raise OSError(name)

    with pytest.raises(OSError, match="d"):
        close_all(
            lambda: closed.append("a"),
            lambda: fails("b"),
            lambda: closed.append("c"),
            lambda: fails("d"),
            lambda: closed.append("e"),
        )
    assert closed == ["a", "b", "c", "d", "e"]
