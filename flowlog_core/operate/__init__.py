"""For operators: is forwarding keeping up, what failed, and what was dead-lettered."""
