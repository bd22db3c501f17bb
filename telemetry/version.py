"""Which Headstart this is, as `make version`, /health and the changelog call it."""

VERSION = "1.0.0"  # the tag of a release is `v` and this
