"""The owner's configuration: read, checked in full, frozen, and replaced while the server runs."""
