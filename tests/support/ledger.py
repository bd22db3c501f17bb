"""Rows of a ledger: some to record, and those that a running server has written."""

import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime

from accounting.ledger import Call
from settings.model import Prices, Provider
from tests.support.server import HANG_GUARD_S

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
CALL = Call(
    NOW,
    "5e551011",
    "cloud",
    "c-model",
    "answered",
    120,
    route="cloud",
    input_tokens=1000,
    cached_tokens=0,
    output_tokens=100,
    cost_usd=0.25,
)
LOCAL = replace(CALL, provider="local", model="builtin", route="primary", cost_usd=0.0)
CLOUD = (
    "cloud",
    Provider("openai", model="c-model", base_url="https://llm.example.com/v1", prices=Prices(2.0, 10.0)),
)


def booked(server, session, count, deciding=False):
    """The rows of a session as dicts, as soon as there are `count` of them.

    deciding: the rows of the call that decides; otherwise those of the other calls.
    """
    deadline = time.monotonic() + HANG_GUARD_S
    while time.monotonic() < deadline:
        try:
            with sqlite3.connect(f"file:{server.folder}/ledger.db?mode=ro", uri=True) as connection:
                connection.row_factory = sqlite3.Row
                provider = f"provider {'=' if deciding else '!='} 'classifier'"
                query = f"SELECT * FROM calls WHERE session = ? AND {provider} ORDER BY at, id"
                rows = [dict(row) for row in connection.execute(query, (session,))]
        except sqlite3.OperationalError:  # not made yet
            rows = []
        if len(rows) >= count:
            return rows
        time.sleep(0.02)
    raise AssertionError(f"{len(rows)} rows of {session}, not {count}")
