"""What the doctor says first."""

from __future__ import annotations

import pytest

from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.settings import route

AZURE = "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=eA=="


@pytest.mark.parametrize(
    ("shards", "where"),
    [("1", "AzureWebJobsStorage"), ("4", "AzureWebJobsStorage, in 4 shards")],
)
def test_it_is_told_where_records_go(shards: str, where: str) -> None:
    environment = {"FlowLogs": AZURE, "AzureWebJobsStorage": AZURE, "FLOWLOG_SHARDS": shards}
    what = f"The settings are valid: records go from FlowLogs to queue flowlog-records of {where}"
    assert route(Settings.from_environment(environment)) == Finding("ok", what)
