"""What `ingest` uses: reader, checkpoints, shaper, sink, dead letters, clock and observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING
from uuid import uuid4

from flowlog_core.checkpoints.checkpoint import CheckpointStore
from flowlog_core.checkpoints.released import Released
from flowlog_core.clock import Clock, SystemClock
from flowlog_core.dead_letters import DeadLetterStore
from flowlog_core.observe.log import LogObserver
from flowlog_core.outcome import Observer
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import Sink
from flowlog_core.source.reading import CHUNK_BYTES, LogReader

if TYPE_CHECKING:
    from flowlog_core.observe.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The dependencies of `ingest`. Tests replace them with fakes."""

    reader: LogReader
    checkpoints: CheckpointStore
    sink: Sink
    dead_letters: DeadLetterStore
    owned_for_s: float = 60
    clock: Clock = field(default_factory=SystemClock)
    new_owner: Callable[[], str] = lambda: uuid4().hex
    """Returns an owner id that was never used before."""
    chunk_bytes: int = CHUNK_BYTES
    """How many bytes are read and committed at a time; more than `SEAM_BYTES`."""
    released: Released = field(default_factory=Released)
    """The checkpoints that this process released last; shared by all users of `checkpoints`."""
    shaper: Shaper = field(default_factory=Shaper)
    """What of each entry is sent, and in which form."""
    observer: Observer = field(default_factory=LogObserver)
    new_traffic: Callable[[], Traffic | None] = lambda: None
    """Returns an empty `Traffic` if an observer uses the `traffic` of an outcome, else None."""
    is_gone: Callable[[str], bool] = lambda _: False
    """Whether the process of an owner id has certainly ended; see `checkpoints.owner`."""
    max_deaths: int = 3
    """After so many deaths of processes at one offset, the entry there is set aside unparsed."""
    takeovers: RLock = field(default_factory=RLock)
    """Held by the one call in the process that works on a blob it took from a dead process."""
