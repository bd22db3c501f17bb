"""The rows that a running server has written to its ledger."""

import sqlite3
import time

from tests.support.server import HANG_GUARD_S


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
