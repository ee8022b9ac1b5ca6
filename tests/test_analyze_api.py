"""The Python API and the commands: the same records, typed, named, and in every form."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import flowlog
from pyarrow import parquet
from test_cli import three_formats

from flowlog_core import analyze
from flowlog_core.analyze.names import Networks, read_service_tags, scope_of
from flowlog_core.analyze.services import service_name


@pytest.fixture
def log(tmp_path: Path) -> str:
    (tmp_path / "one.json").write_bytes(three_formats()[0])
    return str(tmp_path / "one.json")


def test_records_have_attributes_and_types(log: str) -> None:
    records = list(analyze.read(log))
    _, lines, _ = flowlog("parse", log)
    raw = [json.loads(line) for line in lines.splitlines()]
    assert [(r.id, r.src_ip, r.dst_port) for r in records] == [
        (one["id"], one["src_ip"], one["dst_port"]) for one in raw
    ]
    assert [r.time for r in records] == [datetime.fromisoformat(one["time"]) for one in raw]
    assert records[0].time.tzinfo == UTC
    assert records[0].bytes is None
    assert [r.id for r in analyze.read(log, where="action=deny")] == [
        one["id"] for one in raw if one["action"] == "deny"
    ]


def test_frames_hold_the_same(log: str) -> None:
    ids = [record.id for record in analyze.read(log)]
    assert analyze.to_arrow(log).column("id").to_pylist() == ids
    assert analyze.to_pandas(log, fields=["id", "service"])["id"].tolist() == ids
    assert analyze.to_polars(log, fields=["id"])["id"].to_list() == ids
    assert sum(analyze.aggregate(log, by=["rule"]).column("tuples").to_pylist()) == len(ids)


def test_what_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(analyze.ProblemWarning, match="No such file"):
        assert list(analyze.read(str(tmp_path / "missing.json"))) == []


def test_where_prints_the_very_lines_of_the_records(log: str) -> None:
    _, everything, _ = flowlog("flows", log)
    code, some, err = flowlog("flows", "--where", "action=deny", log)
    expected = [x for x in everything.splitlines() if json.loads(x)["action"] == "deny"]
    assert (code, some.splitlines(), err) == (0, expected, "")
    assert expected


def test_parse_imports_no_pyarrow(log: str) -> None:
    script = (
        "import sys; from flowlog_core.cli import main; main(sys.argv[1:]); "
        "sys.exit(bool({'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "parse", log], stdout=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0


def test_find_takes_addresses_networks_and_ports(log: str) -> None:
    _, everything, _ = flowlog("flows", log)
    records = [json.loads(line) for line in everything.splitlines()]
    address, port = records[0]["src_ip"], records[-1]["dst_port"]
    _, by_ip, _ = flowlog("find", address, log, "--output", "ndjson")
    assert [json.loads(x) for x in by_ip.splitlines()] == [
        r for r in records if address in (r["src_ip"], r["dst_ip"])
    ]
    _, by_port, _ = flowlog("find", str(port), log, "--output", "ndjson")
    assert [json.loads(x) for x in by_port.splitlines()] == [
        r for r in records if port in (r["src_port"], r["dst_port"])
    ]
    code, _, err = flowlog("find", "web", log)
    assert (code, "'web' is not an address" in err) == (2, True)


def test_parquet_goes_to_a_file(log: str, tmp_path: Path) -> None:
    out = tmp_path / "flows.parquet"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "flowlog_core", "flows", "--output", "parquet", log]
        subprocess.run(command, stdout=file, check=True)
    ids = [record.id for record in analyze.read(log)]
    assert parquet.read_table(out).column("id").to_pylist() == ids


def test_top_gives_a_row_a_line(log: str) -> None:
    code, out, _ = flowlog("top", "--by", "version", "--output", "ndjson", log)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, sorted(row["version"] for row in rows)) == (0, [1, 2, 4])
    assert [row["tuples"] for row in rows] == [4, 4, 4]


def test_names_of_ports_and_scopes() -> None:
    assert [service_name("tcp", 443), service_name("udp", 53), service_name("icmp", 0)] == [
        *("https", "domain", "icmp"),
    ]
    assert service_name("tcp", 8728) == "8728/tcp"
    addresses = ("10.1.2.3", "8.8.8.8", "fd00::1", "224.0.0.1", "::ffff:10.0.0.1", "100.64.0.1")
    assert [scope_of(one) for one in addresses] == [
        *("private", "public", "private", "multicast", "private", "private"),
    ]


def test_the_smallest_network_names_an_address() -> None:
    networks = Networks([("10.0.0.0/8", "all"), ("10.1.0.0/16", "web"), ("10.1.0.4", "host")])
    found = [networks.name_of(one) for one in ("10.1.0.4", "10.1.0.5", "10.2.0.1", "11.0.0.1")]
    assert found == ["host", "web", "all", None]


def test_of_tags_with_one_network_the_one_that_says_most_counts(tmp_path: Path) -> None:
    def tag(name: str, *networks: str) -> dict[str, object]:
        return {"name": name, "properties": {"addressPrefixes": networks}}

    tags = [tag("AzureCloud", "20.0.0.0/24", "20.1.0.0/24"), tag("Storage", "20.0.0.0/24")]
    (tmp_path / "tags.json").write_text(json.dumps({"values": tags}))
    networks = read_service_tags(str(tmp_path / "tags.json"))
    assert [networks.name_of(one) for one in ("20.0.0.9", "20.1.0.9")] == ["Storage", "AzureCloud"]
