"""The ledger on real databases: SQLite files, locked, full or shared; a PostgreSQL that stops and returns."""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from accounting import ledger as ledger_module
from accounting.ledger import Call, Ledger, LedgerUnreadable, SchemaMismatch, Spent, calls, located
from tests.support.postgres import Postgres
from tests.support.server import ROOT

HANG_GUARD_S = 30
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CALL = Call(
    NOON,
    "5e551011",
    "cloud",
    "c-model",
    "answered",
    120,
    route="xai",
    decision="COMPLEX",
    input_tokens=10,
    output_tokens=3,
    cost_usd=0.25,
)
CALL_IN_CODE = (
    "ledger.Call(datetime(2026, 3, 10, 12, tzinfo=UTC), "
    "'s', 'cloud', 'c-model', 'answered', 120, cost_usd=0.25)"
)


class Lines(logging.Handler):
    """The ledger's log lines, to be awaited."""

    def __init__(self):
        super().__init__()
        self._lines = []
        self._news = threading.Condition()

    def emit(self, record):
        pairs = "".join(f" {key}={value}" for key, value in getattr(record, "fields", {}).items())
        with self._news:
            self._lines.append(record.getMessage() + pairs)
            self._news.notify_all()

    def wait_for(self, text):
        def found():
            return [line for line in self._lines if text in line]

        with self._news:
            assert self._news.wait_for(found, HANG_GUARD_S), f"no line with {text!r} in {self._lines}"
            return found()


@pytest.fixture
def lines():
    handler, log = Lines(), logging.getLogger(ledger_module.__name__)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def opened(file):
    """Opens a Ledger over the SQLite file, or another URL; closes it in the end."""
    made = []

    def open_it(url=None):
        made.append(Ledger(url or f"sqlite:///{file}"))
        return made[-1]

    yield open_it
    for each in made:
        each.close(timeout_s=1)


@pytest.fixture(scope="module")
def server():
    made = Postgres().start()
    yield made
    made.remove()


@pytest.fixture
def postgres(server):
    """The server with nothing in it."""
    server.empty()
    return server


@pytest.fixture
def impatient(monkeypatch):
    """Troubles are noticed and tried again sooner than in earnest."""
    monkeypatch.setattr(ledger_module, "BUSY_S", 0.1)
    monkeypatch.setattr(ledger_module, "RETRY_S", (0.05,))


def python(code, *args, **kwargs):
    """A Python process of its own that knows the project's modules."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
        **kwargs,
    )


def rows_in(file):
    with sqlite3.connect(file) as connection:
        return connection.execute("SELECT count(*) FROM calls").fetchone()[0]


# Recording.


def test_a_row_comes_back_as_it_was_recorded(opened, file):
    ledger = opened()
    call = replace(
        CALL,
        at=NOON.astimezone(timezone(timedelta(hours=5))),
        cached_tokens=4,
        reasoning_tokens=2,
        estimated=True,
        speculative=True,
        saved_ms=31,
    )

    ledger.record([call])
    ledger.flush()

    [row] = ledger.select(sa.select(calls))
    expected = {**vars(call), "at": NOON, "id": 1}
    assert dict(row._mapping) == expected
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT at FROM calls").fetchone() == ("2026-03-10 12:00:00.000000",)


def test_what_is_unknown_is_null_and_not_zero(opened):
    ledger = opened()

    ledger.record([Call(NOON, "5e551011", "cloud", "c-model", "failed", 1)])
    ledger.flush()

    [row] = ledger.select(
        sa.select(
            calls.c.cost_usd, calls.c.input_tokens, calls.c.output_tokens, calls.c.route, calls.c.saved_ms
        )
    )
    assert tuple(row) == (None, None, None, None, None)


def test_the_file_is_in_wal_mode(opened, file):
    ledger = opened()
    ledger.record([CALL])
    ledger.flush()

    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_closing_writes_what_waits(opened, file):
    ledger = opened()

    ledger.record([CALL] * 3)
    ledger.close()

    assert rows_in(file) == 3


def test_spent_counts_from_a_moment_on_and_what_still_waits_with_it(opened):
    ledger = opened()
    ledger.record([CALL, replace(CALL, cost_usd=None)])
    ledger.flush()

    ledger.record([replace(CALL, at=NOON + timedelta(hours=1), cost_usd=0.1)])

    assert ledger.spent_usd(NOON).usd == 0.35
    assert ledger.spent_usd(NOON + timedelta(microseconds=1)).usd == 0.1
    assert ledger.spent_usd(NOON + timedelta(hours=2)).usd == 0.0
    assert ledger.spent_usd(NOON).recorded_usd == pytest.approx(0.35)


def test_a_ledger_goes_on_after_a_restart(opened):
    before = opened()
    before.record([CALL])
    before.close()

    after = opened()
    after.record([CALL])

    assert after.spent_usd(NOON).usd == 0.5


def test_a_path_in_the_url_is_relative_to_the_config(tmp_path):
    assert located("sqlite:///ledger.db", lambda name: tmp_path / name) == f"sqlite:///{tmp_path}/ledger.db"
    assert located("sqlite:////var/ledger.db", lambda name: tmp_path / name) == "sqlite:////var/ledger.db"
    assert located("postgresql://me:pass@host/db", None) == "postgresql://me:pass@host/db"


# Troubles.


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_locked_file_costs_a_line_and_its_rows_wait(opened, file, lines, impatient):
    ledger = opened()
    ledger.record([CALL])
    ledger.flush()
    holding = python(HOLD, file)
    assert holding.stdout.readline() == "held\n"

    ledger.record([CALL])
    [line] = lines.wait_for("Ledger not written, its rows wait")
    holding.communicate("\n", timeout=HANG_GUARD_S)

    assert line == "Ledger not written, its rows wait error=OperationalError: database is locked waiting=1"
    assert ledger.flush(HANG_GUARD_S)
    assert rows_in(file) == 2


def test_a_read_only_file_costs_a_line(opened, file, lines):
    ledger = opened()
    ledger.record([CALL])
    ledger.flush()

    read_only = opened(f"sqlite:///file:{file}?mode=ro&uri=true")
    read_only.record([CALL])

    lines.wait_for("attempt to write a readonly database")
    assert rows_in(file) == 1


def test_a_folder_that_is_not_there_yet_costs_a_line_until_it_is(tmp_path, opened, lines, impatient):
    ledger = opened(f"sqlite:///{tmp_path}/later/ledger.db")
    ledger.record([CALL])
    lines.wait_for("unable to open database file")

    (tmp_path / "later").mkdir()

    assert ledger.flush(HANG_GUARD_S)
    assert rows_in(tmp_path / "later" / "ledger.db") == 1


FULL_DISK = f"""
import logging, resource, sys
from datetime import UTC, datetime
from accounting import ledger
logging.basicConfig(stream=sys.stdout, format="%(message)s")
ledger.RETRY_S = (0.05,)
opened = ledger.Ledger(sys.argv[1])
opened.record([{CALL_IN_CODE}]); opened.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
opened.record([{CALL_IN_CODE}] * 400)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("all written", opened.flush(20), flush=True)
opened.close()
"""


def test_a_full_disk_costs_a_line_and_its_rows_wait_for_space(file):
    process = python(FULL_DISK, f"sqlite:///{file}")

    line = process.stdout.readline()
    printed, _ = process.communicate("space again\n", timeout=HANG_GUARD_S)

    assert line == "Ledger not written, its rows wait\n"
    assert printed == "all written True\n"
    assert rows_in(file) == 401


def test_a_database_that_is_away_cannot_be_read(opened, tmp_path):
    with pytest.raises(
        LedgerUnreadable, match="the ledger cannot be read: OperationalError: unable to open database file"
    ) as unreadable:
        opened(f"sqlite:///{tmp_path}/missing/ledger.db").spent_usd(NOON)

    assert unreadable.value.status == 503


def test_one_trouble_is_one_line_however_often_it_is_met(opened, tmp_path, lines, impatient):
    ledger = opened(f"sqlite:///{tmp_path}/missing/ledger.db")

    for _ in range(5):
        ledger.record([CALL])
        assert not ledger.flush(0.1)

    assert len(lines.wait_for("Ledger not written")) == 1


def test_recording_returns_at_once_whatever_the_database_does(opened, lines, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 100)
    ledger = opened(f"sqlite:///{tmp_path}/missing/ledger.db")

    started = time.monotonic()
    for _ in range(30):
        ledger.record([CALL] * 10)
    took_s = time.monotonic() - started

    assert took_s < 5
    assert lines.wait_for("Ledger rows dropped, the database has been away for too long") == [
        "Ledger rows dropped, the database has been away for too long waiting=100"
    ]
    assert ledger.recorded_usd == 75.0


def test_rows_that_cannot_be_written_by_the_end_are_said_to_be_lost(opened, tmp_path, lines):
    ledger = opened(f"sqlite:///{tmp_path}/missing/ledger.db")
    ledger.record([CALL] * 2)

    ledger.close()

    assert lines.wait_for("Ledger closed with rows unwritten") == ["Ledger closed with rows unwritten rows=2"]


def test_a_file_that_is_no_database_is_left_alone(opened, file, lines):
    file.write_text("dear diary, " * 1000)
    ledger = opened()

    ledger.record([CALL])

    lines.wait_for("Ledger rows dropped error=DatabaseError: file is not a database")
    assert file.read_text() == "dear diary, " * 1000


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("CREATE TABLE calls (at TEXT, usd REAL)", 0),
        (
            "CREATE TABLE ledger_schema (version INTEGER); INSERT INTO ledger_schema VALUES (99); "
            "CREATE TABLE calls (at TEXT)",
            99,
        ),
    ],
)
def test_a_ledger_of_another_version_is_recognised_and_left_as_it_is(opened, file, lines, script, found):
    with sqlite3.connect(file) as connection:
        connection.executescript(script)
    ledger = opened()

    ledger.record([CALL])

    lines.wait_for(f"Ledger rows dropped error=SchemaMismatch: the ledger has schema {found}")
    with pytest.raises(SchemaMismatch, match=f"has schema {found} and this Headstart writes 1"):
        ledger.spent_usd(NOON)
    assert rows_in(file) == 0


# A ledger that an older Headstart has made: without the column `key`.

OLD_INSERT = (
    "INSERT INTO calls "
    "(at, session, provider, model, cost_usd, estimated, outcome, speculative, duration_ms) "
    "VALUES ('2026-03-10 12:00:00.000000', 'old', 'cloud', 'c-model', 0.5, {no}, 'answered', {no}, 1)"
)


def make_old(execute, no):
    """The tables as they were made before keys had names, with one call. no: how the database says so."""
    integer = "INTEGER" if no == 0 else "BIGSERIAL"
    execute(
        f"CREATE TABLE calls (id {integer} PRIMARY KEY, at TIMESTAMP NOT NULL, session TEXT NOT NULL, "
        "route TEXT, decision TEXT, provider TEXT NOT NULL, model TEXT NOT NULL, input_tokens BIGINT, "
        "cached_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd NUMERIC(18, 10), "
        "estimated BOOLEAN NOT NULL, outcome TEXT NOT NULL, speculative BOOLEAN NOT NULL, "
        "duration_ms BIGINT NOT NULL, saved_ms BIGINT)"
    )
    execute("CREATE TABLE ledger_schema (version INTEGER PRIMARY KEY)")
    execute("INSERT INTO ledger_schema VALUES (1)")
    execute(OLD_INSERT.format(no=no))


def check_is_carried_on(ledger, execute, no):
    """It is written and read with keys, the old call counts, and the older Headstart can still write."""
    ledger.record([replace(CALL, key="kids")])
    assert ledger.flush(HANG_GUARD_S)
    execute(OLD_INSERT.format(no=no))

    assert ledger.spent_usd(NOON).usd == 1.25
    assert ledger.spent_usd(NOON, "kids") == Spent(0.25, 0.25)
    keys = [key for (key,) in ledger.select(sa.select(calls.c["key"]).order_by(calls.c.id))]
    assert keys == [None, "kids", None]


def test_an_older_ledger_gets_what_it_lacks_and_the_older_headstart_can_go_on_with_it(opened, file):
    def execute(statement):
        with sqlite3.connect(file) as connection:
            connection.execute(statement)

    make_old(execute, 0)

    check_is_carried_on(opened(), execute, 0)
    assert opened().spent_usd(NOON).usd == 1.25  # a second start finds it as it should be


def test_so_does_an_older_postgres_ledger(opened, postgres):
    make_old(postgres.execute, "false")

    check_is_carried_on(opened(postgres.url), postgres.execute, "false")


def test_two_who_open_an_older_ledger_at_once_do_not_quarrel(opened, file):
    def execute(statement):
        with sqlite3.connect(file) as connection:
            connection.execute(statement)

    make_old(execute, 0)
    both = [opened(), opened()]
    for ledger in both:
        ledger.record([CALL])

    assert all(ledger.flush(HANG_GUARD_S) for ledger in both)
    assert both[0].spent_usd(NOON).usd == 1.0


# Several at once.

RECORD = f"""
import sys
from datetime import UTC, datetime
from accounting import ledger
opened = ledger.Ledger(sys.argv[1])
sys.stdin.readline()
for _ in range(50):
    opened.record([{CALL_IN_CODE}] * 10)
    opened.flush()
opened.close()
"""


def record_from_two_processes(url):
    processes = [python(RECORD, url) for _ in range(2)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        printed, _ = process.communicate(timeout=HANG_GUARD_S)
        assert (process.returncode, printed) == (0, "")


def test_two_processes_make_and_write_one_file_at_once(opened, file):
    record_from_two_processes(f"sqlite:///{file}")

    assert rows_in(file) == 1000
    assert opened().spent_usd(NOON).usd == 250.0


# PostgreSQL.


def test_postgres_gives_a_row_back_as_it_was_recorded(opened, postgres):
    ledger = opened(postgres.url)
    call = replace(
        CALL,
        at=NOON.astimezone(timezone(timedelta(hours=5))),
        cost_usd=0.0000000123,
        estimated=True,
        speculative=True,
        saved_ms=31,
    )

    ledger.record([call])
    ledger.flush()

    [row] = ledger.select(sa.select(calls))
    assert dict(row._mapping) == {**vars(call), "at": NOON, "id": 1}


def test_two_processes_make_and_write_one_postgres_at_once(opened, postgres):
    record_from_two_processes(postgres.url)

    assert opened(postgres.url).spent_usd(NOON).usd == 250.0


def test_a_postgres_that_was_away_gets_its_rows_when_it_is_back(opened, postgres, lines, impatient):
    ledger = opened(postgres.url)
    ledger.record([CALL])
    ledger.flush()

    postgres.stop()
    ledger.record([CALL])
    lines.wait_for("Ledger not written, its rows wait")
    postgres.start()

    assert ledger.flush(HANG_GUARD_S)
    assert ledger.spent_usd(NOON).usd == 0.5


def test_a_postgres_ledger_of_another_version_is_recognised(opened, postgres):
    first = opened(postgres.url)
    first.record([CALL])
    first.flush()
    postgres.execute("UPDATE ledger_schema SET version = 0")

    with pytest.raises(SchemaMismatch, match="has schema 0"):
        opened(postgres.url).spent_usd(NOON)


def test_no_password_gets_into_the_log(opened, postgres, lines):
    ledger = opened(postgres.url.replace("headstart:", "headstart:not-"))

    ledger.record([CALL])

    [line] = lines.wait_for("Ledger not written")
    assert "password authentication failed" in line
    assert "not-" not in line
