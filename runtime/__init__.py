"""A server as one of this machine's: its port, and how commands find and ask it."""
