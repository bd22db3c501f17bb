"""Training and evaluation of the routing classifier; nothing here is imported by the running proxy."""
