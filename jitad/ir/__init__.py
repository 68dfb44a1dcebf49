"""Floor 1: graphs, and how they are traced and interpreted."""
