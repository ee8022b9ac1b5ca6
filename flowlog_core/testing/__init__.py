"""For your tests and ours: fakes, generated flow logs, and writers of log blobs."""
