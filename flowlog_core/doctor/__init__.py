"""Looking for what keeps flow logs from being forwarded, each finding with what to do.

facts          what a check says, and the cheap checks without any storage call: also made when the
               app first runs
installation   what is examined: settings, clients that give up soon, the clock
explain_error  what an error of a storage service means, and which role or rule it asks for
access         whether each container, queue and table can be used, with nothing left behind
workspace      whether sums of traffic would arrive
arrival        whether events arrive: changes against checkpoints, poison queue, sweeps
examine        the table of all checks, made at the same time and bounded in time
"""
