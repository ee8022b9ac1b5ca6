"""Events as Event Grid posts them to the blob extension's webhook.

Shape: learn.microsoft.com, "Azure Blob Storage as an Event Grid source", Microsoft.Storage
.BlobCreated in the Event Grid event schema; and "Webhook event delivery", endpoint validation.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

_GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/made-up"


def blob_created(
    account: str, blob_url: str, container: str, name: str, etag: str = "0x8D4BCC2E4835CD0"
) -> dict[str, Any]:
    """The event of one commit; `blob_url` is the blob service's address, the account included.

    `etag` is the committed version's, quoted or not. Events write it without quotes.
    """
    return _event(
        "Microsoft.Storage.BlobCreated",
        f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/{account}",
        f"/blobServices/default/containers/{container}/blobs/{name}",
        {
            "api": "PutBlockList",
            "clientRequestId": str(uuid.uuid4()),
            "requestId": str(uuid.uuid4()),
            "eTag": etag.strip('"'),
            "contentType": "application/octet-stream",
            "contentLength": 524288,
            "blobType": "BlockBlob",
            "url": f"{blob_url}/{container}/{name}",
            "sequencer": "00000000000004420000000000028963",
            "storageDiagnostics": {"batchId": str(uuid.uuid4())},
        },
    )


def validation(code: str) -> dict[str, Any]:
    """The event by which Event Grid asks an endpoint, before any other, to answer with `code`."""
    told = {"validationCode": code, "validationUrl": "https://made-up.example/validate"}
    return _event("Microsoft.EventGrid.SubscriptionValidationEvent", _GROUP, "", told)


def _event(kind: str, topic: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "topic": topic,
        "subject": subject,
        "eventType": kind,
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "id": str(uuid.uuid4()),
        "data": data,
        "dataVersion": "",
        "metadataVersion": "1",
    }
