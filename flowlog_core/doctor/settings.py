"""What the doctor says first: versions, and where records come from and go to."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from flowlog_core import __version__
from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings

_PACKAGES = (
    "azure-functions",
    "azurefunctions-extensions-bindings-blob",
    "azure-storage-blob",
    "azure-storage-queue",
    "azure-data-tables",
    "azure-identity",
)


def versions() -> Finding:
    """The versions of Flowlog, Python and the SDK packages."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return Finding(
        "ok", f"Flowlog {__version__} on Python {platform.python_version()} with {packages}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def route(settings: Settings) -> Finding:
    """Where records come from and go to. Settings with faults never get this far."""
    names = {"queue": settings.queue, "table": settings.table, "eventhub": settings.event_hub}
    shards = f", in {settings.shards} shards" if settings.shards > 1 else ""
    return Finding(
        "ok",
        f"The settings are valid: records go from {', '.join(s.name for s in settings.sources)} "
        f"to {settings.sink} {names[settings.sink]} of {settings.sink_connection.name}{shards}",
    )
