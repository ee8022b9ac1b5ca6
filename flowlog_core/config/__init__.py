"""Settings: parsed once, all faults reported together, secrets masked."""
