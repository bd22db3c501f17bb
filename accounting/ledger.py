"""The ledger, one row per upstream call: what was asked of whom, how it ended, what it used and what it cost.

`record` hands rows to a thread and returns; that thread writes them in batches. A full disk, a locked file or
a dead server costs a log line: the rows wait in memory and are written when the database is back. The
database is SQLite in WAL mode, so that several processes may write one file, or PostgreSQL. The ledger knows
nothing of prices and of requests; `costs.py` asks it the questions people have, `budgets.py` whether the
money is spent.
"""

import dataclasses
import itertools
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from errors import ProxyError
from telemetry.logs import fields

# Grows when an older Headstart could no longer use the ledger. A column that may be empty is no reason: it is
# added to a ledger that lacks it, and after a roll-back the older one goes on with it.
SCHEMA_VERSION = 1
MAX_WAITING = 10_000  # rows that wait for a database that is away, some 10 MB; beyond it new ones are dropped
BATCH_ROWS = 500
GATHER_S = 0.1  # how long the first row of a batch waits for others
BUSY_S = 5.0  # how long SQLite waits for another process that writes
CONNECT_S = 5  # how long a PostgreSQL server has to accept a connection
UNHEARD_MS = 10_000  # and how long to acknowledge what it was sent
RETRY_S = (0.5, 1.0, 2.0, 5.0, 15.0)  # between attempts at a database that is away; the last one from then on
LOG_EVERY_S = 60.0  # at most one line per trouble and this long
LOCK_KEY = 0x48454144  # PostgreSQL's advisory lock while the tables are made


# Text, since SQLAlchemy 2.0 takes other parameters than 2.1.
Select: TypeAlias = "sa.Select[*tuple[Any, ...]]"
Row: TypeAlias = "sa.Row[*tuple[Any, ...]]"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One upstream call, as a row.

    Tokens are None where nothing is known of them, cost_usd where the price is unknown. at: when it started,
    an aware datetime. outcome: answered, cancelled (by us) or failed. estimated: the tokens were counted
    here, since the provider did not report them. saved_ms: for a speculation that was adopted, the time from
    its start to the decision, by which the answer came earlier. key: the name of the client's key, None for
    one without.
    """

    at: datetime
    session: str
    provider: str
    model: str
    outcome: str
    duration_ms: int
    route: str | None = None
    decision: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    estimated: bool = False
    speculative: bool = False
    saved_ms: int | None = None
    key: str | None = None


class Utc(sa.types.TypeDecorator[datetime]):
    """A moment, in UTC. SQLite keeps no zone, so it goes in and comes out without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        at = value.astimezone(UTC)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_schema = sa.MetaData()
calls = sa.Table(
    "calls",
    _schema,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", Utc, nullable=False, index=True),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("route", sa.Text),
    sa.Column("decision", sa.Text),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("cached_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("cost_usd", sa.Numeric(18, 10, asdecimal=False)),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("speculative", sa.Boolean, nullable=False),
    sa.Column("duration_ms", sa.BigInteger, nullable=False),
    sa.Column("saved_ms", sa.BigInteger),
    sa.Column("key", sa.Text),
)
_version = sa.Table(
    "ledger_schema", _schema, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)


class LedgerUnreadable(ProxyError):
    """The database is away, or holds something else."""

    status = 503
    type = "service_unavailable"


class SchemaMismatch(LedgerUnreadable):
    """The database holds a ledger of another version."""

    def __init__(self, found: int | None) -> None:
        """found: the version that stands there, None where none does."""
        super().__init__(
            f"the ledger has schema {found} and this Headstart writes {SCHEMA_VERSION}: "
            "move it away or name another in ledger.url"
        )


@dataclass(frozen=True)
class Spent:
    """What has been spent.

    usd: by everybody who writes to the database. recorded_usd: the ledger's own running sum at that very
    moment. Both are a single key's where one was asked for.
    """

    usd: float
    recorded_usd: float


class Ledger:
    def __init__(self, url: str) -> None:
        """url: as SQLAlchemy takes it, such as sqlite:////var/ledger.db or postgresql://user:password@host/name.

        Opens nothing yet; tables are made when they are first needed. Raises sqlalchemy.exc.ArgumentError for
        a URL that is none.
        """
        self._engine = _engine(url)
        self._ready = False
        self._waiting: deque[Call] = deque()  # rows not yet known to be written, oldest first
        self._changed = threading.Condition()
        # Held while rows turn from waiting to written, so that nobody counts them twice or not at all.
        self._writing = threading.Lock()
        self._flush_wanted = self._closing = False
        self._recorded_rows = self._written_rows = 0
        self._logged_at: dict[str, float] = {}
        self.recorded_usd = 0.0  # every known cost recorded by this process; only ever grows
        self._recorded_usd_by_key: dict[str | None, float] = {}
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def record(self, rows: Sequence[Call]) -> None:
        """Have rows written and return at once, whatever state the database is in."""
        with self._changed:
            for row in rows:
                self.recorded_usd += row.cost_usd or 0.0
                before_usd = self._recorded_usd_by_key.get(row.key, 0.0)
                self._recorded_usd_by_key[row.key] = before_usd + (row.cost_usd or 0.0)
            idle = not self._waiting
            dropped = max(0, len(self._waiting) + len(rows) - MAX_WAITING)
            self._waiting.extend(rows[: len(rows) - dropped])
            self._recorded_rows += len(rows) - dropped
            # Otherwise the thread gathers a batch already; each wake-up takes the interpreter from the
            # requests.
            if idle:
                self._changed.notify_all()
        if dropped:
            message = "Ledger rows dropped, the database has been away for too long"
            self._log_rarely(message, waiting=MAX_WAITING)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was recorded before is written. Returns whether it was in time."""
        with self._changed:
            recorded = self._recorded_rows
            self._flush_wanted = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._written_rows >= recorded, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, once more if the database was away, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            if self._waiting:
                log.error("Ledger closed with rows unwritten", extra=fields(rows=len(self._waiting)))
        if not self._thread.is_alive():
            self._engine.dispose()

    # Reading.

    def recorded_usd_of(self, key: str | None) -> float:
        """The part of `recorded_usd` that the calls of a key cost; None: all of it."""
        return self.recorded_usd if key is None else self._recorded_usd_by_key.get(key, 0.0)

    def spent_usd(self, since: datetime, key: str | None = None) -> Spent:
        """What calls that started at or after `since` (aware) cost, rows that still wait included.

        key: the name of the key whose calls count; None: everybody's. Calls of unknown price count for
        nothing. Raises LedgerUnreadable.
        """
        counts = calls.c.at >= since
        if key is not None:
            counts &= calls.c["key"] == key
        with self._writing:
            [(written,)] = self.select(sa.select(sa.func.sum(calls.c.cost_usd)).where(counts))
            with self._changed:
                waiting = sum(
                    row.cost_usd or 0.0 for row in self._waiting if row.at >= since and key in (None, row.key)
                )
                return Spent(round((written or 0.0) + waiting, 8), self.recorded_usd_of(key))

    def select(self, query: Select) -> Sequence[Row]:
        """All rows of a query over `calls`. Raises LedgerUnreadable."""
        try:
            self._prepare()
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            message = f"the ledger cannot be read: {_summary(error)}"
            raise LedgerUnreadable(message, code="ledger_unreadable") from error

    # Writing.

    def _run(self) -> None:
        failures = 0
        while batch := self._gather(failures):
            failures = 0 if self._write(batch) else failures + 1
            if failures and self._closing:
                return

    def _gather(self, failures: int) -> list[Call]:
        """The next rows to write.

        What has gathered since the first one came, or after a failure what waits when it is time to try
        again. Empty when the ledger is closed and all is written.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            wait_s = RETRY_S[min(failures, len(RETRY_S)) - 1] if failures else GATHER_S
            self._changed.wait_for(lambda: self._is_batch_due(failures), wait_s)
            self._flush_wanted = False
            return list(itertools.islice(self._waiting, BATCH_ROWS))

    def _is_batch_due(self, failures: int) -> bool:
        return self._flush_wanted or self._closing or (not failures and len(self._waiting) >= BATCH_ROWS)

    def _write(self, batch: list[Call]) -> bool:
        """Write rows and take them off the waiting ones. False when they have to wait for the database."""
        with self._writing:
            try:
                self._prepare()
                with self._engine.execution_options(writes=True).begin() as connection:
                    connection.execute(calls.insert(), [dataclasses.asdict(row) for row in batch])
            except (OperationalError, InterfaceError) as error:
                self._ready = False
                waiting = len(self._waiting)
                self._log_rarely("Ledger not written, its rows wait", error=_summary(error), waiting=waiting)
                return False
            # The edge of a thread that must live on: no row may stop all that come after it.
            except Exception as error:
                self._log_rarely("Ledger rows dropped", error=_summary(error), rows=len(batch))
            with self._changed:
                for _ in batch:
                    self._waiting.popleft()
                self._written_rows += len(batch)
                self._changed.notify_all()
        return True

    def _prepare(self) -> None:
        """Make the tables where there are none, and the columns that an older Headstart did not have.

        Raises SchemaMismatch where they are another version's.
        """
        if self._ready:
            return
        with self._engine.execution_options(writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
            tables = sa.inspect(connection).get_table_names()
            if "calls" in tables and "ledger_schema" not in tables:
                raise SchemaMismatch(0)
            if "ledger_schema" in tables:
                found = connection.execute(sa.select(sa.func.max(_version.c.version))).scalar()
                if found != SCHEMA_VERSION:
                    raise SchemaMismatch(found)
                _add_missing_columns(connection)
            else:
                _schema.create_all(connection)
                connection.execute(_version.insert().values(version=SCHEMA_VERSION))
        self._ready = True

    def _log_rarely(self, message: str, **values: object) -> None:
        """Log an error, at most once per LOG_EVERY_S for each message."""
        now = time.monotonic()
        if now - self._logged_at.get(message, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at[message] = now
            log.error(message, extra=fields(**values))


def _add_missing_columns(connection: sa.Connection) -> None:
    present = {column["name"] for column in sa.inspect(connection).get_columns(calls.name)}
    for column in calls.columns:
        if column.name not in present:
            definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {calls.name} ADD COLUMN {definition}"))


def located(url: str, resolve: Callable[[str], Path]) -> str:
    """A ledger URL with the path of an SQLite file made absolute. Raises sqlalchemy.exc.ArgumentError."""
    parsed = sa.make_url(url)
    path = parsed.database
    if not parsed.drivername.startswith("sqlite") or not path or path.startswith("file:"):
        return url
    return parsed.set(database=str(resolve(path))).render_as_string(hide_password=False)


def _engine(ledger_url: str) -> sa.Engine:
    url = sa.make_url(ledger_url)
    if url.drivername.startswith("sqlite"):
        engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": UNHEARD_MS},
    )


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # Otherwise sqlite3 begins transactions by itself, later than BEGIN IMMEDIATE must be sent (SQLAlchemy's
    # documentation, "pysqlite").
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that is going to write begins as a writer: a reader that becomes one is refused at once,
    # without the busy timeout.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _summary(error: Exception) -> str:
    """An error's own first line, without the statement it was about."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]
