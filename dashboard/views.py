"""The bare address."""

from flask import Blueprint, Response


def blueprint() -> Blueprint:
    pages = Blueprint("dashboard", __name__)

    @pages.get("/")
    def root() -> Response:
        """What people and programs see who try the bare address."""
        return Response("Headstart is running\n", mimetype="text/plain")

    return pages
