"""How long a storage call may take, and how long a claim must last because of that.

A send must end before the claim it was made under runs out. `Claim.keep` renews a claim that has
less than one part in `CALLS_A_CLAIM` left, so the longest call must fit into that part.
"""

from __future__ import annotations

CONNECT_S = 5
READ_S = 10
RETRIES = 2
BACKOFF_S = {"initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1}
"""The waits between tries, as the SDK's `ExponentialRetry` takes them: 1 + 2**n s, a second more
or less. Its clients for tables wait 0.8 s and 1.6 s by default."""

_MAX_WAITS_S = sum(1 + 2**retry + 1 for retry in range(1, RETRIES + 1))
LONGEST_CALL_S = (RETRIES + 1) * (CONNECT_S + READ_S) + _MAX_WAITS_S
"""Of one storage call, retries and waits included. (The SDK's own limits: 300 s a try, and 15 s a
wait.) A call to a table may take longer, if the service asks for longer waits (`Retry-After`, which
that client obeys) or a batch must be sent twice. That is harmless: rows replace themselves, and
checkpoints are written on a condition."""

CALLS_A_CLAIM = 3
MIN_CLAIM_S = CALLS_A_CLAIM * LONGEST_CALL_S
"""The shortest `FLOWLOG_CLAIM_S`."""
