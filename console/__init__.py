"""What is asked in a terminal: `make health`, `make costs` and `make config` ask the server that runs."""
