"""What the owner is told on another device, each event once; never on a request's path."""
