"""What commands share at a terminal: a bar for whoever waits, and how they end. Standard library alone."""
