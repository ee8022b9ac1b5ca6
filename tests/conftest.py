"""Shared fixtures: a storage emulator, unique names, hypothesis profiles."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azurite_installation import AzuriteInstallation
from hypothesis import settings
from support import ROOT

from flowlog_core.demo.azurite import Azurite, running_azurite

# No deadline: how long an example takes says more of the machine than of the code.
settings.register_profile("default", deadline=None, print_blob=True, max_examples=40)
# Of `make properties`.
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
# The same examples each time, so that what passed once passes again until something changes.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "default")
)


LONGEST_FIRST = (
    "test_chaos.py",
    "test_host_events.py",
    "test_sinks_event_hub.py",
    "test_worker.py",
    "test_host_event_queue.py",
    "test_simulation.py",
    "test_doctor_azure.py",
    "test_cli.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no process ends long after the others."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are not text are numbered: gzip writes the time, and xdist compares test names."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A storage emulator of this test process's own; the tests in it share the account."""
    with running_azurite() as started:
        yield started


@pytest.fixture(scope="session")
def connection_string(azurite: Azurite) -> str:
    """Leads to the emulator's blobs, queues and tables."""
    return azurite.connection_string


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """Makes names that no other test has: `unique("logs")` is valid for container, queue, table."""
    return lambda prefix: f"{prefix}{uuid.uuid4().hex[:12]}"


@pytest.fixture
def installation(
    connection_string: str, unique: Callable[[str], str]
) -> Iterator[AzuriteInstallation]:
    """Settings of names that nobody else has, for the doctor to look at."""
    installation = AzuriteInstallation(connection_string, unique)
    yield installation
    installation.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is deployed, and nothing besides."""
    folder = tmp_path_factory.mktemp("published")
    package = folder / "flowlog.zip"
    subprocess.run(
        [sys.executable, ROOT / "tools/package.py", "--output", package],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    package.unlink()
    return folder
