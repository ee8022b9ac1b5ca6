"""Real workers on real storage, killed and hindered at random, and the check of what came out.

run.py       one run: writing, events, kills, faults, at last the sweep
host.py      in place of the Functions host: worker processes, deliveries, tries
worker.py    one worker process
account.py   the storage: names of its own, log writers, what arrived
truth.py     what must have arrived
"""
