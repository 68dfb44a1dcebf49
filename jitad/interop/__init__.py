"""Floor 8: what lets other libraries use what jitad compiled."""
