from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from flowlog_core.storage.create_on_demand import create_if_missing


class Storage:
    """A queue that does not exist until it is created."""

    def __init__(self, code: str = "QueueNotFound", created: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._code, self._created = code, created

    def send(self) -> str:
        self.calls.append("send")
        if "create" in self.calls:
            return "sent"
        error = HttpResponseError("no")
        error.error_code = self._code  # type: ignore[attr-defined]  # as the queue client sets it
        raise error

    def create(self) -> None:
        self.calls.append("create")
        if self._created is not None:
            raise self._created


def test_what_is_missing_is_created_and_the_call_made_again() -> None:
    storage = Storage()
    assert create_if_missing(storage.send, storage.create) == "sent"
    assert storage.calls == ["send", "create", "send"]
    assert create_if_missing(storage.send, storage.create) == "sent"
    assert storage.calls == ["send", "create", "send", "send"]


def test_another_worker_may_create_it_first() -> None:
    storage = Storage(created=ResourceExistsError("there already"))
    assert create_if_missing(storage.send, storage.create) == "sent"


@pytest.mark.parametrize("code", ["MessageNotFound", "AuthorizationFailure", ""])
def test_nothing_is_created_for_any_other_error(code: str) -> None:
    storage = Storage(code)
    with pytest.raises(HttpResponseError):
        create_if_missing(storage.send, storage.create)
    assert storage.calls == ["send"]
