"""What commands draw for whoever waits at a terminal, and print plainly in a pipe. Standard library alone."""
