"""One call to a provider: its connection, its attempt, and whether the provider may be called now."""
