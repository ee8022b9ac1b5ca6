"""Random schedules of workers, crashes and faults, a judge of the promises, and mutants."""
