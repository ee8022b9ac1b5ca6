"""What the functions of `examples/` make of every form; test_host_examples runs them."""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest
from made_records import generated_entries, records_of, sums_of
from support import ROOT
from test_sinks_forms import PREFIX, sent

from flowlog_core.consume import Batch, decode
from flowlog_core.schemas import SCHEMAS, asim, ecs
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks.message import messages_of

ENVIRONMENT = {
    **{"ELASTIC_URL": "http://127.0.0.1:1", "ELASTIC_API_KEY": "k"},
    **{"LOGS_RULE": "dcr-0", "LOGS_ENDPOINT": "https://127.0.0.1"},
    **{"SPLUNK_URL": "http://127.0.0.1:1", "SPLUNK_TOKEN": "t"},
}
ENTRY = list(generated_entries())[-1]
RECORDS = records_of(ENTRY, PREFIX)
SUMS = sums_of(RECORDS)


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    path = ROOT / "examples" / request.param / "function_app.py"
    spec = importlib.util.spec_from_file_location("example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts_of(shaper: Shaper) -> list[str]:
    return [message.text for message in messages_of(sent(ENTRY, shaper))[0]]


def batches_of(shaper: Shaper) -> list[Batch]:
    return list(map(decode, texts_of(shaper)))


MAPPED = [("elasticsearch", "documents_of", ecs), ("log-analytics", "rows_of", asim)]


@pytest.mark.parametrize(("example", "name", "mapped"), MAPPED, indirect=["example"])
def test_a_target_gets_its_schema_of_every_form_that_has_all_fields(
    example: ModuleType, name: str, mapped: Any
) -> None:
    own = mapped.__name__
    for shaper, whole in (
        (Shaper(), RECORDS),
        (Shaper(fields=Fields.parse("lean")), RECORDS),
        (Shaper(schema=own), RECORDS),
        (Shaper(aggregates=True), SUMS),
        (Shaper(fields=Fields.parse("lean"), aggregates=True), SUMS),
        (Shaper(schema=own, aggregates=True), SUMS),
    ):
        made = [one for batch in batches_of(shaper) for one in getattr(example, name)(batch)]
        assert made == [mapped(record) for record in whole]


@pytest.mark.parametrize(("example", "name", "mapped"), MAPPED, indirect=["example"])
def test_a_target_names_a_form_that_it_cannot_read(
    example: ModuleType, name: str, mapped: Any
) -> None:
    others = set(SCHEMAS) - {"flowlog", mapped.__name__}
    for schema in others:
        (batch, *_) = batches_of(Shaper(schema=schema))
        with pytest.raises(ValueError, match=f"has records of schema {schema}/"):
            getattr(example, name)(batch)
    (batch, *_) = batches_of(Shaper(fields=Fields.parse("time,rule")))
    with pytest.raises(ValueError, match=r"has \('id', 'time', 'rule'\) alone: see FLOWLOG_FIELDS"):
        getattr(example, name)(batch)


class Splunk:
    """A collector that acknowledges at once."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, what: str, body: bytes) -> dict[str, Any]:
        if what == "ack":
            return {"acks": {"7": True}}
        text, decoder = body.decode(), json.JSONDecoder()
        while text:
            event, end = decoder.raw_decode(text)
            self.events.append(event)
            text = text[end:]
        return {"ackId": 7}


class QueueMessage:
    def __init__(self, text: str) -> None:
        self._text = text

    def get_body(self) -> bytes:
        return self._text.encode()


@pytest.mark.parametrize("example", ["splunk"], indirect=True)
@pytest.mark.parametrize("fields", ["all", "lean", "time,src_ip", "src_ip"])
def test_splunk_gets_every_form_of_flow_records(example: ModuleType, fields: str) -> None:
    for sums, whole in ((False, RECORDS), (True, SUMS)):
        example.post = splunk = Splunk()  # type: ignore[attr-defined]  # of any example
        chosen = Fields.parse(fields)
        for text in texts_of(Shaper(fields=chosen, aggregates=sums)):
            example.to_splunk.build().get_user_function()(QueueMessage(text))
        expected = [chosen.select(one) if chosen.names else one for one in whole]
        assert [event["event"] for event in splunk.events] == expected
        times = [event.get("time") for event in splunk.events]
        assert times == [
            datetime.fromisoformat(one["time"]).timestamp() if "time" in one else None
            for one in expected
        ]
