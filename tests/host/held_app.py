"""A small app whose invocations wait for the test, to show what the host itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import ROOT

# `hold` runs until the gate of the blob's name is open, and fails if anything is written there.
_APP = """
import os, time
from pathlib import Path
import azure.functions as func
import azurefunctions.extensions.bindings.blob as bindings

app = func.FunctionApp()

@app.function_name("hold")
@app.blob_trigger(
    arg_name="blob", path="held/{name}", connection="FlowLogs", source=func.BlobSource.EVENT_GRID
)
def hold(blob: bindings.BlobClient) -> None:
    gate = Path(os.environ["GATES"], blob.blob_name)
    while not gate.exists():
        time.sleep(0.02)
    if said := gate.read_text():
        raise RuntimeError(said)
"""
CONTAINER = "held"


class HeldApp:
    """The app in a folder of its own, with the project's host.json.

    Attributes:
        folder: what the host is given.
        environment: its settings, beside the connections.
    """

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.folder = folder / "app"
        self._gates = folder / "gates"
        self.folder.mkdir()
        self._gates.mkdir()
        host_json = json.loads((ROOT / "host.json").read_text()) | changed
        (self.folder / "host.json").write_text(json.dumps(host_json))
        (self.folder / "function_app.py").write_text(_APP)
        self.environment = {"GATES": str(self._gates), "PYTHON_THREADPOOL_THREAD_COUNT": "20"}

    def let_go(self, blob: str, error: str = "") -> None:
        """Let the invocations for this blob end, now and later; with an error if one is given."""
        written = self._gates / f".{blob}"
        written.write_text(error)
        written.rename(self._gates / blob)  # in one piece, as the app looks all the time
