"""What Flowlog reports while it works: log lines, metrics and traffic summaries."""
