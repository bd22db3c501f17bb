"""The formats: bytes and dicts in, values out.

What may not come in here: sockets, threads, clocks, configuration, logging, Flask.
"""

from typing import Any

JsonObject = dict[str, Any]
