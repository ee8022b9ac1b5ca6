"""How long commands are stopped: at once by the second signal, and in good order by the first."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STOP = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # not on Windows
    _STOP.append(signal.SIGHUP)


@contextmanager
def stopped_by_signals(say: str = "") -> Iterator[threading.Event]:
    """The first Ctrl-C, SIGTERM or SIGHUP sets the event; the second raises KeyboardInterrupt.

    A signal that is ignored, as `nohup` has it of SIGHUP, stays ignored.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if say:
            with suppress(OSError):  # of a terminal that was closed
                print(f"\n{say}", file=sys.stderr, flush=True)

    before = {
        number: signal.signal(number, on_signal)
        for number in _STOP
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
