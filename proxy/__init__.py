"""One request from its plan to its reply. It knows no Flask."""
