"""Finds what stops flow logs from being forwarded, and says what to do about it.

settings        versions, and where records come from and go to; `config.checks` has the checks of
                settings and environment that the app runs too
installation    what is examined: settings, clients with short timeouts, the clock
endpoints       the services that an installation uses, and how Flowlog authenticates to each
explain_error   what an error of a storage service means
advice          what to do about it
explain_once    the same beside the log of `flowlog run`
access          whether each container, queue and table can be used; leaves nothing behind
event_hub       whether the event hub takes events, if it is the sink
workspace       whether traffic summaries reach the Log Analytics workspace
behind          why a blob is not forwarded
arrival         whether events arrive: blobs against checkpoints, poison queue, sweeps
examine         the list of all checks; runs them at the same time, within a time limit
azure           the checks of a deployment in Azure, with the caller's login
report          the findings as text and as JSON
"""
