"""Sections 7 and 8: what takes a Headstart with backends that can be silenced, or with a folder full of files. Each starts its own."""

import datetime
import threading
import time

from bench import client, load, proxy, servers
from bench.record import Record
from bench.tables import Table, median, quantile, ratio

HEALTH_CHECKS, CHECKED_S = (
    3,
    0.5,
)  # at least so many, and for at least so long, that chat requests fall among them
CHAT_EVERY_S = 0.02
FOLDERS = (0, 5_000, 50_000)
SAVES = 300  # requests per folder, so that the clean-up every 100 saves comes around


def health(run):
    """(7) Health with all backends up, one down, all down; and whether chat notices."""
    made = {name: run.starts(servers.Backends(**{name: "instant"})) for name in ("main", "cloud", "judge")}
    headstart = run.starts(servers.headstart(_config(made))).wait_until_up()
    rows = [_health_row(run, "all up", headstart)]
    made["cloud"].fall_silent()
    rows.append(_health_row(run, "one silent", headstart))
    made["cloud"].speak_again()
    run.stops(made["cloud"])
    rows.append(_health_row(run, "one refuses", headstart))
    made["main"].fall_silent()
    made["judge"].fall_silent()
    rows.append(_health_row(run, "all down, two of them silent", headstart, chat=False))
    for server in (headstart, made["main"], made["judge"]):
        run.stops(server)
    notes = [
        f"Medians of {HEALTH_CHECKS} checks or more, one after the other. Silent: accepts connections and never answers.",
        "Chat: a pinned instant provider that is up, asked all the while; quiet: with no check under way.",
    ]
    return [Table("(7) Health", rows, notes)]


def _config(made):
    provider = lambda name: {"kind": "openai", "base_url": made[name].url(name), "model": f"{name}-model"}
    return {
        "classifier": {"backend": "openai", "base_url": made["judge"].url("judge"), "model": "judge"},
        "decisions": {
            "SIMPLE": "primary",
            "MODERATE": "primary",
            "COMPLEX": "xai",
            "ENRICH": "primary",
            "META": "primary",
        },
        "providers": {"main": provider("main"), "cloud": provider("cloud")},
        "routes": {"primary": {"chain": ["main"]}, "xai": {"chain": ["cloud", "main"]}},
    }


def _health_row(run, state, headstart, chat=True):
    run.tell(f"(7) health, {state}")
    quiet = _chats_during(headstart, lambda: time.sleep(CHECKED_S))[1] if chat else []
    checks, meanwhile = _chats_during(headstart, lambda: _checks(headstart), chat)
    told = checks[-1].body or {}
    return {
        "backends": state,
        "HTTP": str(checks[-1].status),
        "status": told.get("status"),
        "health ms": median([check.total_ms for check in checks]),
        "slowest ms": max(check.total_ms for check in checks),
        "chat p50 ms quiet": median(quiet),
        "chat p50 ms meanwhile": median(meanwhile),
    }


def _checks(headstart):
    checks, until = [], time.monotonic() + CHECKED_S
    while len(checks) < HEALTH_CHECKS or time.monotonic() < until:
        checks.append(client.ask(headstart.url + "/health"))
    return checks


def _chats_during(headstart, work, chat=True):
    """The result of work() and the latencies in ms of chat requests sent all the while."""
    done, latencies = threading.Event(), []

    def chats():
        while True:
            reply = client.ask(
                headstart.url + proxy.PATH,
                {"model": "main-model", "messages": [{"role": "user", "content": "hello"}]},
            )
            latencies.append(reply.total_ms)
            if done.wait(CHAT_EVERY_S):
                return

    thread = threading.Thread(target=chats, daemon=True)
    if chat:
        thread.start()
    try:
        return work(), latencies
    finally:
        done.set()
        if chat:
            thread.join()


def sessions(run):
    """(8) Session writes and clean-up with 0, 5,000 and 50,000 files in the folder."""
    backends = run.starts(servers.Backends(instant="instant", classifier="classifier"))
    kept = {}
    for files in FOLDERS:
        run.tell(f"(8) a folder with {files:,} files")
        kept[files] = _with_files(run, backends, files, 100_000)
    count = run.count(SAVES)
    latencies = {files: [] for files in FOLDERS}
    for part in range(3):
        run.tell(f"(8) {count} requests to each, part {part + 1} of 3")
        for files, server in kept.items():
            latencies[files] += _saved(server, count // 3)
    rows = [_row(f"{files:,}", kept[files], latencies[files], latencies[0]) for files in FOLDERS]
    for server in kept.values():
        run.stops(server)
    run.tell("(8) a folder with 50,000 files of which 45,000 have to go")
    trimming = _with_files(run, backends, 50_000, 5_000)
    rows.append(_row("50,000, cut to 5,000 meanwhile", trimming, _saved(trimming, count), latencies[0]))
    for server in (trimming, backends):
        run.stops(server)
    notes = [
        "Requests at one client before an instant upstream, the folders in turn. Clean-up every 100 saves; its times are the sum and the longest logged."
    ]
    return [Table("(8) Session writes and clean-up", rows, notes)]


def _with_files(run, backends, files, max_count):
    """A Headstart whose sessions folder holds that many files when it starts, of which it keeps max_count."""
    config = {**proxy.config(backends, ("instant",)), "sessions": {"max_count": max_count}}
    return run.starts(
        servers.headstart(config, lambda folder: _fill(folder / "sessions", files))
    ).wait_until_up()


def _fill(folder, files):
    """That many session files, a second apart, the youngest an hour old."""
    folder.mkdir()
    youngest = datetime.datetime.now() - datetime.timedelta(hours=1)
    for i in range(files):
        (folder / f"{youngest - datetime.timedelta(seconds=i):%Y-%m-%d_%H-%M-%S}_{i:08x}.json").write_text(
            "{}"
        )


def _saved(server, count):
    body = {"model": "instant-model", "messages": [{"role": "user", "content": "hello"}]}
    return load.elsewhere(
        port=server.port, request=load.http_request(proxy.PATH, body), clients=1, count=count
    )["total_ms"]


def _row(files, server, latencies, base):
    record = Record(server.folder / "app.log", server.folder / "sessions")
    saved = record.saved_lines(len(latencies))
    writes, cleanups = (
        [int(pairs["write_ms"]) for pairs in saved],
        [int(pairs["cleanup_ms"]) for pairs in saved],
    )
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
