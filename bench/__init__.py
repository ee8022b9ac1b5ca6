"""Measurements. `make bench` runs those of a few minutes; each is `python -m bench.NAME`.

append, event, latency     one event on Azurite: its time, where that goes, how soon it is readable
ingest, claims             what `ingest` adds to parsing; its storage calls
peers, parsing, rules      parsing beside other tools and an earlier version; what a rule costs
sweep, status, analyze     a sweep, `flowlog status` and `flowlog top`, beside the SDK and DuckDB
starting                   how long the worker imports the app
memory, chaos, fuzz        promises in runs of minutes and hours: they end with an exit code
scale                      simulates thousands of interfaces and writes the tables of the docs
harness                    what these share
"""
