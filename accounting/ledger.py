"""The ledger: one row per upstream call, what was asked of whom, how it ended, what it used and what it cost.

`book` hands rows to a thread and returns; that thread writes them in batches. A full disk, a locked file or a dead server costs a log line: the rows
wait in memory and are written when it is well again. SQLite in WAL mode, so that several processes may write one file, or PostgreSQL.
It knows nothing of prices and of requests; `costs.py` asks it the questions people have, `budgets.py` whether the money is spent.
"""

import dataclasses
import itertools
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from errors import ProxyError
from telemetry.logs import fields

SCHEMA_VERSION = 1
MAX_WAITING = 10_000  # rows that wait for a database that is away, some 10 MB; beyond it new ones are dropped, and said so
BATCH_ROWS = 500
GATHER_S = 0.1  # how long the first row of a batch waits for others
BUSY_S = 5.0  # how long SQLite waits for another process that writes
CONNECT_S = 5  # how long a PostgreSQL server has to accept a connection
UNHEARD_MS = 10_000  # and how long to acknowledge what it was sent
RETRY_S = (0.5, 1.0, 2.0, 5.0, 15.0)  # between attempts at a database that is away; the last one from then on
LOG_EVERY_S = 60.0  # at most one line per trouble and this long
LOCK_KEY = 0x48454144  # PostgreSQL's advisory lock while the tables are made

ANSWERED, CANCELLED, FAILED = "answered", "cancelled", "failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One upstream call, for the ledger. Tokens are None where nothing is known of them, cost_usd where the price is unknown.

    at: when it started, an aware datetime. outcome: answered, cancelled (we hung up) or failed. estimated: the tokens were counted here, since the
    provider did not tell. saved_ms: for a speculation that was adopted, the time from its start to the decision, by which the answer came earlier.
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


class Utc(sa.types.TypeDecorator):
    """A moment, in UTC. SQLite keeps no zone, so it goes in and comes out without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        at = value.astimezone(UTC)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value, dialect):
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


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

    def __init__(self, found):
        super().__init__(
            f"the ledger has schema {found} and this Headstart writes {SCHEMA_VERSION}: move it away or name another in ledger.url"
        )


@dataclass(frozen=True)
class Spent:
    """What has been spent. usd: by everybody who books there. booked_usd: the ledger's own running sum at that very moment."""

    usd: float
    booked_usd: float


class Ledger:
    def __init__(self, url):
        """url: as SQLAlchemy takes it, such as sqlite:////var/lib/headstart/ledger.db or postgresql://user:password@host/name.

        Opens nothing yet; tables are made when they are first needed. Raises sqlalchemy.exc.ArgumentError for a URL that is none.
        """
        self._engine = _engine(url)
        self._ready = False
        self._waiting = deque()  # rows that are booked and not yet known to be written, oldest first
        self._news = threading.Condition()
        self._settling = (
            threading.Lock()
        )  # held while rows turn from waiting to written, so that nobody counts them twice or not at all
        self._hurry = self._closing = False
        self._booked_rows = self._settled_rows = 0
        self._said_at = {}
        self.booked_usd = 0.0  # every known cost booked by this process; only ever grows
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def book(self, rows):
        """Have rows (Calls) written and return at once, whatever state the database is in."""
        with self._news:
            self.booked_usd += sum(row.cost_usd for row in rows if row.cost_usd is not None)
            idle = not self._waiting
            dropped = max(0, len(self._waiting) + len(rows) - MAX_WAITING)
            self._waiting.extend(rows[: len(rows) - dropped])
            self._booked_rows += len(rows) - dropped
            if idle:  # else the thread is gathering a batch already, and each wake-up would cost the requests the interpreter
                self._news.notify_all()
        if dropped:
            self._say("Ledger rows dropped, the database has been away for too long", waiting=MAX_WAITING)

    def flush(self, timeout_s=5.0):
        """Wait until all that was booked before is written. Returns whether it was in time."""
        with self._news:
            booked = self._booked_rows
            self._hurry = True
            self._news.notify_all()
            return self._news.wait_for(lambda: self._settled_rows >= booked, timeout_s)

    def close(self, timeout_s=5.0):
        """Write what waits, once more if the database was away, then stop."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join(timeout_s)
        with self._news:
            if self._waiting:
                log.error("Ledger closed with rows unwritten", extra=fields(rows=len(self._waiting)))
        if not self._thread.is_alive():
            self._engine.dispose()

    # Asking.

    def spent_usd(self, since):
        """What calls that started at or after `since` (an aware datetime) cost, rows that still wait included, as a Spent.

        Calls of unknown price count for nothing. Raises LedgerUnreadable.
        """
        with self._settling:
            [(written,)] = self.select(sa.select(sa.func.sum(calls.c.cost_usd)).where(calls.c.at >= since))
            with self._news:
                waiting = sum(
                    row.cost_usd for row in self._waiting if row.cost_usd is not None and row.at >= since
                )
                return Spent(round((written or 0.0) + waiting, 8), self.booked_usd)

    def select(self, query):
        """All rows of a query over `calls`. Raises LedgerUnreadable."""
        try:
            self._prepare()
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            raise LedgerUnreadable(
                f"the ledger cannot be read: {_told(error)}", code="ledger_unreadable"
            ) from error

    # Writing.

    def _run(self):
        failures = 0
        while batch := self._gather(failures):
            failures = 0 if self._written(batch) else failures + 1
            if failures and self._closing:
                return

    def _gather(self, failures):
        """The next rows to write: what has gathered since the first one came, or after a failure what waits when it is time to try again.

        Empty when the ledger is closed and all is written.
        """
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closing)
            patience_s = RETRY_S[min(failures, len(RETRY_S)) - 1] if failures else GATHER_S
            self._news.wait_for(
                lambda: self._hurry or self._closing or (not failures and len(self._waiting) >= BATCH_ROWS),
                patience_s,
            )
            self._hurry = False
            return list(itertools.islice(self._waiting, BATCH_ROWS))

    def _written(self, batch):
        """Write rows and take them off the waiting ones. False when they have to wait for better times."""
        with self._settling:
            try:
                self._prepare()
                with self._engine.execution_options(writes=True).begin() as connection:
                    connection.execute(calls.insert(), [dataclasses.asdict(row) for row in batch])
            except (OperationalError, InterfaceError) as error:
                self._ready = False
                self._say("Ledger not written, its rows wait", error=_told(error), waiting=len(self._waiting))
                return False
            except (
                Exception
            ) as error:  # the edge of a thread that must live on: no row may stop all that come after it
                self._say("Ledger rows dropped", error=_told(error), rows=len(batch))
            with self._news:
                for _ in batch:
                    self._waiting.popleft()
                self._settled_rows += len(batch)
                self._news.notify_all()
        return True

    def _prepare(self):
        """Make the tables where there are none. Raises SchemaMismatch where they are another version's."""
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
            else:
                _schema.create_all(connection)
                connection.execute(_version.insert().values(version=SCHEMA_VERSION))
        self._ready = True

    def _say(self, message, **told):
        """Log an error, at most once per LOG_EVERY_S for each message."""
        now = time.monotonic()
        if now - self._said_at.get(message, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._said_at[message] = now
            log.error(message, extra=fields(**told))


def located(url, resolve):
    """A ledger URL with the path of an SQLite file made absolute. resolve: such as config.Config.resolve."""
    parsed = sa.make_url(url)
    if (
        not parsed.drivername.startswith("sqlite")
        or not parsed.database
        or parsed.database.startswith("file:")
    ):
        return url
    return parsed.set(database=str(resolve(parsed.database))).render_as_string(hide_password=False)


def _engine(url):
    url = sa.make_url(url)
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


def _set_up_sqlite(connection, _):
    # sqlite3 would begin transactions by itself, and later than BEGIN IMMEDIATE has to be said (SQLAlchemy's documentation, "pysqlite").
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection):
    # Who is going to write says so at once: a reader that becomes a writer is turned away without the busy timeout.
    connection.exec_driver_sql(
        "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"
    )


def _told(error):
    """An error's own first line, without the statement it was about."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]
