"""Flow log blobs: finding them in their containers, and reading parts of them."""
