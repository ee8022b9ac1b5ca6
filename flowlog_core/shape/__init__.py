"""What of a record is sent, and in which form. Pure: no azure, no I/O.

- `shaper`: all of it, from an entry to what a sink packs.
- `keep_drop`: which records are sent; `tuple_filter` asks the tuples of a log. `rules` asks whether
  one matches; `rule_text` and `rule_values` read rules, `terms` is what they become, `accepted` and
  `evaluate` answer quickly.
- `fields`: which fields of each.
- `aggregate`: one record for all that an entry holds of one flow.
"""
