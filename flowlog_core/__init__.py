"""Flowlog: Azure network flow logs, forwarded as normalized records within seconds.

The modules follow the data's path: `blob`, `checkpoint`, `claim`, `appended`,
`parsing`, `sinks`, `dead_letter`; `ingest` tells the whole story in one function.
"""

__version__ = "0.1.0"
