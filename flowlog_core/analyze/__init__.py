"""Flow logs to answers: read them wherever they lie, filter, sum and export them. Not deployed."""
