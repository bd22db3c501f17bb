"""How Headstart moves in and lives on a machine: set-up, service, update, backup."""
