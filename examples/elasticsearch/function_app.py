"""Moves flow records from Flowlog's queue into Elasticsearch, as ECS documents."""

import json
import os

import azure.functions as func
import requests

from flowlog_core.consume import Batch, decode
from flowlog_core.schemas import ecs

INDEX = os.environ.get("ELASTIC_INDEX", "logs-flowlog-default")
URL = f"{os.environ['ELASTIC_URL'].rstrip('/')}/{INDEX}/_bulk"
SESSION = requests.Session()
SESSION.headers.update(
    {
        "Authorization": f"ApiKey {os.environ['ELASTIC_API_KEY']}",
        "Content-Type": "application/x-ndjson",
    }
)
CONNECT_S, ANSWER_S = 5, 60
STORED = {200, 201, 409}
"""409: a document of this id is there already, from when the message came before."""

app = func.FunctionApp()


@app.queue_trigger(arg_name="msg", queue_name="flowlog-records", connection="FlowlogSink")
def to_elasticsearch(msg: func.QueueMessage) -> None:
    """Store a message's records under their ids. An error returns the message to the queue.

    Storing it again changes nothing, so each record is stored exactly once.
    """
    batch = decode(msg.get_body())  # ValueError: not a message of Flowlog
    lines = []
    for document in documents_of(batch):
        lines += [{"create": {"_id": document["event"]["id"]}}, document]
    if not lines:
        return
    body = "".join(json.dumps(line) + "\n" for line in lines)
    answer = SESSION.post(URL, data=body.encode(), timeout=(CONNECT_S, ANSWER_S))
    answer.raise_for_status()  # 200 even if documents failed: each has a status of its own
    results = [item["create"] for item in answer.json()["items"]]
    failed = [result for result in results if result["status"] not in STORED]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(results)} not stored, the first: {failed[0]}")


def documents_of(batch: Batch) -> list[dict]:
    """The records as documents; with FLOWLOG_SCHEMA=ecs they are documents already."""
    schema = batch.schema.partition("/")[0]
    if schema == "ecs":
        return batch.records
    if schema != "flowlog":
        raise ValueError(f"message {batch.id} has records of schema {batch.schema}")
    if batch.fields:
        raise ValueError(f"message {batch.id} has {batch.fields} alone: see FLOWLOG_FIELDS")
    return [ecs(record) for record in batch.records]
