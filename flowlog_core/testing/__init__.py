"""What tests need, ours and yours: fakes, made-up flow logs, and writers of log blobs."""
