"""What every storage call shares: time limits, answers, and creation on first use."""
