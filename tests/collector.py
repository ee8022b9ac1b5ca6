"""A fake receiver of metrics: an OTLP collector, and Application Insights' ingestion."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A data point: how many values were recorded (of a counter 1), and their sum."""

    values: int
    total: float


Series = tuple[str, frozenset[tuple[str, str]]]
"""A metric's name and its attributes."""


class Collector:
    """A server on this machine; `environment` lets a process of ours export to it."""

    def __init__(self) -> None:
        self.otlp: dict[Series, Point] = {}
        """The newest totals."""
        self.otlp_resources: list[dict[str, str]] = []
        self.application_insights: list[tuple[Series, Point]] = []
        """What came one after the other; each counts from the one before."""
        self.roles: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Says nothing of what it was asked."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self.server.server_port}"
        key = "00000000-0000-0000-0000-000000000001"
        self.to_otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        self.to_application_insights = {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={key};IngestionEndpoint={url}/"
            )
        }

    def take(self, path: str, body: Any) -> bytes:
        """Keep what was sent; the answer to it."""
        if path == "/v1/metrics":
            self._take_otlp(body)
            return b"{}"
        assert path == "/v2.1/track", path
        for item in body:
            data = item["data"]["baseData"]
            self.roles.add(item["tags"]["ai.cloud.role"])
            for each in data["metrics"]:
                series = each["name"], frozenset(data["properties"].items())
                point = Point(each["count"], each["value"])
                self.application_insights.append((series, point))
        return json.dumps(
            {"itemsReceived": len(body), "itemsAccepted": len(body), "errors": []}
        ).encode()

    def _take_otlp(self, body: Any) -> None:
        for resource in body["resourceMetrics"]:
            self.otlp_resources.append(attributes(resource["resource"]))
            for metric in (m for scope in resource["scopeMetrics"] for m in scope["metrics"]):
                kind = "sum" if "sum" in metric else "histogram"
                for point in metric[kind]["dataPoints"]:
                    series = metric["name"], frozenset(attributes(point).items())
                    self.otlp[series] = (
                        Point(1, int(point["asInt"]))
                        if kind == "sum"
                        else Point(int(point["count"]), point["sum"])
                    )


def attributes(of: Any) -> dict[str, str]:
    return {each["key"]: each["value"]["stringValue"] for each in of["attributes"]}


@contextmanager
def running_collector() -> Iterator[Collector]:
    collector = Collector()
    with collector.server as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
