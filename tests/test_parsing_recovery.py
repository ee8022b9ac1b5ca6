"""Of large objects, one at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import orjson
import pytest

from flowlog_core.parsing import Damaged, Framer, ParsedEntry, read
from flowlog_core.parsing.framing import Entry
from flowlog_core.parsing.recovery import MAX_KEPT_BYTES, use_object

SMALL = b'{"a":"' + b"x" * (MAX_KEPT_BYTES - 8) + b'"}'
LARGE = b'{"a":"' + b"x" * (MAX_KEPT_BYTES - 7) + b'"}'


def test_large_objects_are_used_one_at_a_time_and_small_ones_meanwhile() -> None:
    in_use = Lock()
    seen: list[bool] = []

    def use(value: dict[str, Any]) -> int:
        seen.append(in_use.acquire(blocking=False))
        small = Event()
        with ThreadPoolExecutor(1) as other:
            other.submit(use_object, SMALL, lambda _: small.set())
            assert small.wait(10)
        in_use.release()
        return len(value["a"])

    with ThreadPoolExecutor(8) as pool:
        used = [*pool.map(lambda _: use_object(LARGE, use), range(8))]
    assert used == [len(LARGE) - len(b'{"a":""}')] * 8
    assert seen == [True] * 8


@pytest.mark.parametrize("broken", [LARGE[:-1], LARGE.replace(b"xx", b"\\x", 1)])
def test_what_is_not_valid_leaves_the_way_free_for_the_next(broken: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        use_object(broken, len)
    assert use_object(LARGE, len) == 1


@pytest.mark.parametrize(("raw", "is_kept"), [(SMALL, True), (LARGE, False)])
def test_an_entry_keeps_its_object_only_if_it_is_small(raw: bytes, is_kept: bool) -> None:
    """However it is found: whole, or by its brackets, in two chunks."""
    for chunks in ([raw + b","], [raw[:1000], raw[1000:] + b","]):
        framer = Framer()
        (entry,) = [item for chunk in chunks for item in framer.feed(chunk)]
        assert isinstance(entry, Entry)
        assert (entry.value is not None) == is_kept
        assert entry.use(lambda value: value == orjson.loads(raw))


def test_the_object_of_a_large_entry_is_gone_when_its_records_are_there() -> None:
    """Nobody holds it any longer, so the next one may take as much memory."""
    held: list[bool] = []

    class Lists(list[Any]):
        """A list that tells when it ends."""

        def __del__(self) -> None:
            held.remove(True)

    def loads(raw: bytes) -> Any:
        value = real_loads(raw)
        if len(raw) > MAX_KEPT_BYTES:
            held.append(True)
            value["unknown"] = Lists()
        return value

    good = (
        b'{"time":"t","category":"FlowLogFlowEvent","flowLogVersion":%b,"unknown":["%b"],'
        b'"flowRecords":{"flows":[]}}'
    )
    raws = [good % (version, b"x" * MAX_KEPT_BYTES) for version in (b"4", b"5")]
    real_loads: Callable[[bytes], Any] = orjson.loads
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orjson, "loads", loads)
        for item, kind in zip(read([b",".join(raws)], str), (ParsedEntry, Damaged), strict=True):
            assert type(item) is kind
            assert held == []
