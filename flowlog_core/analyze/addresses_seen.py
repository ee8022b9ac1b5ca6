"""Which addresses were seen, when, and what they sent and received."""

from __future__ import annotations

import pyarrow as pa

from flowlog_core.analyze.duck import answer

COLUMNS = ("ip", "tuples", "flows", "bytes_sent", "bytes_received", "first_time", "last_time")
READS = ("time", "src_ip", "dst_ip", "state", "bytes_src_to_dst", "bytes_dst_to_src")

# Each tuple counts for both its ends, and once where both are the same address.
_SQL = """
WITH ends AS (
    SELECT src_ip AS ip, time, state, bytes_src_to_dst AS sent, bytes_dst_to_src AS received,
        dst_ip AS other FROM seen
), both_ends AS (
    SELECT unnest(CASE WHEN ip = other THEN [
            {'ip': ip, 'sent': sent, 'received': received}]
        ELSE [
            {'ip': ip, 'sent': sent, 'received': received},
            {'ip': other, 'sent': received, 'received': sent}]
        END, recursive := true), time, state
    FROM ends
)
SELECT ip, count(*) AS tuples,
    count(*) FILTER (WHERE state IS NULL OR state IN ('begin', 'deny')) AS flows,
    sum(sent) AS bytes_sent, sum(received) AS bytes_received,
    min(time) AS first_time, max(time) AS last_time
FROM both_ends GROUP BY ip
ORDER BY coalesce(bytes_sent, 0) + coalesce(bytes_received, 0) DESC, tuples DESC, ip
"""


def addresses_seen(rows: pa.RecordBatchReader) -> pa.Table:
    """The addresses in rows with the columns `READS`; those with most bytes come first.

    Bytes are null where no tuple of the address counts them.
    """
    return answer(rows, "seen", _SQL)
