"""What people see in a browser: pages, their static files, and the endpoints that pages read and edit by."""
