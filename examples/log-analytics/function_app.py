"""Moves flow records from Flowlog's queue into a Log Analytics table, in the columns of ASIM."""

import os

import azure.functions as func
from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient

from flowlog_core.consume import Batch, decode
from flowlog_core.schemas import asim

RULE = os.environ["LOGS_RULE"]
STREAM = os.environ.get("LOGS_STREAM", "Custom-FlowlogNetworkSession")
CLIENT = LogsIngestionClient(os.environ["LOGS_ENDPOINT"], DefaultAzureCredential())

app = func.FunctionApp()


@app.queue_trigger(arg_name="msg", queue_name="flowlog-records", connection="FlowlogSink")
def to_log_analytics(msg: func.QueueMessage) -> None:
    """Send a message's records. An error returns the message to the queue, or to the poison queue.

    A message that comes again is in the table twice: count `EventOriginalUid` once.
    """
    batch = decode(msg.get_body())  # ValueError: not a message of Flowlog
    CLIENT.upload(RULE, STREAM, rows_of(batch))


def rows_of(batch: Batch) -> list[dict]:
    """The records as rows; with FLOWLOG_SCHEMA=asim they are rows already."""
    schema = batch.schema.partition("/")[0]
    if schema == "asim":
        return batch.records
    if schema != "flowlog":
        raise ValueError(f"message {batch.id} has records of schema {batch.schema}")
    if batch.fields:
        raise ValueError(f"message {batch.id} has {batch.fields} alone: see FLOWLOG_FIELDS")
    return [asim(record) for record in batch.records]
