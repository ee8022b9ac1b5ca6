"""What Flowlog reports about itself: log lines, metrics, and sums of the traffic."""
