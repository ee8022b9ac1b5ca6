"""What of a record is sent, and in which form. Pure: no azure, no I/O.

- `shaper`: all of it, from an entry to what a sink packs.
- `keep_drop`: which records are sent; `tuple_filter` applies it to the tuples of a log.
- `rules`: whether a record matches. `rule_text` and `rule_values` parse rules, `terms` holds what
  they become, `accepted` says which values a term accepts, `evaluate` compiles rules for tuples.
- `fields`: which fields of each record.
- `aggregate`: one record for all tuples of a flow in an entry.
"""
