"""The timer's work: finding what events missed, and removing stale checkpoints."""
