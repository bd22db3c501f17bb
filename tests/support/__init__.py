"""What several tests use: a real server, scripted providers, a corner of the web, a database."""
