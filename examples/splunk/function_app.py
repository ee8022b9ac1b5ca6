"""Moves flow records from Flowlog's queue into Splunk, by its HTTP Event Collector."""

import json
import os
import time
import uuid
from datetime import datetime

import azure.functions as func
import requests

from flowlog_core.consume import decode

URL = f"{os.environ['SPLUNK_URL'].rstrip('/')}/services/collector"
CHANNEL = {"channel": str(uuid.uuid4())}
SESSION = requests.Session()
SESSION.headers["Authorization"] = f"Splunk {os.environ['SPLUNK_TOKEN']}"
TIMEOUT_S = (5, 30)
ACKNOWLEDGED_WITHIN_S = float(os.environ.get("SPLUNK_ACK_S", "120"))
POLL_S = 1.0

app = func.FunctionApp()


@app.queue_trigger(arg_name="msg", queue_name="flowlog-records", connection="FlowlogSink")
def to_splunk(msg: func.QueueMessage) -> None:
    """Send a message's records, and return when the indexer acknowledged them.

    An error returns the message to the queue; then its records may be in Splunk twice: `dedup id`.
    """
    batch = decode(msg.get_body())  # ValueError: not a message of Flowlog
    if batch.schema.partition("/")[0] != "flowlog":
        raise ValueError(f"message {batch.id} has records of schema {batch.schema}")
    if not batch.records:
        return
    events = [
        {
            **time_of(record),
            "sourcetype": "flowlog",
            "source": batch.source["blob"],
            "event": record,
        }
        for record in batch.records
    ]
    body = "".join(map(json.dumps, events)).encode()
    number = post("event", body)["ackId"]
    give_up = time.monotonic() + ACKNOWLEDGED_WITHIN_S
    while not post("ack", json.dumps({"acks": [number]}).encode())["acks"][str(number)]:
        if time.monotonic() > give_up:
            raise TimeoutError(f"message {batch.id} was sent and not acknowledged")
        time.sleep(POLL_S)


def time_of(record: dict) -> dict:
    """The time of an event; Splunk takes that of arrival if FLOWLOG_FIELDS names no `time`."""
    if "time" not in record:
        return {}
    return {"time": datetime.fromisoformat(record["time"]).timestamp()}


def post(what: str, body: bytes) -> dict:
    """Send a request to the collector; its answer."""
    answer = SESSION.post(f"{URL}/{what}", params=CHANNEL, data=body, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()
