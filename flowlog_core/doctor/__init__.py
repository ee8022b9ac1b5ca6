"""Looking for what keeps flow logs from being forwarded, each finding with what to do.

finding     what a check says
facts       the cheap checks, without any storage call: also made when the app first runs
patient     what is examined: settings, clients that give up soon, the clock
refusal     what an error of a storage service means, and which role or rule it asks for
ends        whether each container, queue and table can be used, with nothing left behind
workspace   whether sums of traffic would arrive
arrival     whether events arrive: changes against checkpoints, poison queue, sweeps
examine     the table of all checks, made at the same time and bounded in time
"""
