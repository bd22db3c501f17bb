"""Sections 7 and 8, each with Headstarts of its own.

They take backends that can be paused, or a folder full of files.
"""

import contextlib
import datetime
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench import client, load, proxy, servers
from bench.client import JsonObject, Reply
from bench.record import Record
from bench.run import Run
from bench.servers import Backends, Gunicorn
from bench.tables import Row, Table, median, quantile, ratio
from bench.targets import CHAT, DECISIONS

# At least so many checks, and for at least so long, that chat requests fall among them.
HEALTH_CHECKS = 3
CHECKED_S = 0.5
CHAT_EVERY_S = 0.02
FOLDERS = (0, 5_000, 50_000)
SAVES = 300  # requests per folder, so that the clean-up every 100 saves comes around


def health(run: Run) -> list[Table]:
    """(7) Health with all backends up, one down, all down; and whether chat notices."""
    backends = {name: run.keep(Backends(**{name: "instant"})) for name in ("main", "cloud", "judge")}
    headstart = run.keep(servers.headstart(_config(backends))).wait_until_up()
    rows = [_health_row(run, "all up", headstart)]
    backends["cloud"].pause()
    rows.append(_health_row(run, "one silent", headstart))
    backends["cloud"].resume()
    run.stop(backends["cloud"])
    rows.append(_health_row(run, "one refuses", headstart))
    backends["main"].pause()
    backends["judge"].pause()
    rows.append(_health_row(run, "all down, two of them silent", headstart, chat=False))
    run.stop(headstart, backends["main"], backends["judge"])
    notes = [
        f"Medians of {HEALTH_CHECKS} checks or more, one after the other."
        " Silent: accepts connections and never answers.",
        "Chat: a pinned instant provider that is up, asked all the while; quiet: with no check under way.",
    ]
    return [Table("(7) Health", rows, notes)]


def _config(backends: dict[str, Backends]) -> JsonObject:
    return {
        "classifier": {"backend": "openai", "base_url": backends["judge"].url("judge"), "model": "judge"},
        "decisions": {**dict.fromkeys(DECISIONS, "primary"), "COMPLEX": "xai"},
        "providers": {name: backends[name].provider(name) for name in ("main", "cloud")},
        "routes": {"primary": {"chain": ["main"]}, "xai": {"chain": ["cloud", "main"]}},
    }


def _health_row(run: Run, state: str, headstart: Gunicorn, chat: bool = True) -> Row:
    run.progress(f"(7) health, {state}")
    quiet: list[float] = []
    meanwhile: list[float] = []
    if chat:
        with _chatting(headstart, quiet):
            time.sleep(CHECKED_S)
        with _chatting(headstart, meanwhile):
            checks = _checks(headstart)
    else:
        checks = _checks(headstart)
    last = checks[-1]
    return {
        "backends": state,
        "HTTP": str(last.status),
        "status": (last.body or {}).get("status"),
        "health ms": median([check.total_ms for check in checks]),
        "slowest ms": max(check.total_ms for check in checks),
        "chat p50 ms quiet": median(quiet),
        "chat p50 ms meanwhile": median(meanwhile),
    }


def _checks(headstart: Gunicorn) -> list[Reply]:
    until = time.monotonic() + CHECKED_S
    checks: list[Reply] = []
    while len(checks) < HEALTH_CHECKS or time.monotonic() < until:
        checks.append(client.request(headstart.url + "/health"))
    return checks


@contextlib.contextmanager
def _chatting(headstart: Gunicorn, latencies_ms: list[float]) -> Iterator[None]:
    """Send chat requests all the while and collect how long each took."""
    done = threading.Event()
    body = {"model": "main-model", "messages": [{"role": "user", "content": "hello"}]}

    def chats() -> None:
        while True:
            latencies_ms.append(client.request(headstart.url + CHAT, body).total_ms)
            if done.wait(CHAT_EVERY_S):
                return

    thread = threading.Thread(target=chats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def sessions(run: Run) -> list[Table]:
    """(8) Session writes and clean-up with 0, 5,000 and 50,000 files in the folder."""
    backends = run.keep(Backends(instant="instant", classifier="classifier"))
    by_files = {}
    for files in FOLDERS:
        run.progress(f"(8) a folder with {files:,} files")
        by_files[files] = _with_files(run, backends, files, 100_000)
    count = run.count(SAVES)
    latencies: dict[int, list[float]] = {files: [] for files in FOLDERS}
    for part in range(3):
        run.progress(f"(8) {count} requests to each, part {part + 1} of 3")
        for files, server in by_files.items():
            latencies[files] += _saved(server, count // 3)
    rows = [_row(f"{files:,}", by_files[files], latencies[files], latencies[0]) for files in FOLDERS]
    run.stop(*by_files.values())
    run.progress("(8) a folder with 50,000 files of which 45,000 have to go")
    trimming = _with_files(run, backends, 50_000, 5_000)
    rows.append(_row("50,000, cut to 5,000 meanwhile", trimming, _saved(trimming, count), latencies[0]))
    run.stop(trimming, backends)
    note = (
        "Requests at one client before an instant upstream, the folders in turn."
        " Clean-up every 100 saves; its times are the sum and the longest logged."
    )
    return [Table("(8) Session writes and clean-up", rows, [note])]


def _with_files(run: Run, backends: Backends, files: int, max_count: int) -> Gunicorn:
    """A Headstart whose sessions folder holds that many files when it starts, of which it keeps max_count."""
    config = {**proxy.config(backends, ("instant",)), "sessions": {"max_count": max_count}}
    server = servers.headstart(config, lambda folder: _fill(folder / "sessions", files))
    return run.keep(server).wait_until_up()


def _fill(folder: Path, files: int) -> None:
    """That many session files, a second apart, the youngest an hour old."""
    folder.mkdir()
    youngest = datetime.datetime.now() - datetime.timedelta(hours=1)
    for i in range(files):
        saved = youngest - datetime.timedelta(seconds=i)
        (folder / f"{saved:%Y-%m-%d_%H-%M-%S}_{i:08x}.json").write_text("{}")


def _saved(server: Gunicorn, count: int) -> list[float]:
    """The latencies in ms of that many requests, one after the other."""
    body = {"model": "instant-model", "messages": [{"role": "user", "content": "hello"}]}
    request = load.http_request(CHAT, body)
    return load.elsewhere(port=server.port, request=request, clients=1, count=count)["total_ms"]


def _row(files: str, server: Gunicorn, latencies: list[float], base: list[float]) -> Row:
    record = Record(server.folder / "app.log", server.folder / "sessions")
    saved = record.saved_lines(len(latencies))
    writes = [int(pairs["write_ms"]) for pairs in saved]
    cleanups = [int(pairs["cleanup_ms"]) for pairs in saved]
    return {
        "files in the folder": files,
        "requests": len(latencies),
        "p50 ms": median(latencies),
        "/ empty": ratio(median(latencies), median(base)),
        "p95 ms": quantile(latencies, 0.95),
        "slowest ms": max(latencies),
        "write_ms p50": median(writes),
        "write_ms p95": quantile(writes, 0.95),
        "cleanup_ms sum": sum(cleanups),
        "cleanup_ms longest": max(cleanups, default=0),
    }
