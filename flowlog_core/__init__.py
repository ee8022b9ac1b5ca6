"""Flowlog: Azure network flow logs, forwarded as normalized records within seconds.

In the order of the data; docs/glossary.md explains the words:

ingest         the whole path of one blob: claim, read, forward, commit, release
forward_chunk  one chunk of it: frame, parse, pack, send; `held_letters`: its dead letters
pipeline       what `ingest` uses; `outcome`: what it reports
blob           where a flow log is stored, what its name says, and every id
source         lists blobs, and reads what was appended to one
parsing        bytes to flow records; pure, usable alone through `parsing.read`
shape          which records and fields to send; schemas: records as ECS, OCSF or ASIM
checkpoints    how far each blob is forwarded, and who is forwarding it
sinks          packs records and sends them: queue, table, shards
dead_letters   keeps input that could not be read
sweep          finds what events missed; removes old checkpoints
storage        what all storage calls share: clients, time limits, creation on first use
config         settings and connections, read once and checked
observe        log lines, metrics, traffic summaries
service        builds all of this from the settings, for `function_app.py` and the command line
errors         every error; `parallel`: several calls at a time; `clock`: measured time;
               `closing`: closes several things
consume        for consumers: reads messages back into records
analyze        for analysts: queries flows in files and accounts
operate        for operators: status, dead letters, backfill and replay
cli, doctor, demo, testing   the command line and tests

Not deployed: what is below `errors`, from `consume` on.
"""

__version__ = "0.1.0"
