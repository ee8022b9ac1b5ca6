"""Real workers on real storage, with random kills and faults, and a check of the results.

run.py       one run: writing, events, kills, faults, a sweep at the end
host.py      stands in for the Functions host: worker processes, deliveries, retries
worker.py    one worker process
account.py   the storage: unique names, log writers, what arrived
truth.py     what must have arrived
watch.py     looks at the lag all the while, and holds it against the truth
"""
