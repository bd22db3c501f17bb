"""Sections 1 to 6: what a request takes, in whichever Headstarts are compared.

A direct call is what Headstart itself sent, as its session file shows, sent again to the same provider.
Targets and direct calls take turns request by request.
"""

import threading
import time
from collections.abc import Callable, Iterable

from bench import proxy, servers
from bench.client import Reply
from bench.run import Run, Took
from bench.tables import Row, Table, less, median, quantile, ratio
from bench.targets import LONG_TOKENS, ROUTES, Target, body_for, long_body, next_number

SLOW_SHARE = 3  # COMPLEX and ENRICH take many seconds: one request in three
CROWDS = (10, 50)


def _taken(run: Run) -> list[Took]:
    """What requests on each route took: measured once, shown in sections 1 and 5."""
    if run.taken is None:
        run.taken = [_take(run, route) for route in ROUTES]
    return run.taken


def _take(run: Run, route: str) -> Took:
    """Streamed requests on a route, targets and direct calls in turn."""
    count = run.requests if route in ("MODERATE", "META") else max(1, run.requests // SLOW_SHARE)
    names = [target.name for target in run.targets]
    run.progress(f"(1, 5) {route}: {count} requests each to {', '.join(names)} and directly")
    took = Took(route, {name: [] for name in ["direct", *names]})
    for i in range(count):
        number = next_number()
        turn = i % len(run.targets)
        for target in run.targets[turn:] + run.targets[:turn]:
            body = body_for(route, number=number if run.scripted else None)
            reply = target.chat(body)
            took.replies[target.name].append(reply)
        direct = run.direct.again(target, reply, body["stream"])
        if direct:
            took.replies["direct"].append(direct)
    return took


def latency(run: Run) -> list[Table]:
    """(1) Latency per route with its parts, from the log."""
    rows = [
        _latency_row(took.route, target, took.replies[target.name])
        for took in _taken(run)
        for target in run.targets
    ]
    notes = []
    if any(target.record is None for target in run.targets):
        notes.append(
            "The log is out of reach: parts are from Server-Timing (inference until the headers),"
            " total is the client's."
        )
    return [Table("(1) Latency per route, medians from the log", rows, notes + run.misjudged)]


def _latency_row(route: str, target: Target, replies: list[Reply]) -> Row:
    sessions = [reply.session for reply in replies if reply.session]
    lines = target.record.request_lines(sessions) if target.record else {}
    parts = [lines.get(reply.session or "") or _timed(reply) for reply in replies]

    def of(key: str) -> float | None:
        return median([_number(part.get(key)) for part in parts])

    return {
        "route": route,
        "target": target.name,
        "n": len(replies),
        "decision": _most(reply.headers.get("x-decision") for reply in replies),
        "provider": _most(reply.headers.get("x-provider") for reply in replies),
        "speculation": _most(reply.headers.get("x-speculation") for reply in replies),
        "classification ms": of("classification_ms"),
        "enrichment ms": of("enrichment_ms"),
        "inference ms": of("inference_ms"),
        "total ms": of("total_ms"),
        "failed": _failed(replies),
    }


def _timed(reply: Reply) -> dict[str, str]:
    """The parts of Server-Timing, named as in the log; the total is the client's."""
    listed = reply.headers.get("server-timing", "").split(",")
    parts = dict(part.strip().split(";dur=", 1) for part in listed if ";dur=" in part)
    return {**{f"{name}_ms": ms for name, ms in parts.items()}, "total_ms": str(reply.total_ms)}


def _number(word: str | None) -> float | None:
    return None if word in (None, "-") else float(word)


def _most(values: Iterable[str | None]) -> str:
    """The value that came most often, with how often when not always."""
    shown = [value or "-" for value in values]
    most = max(set(shown), key=shown.count)
    return most if shown.count(most) == len(shown) else f"{most} {shown.count(most)}/{len(shown)}"


def _failed(replies: list[Reply]) -> int:
    return sum(reply.error is not None for reply in replies)


def tokens(run: Run) -> list[Table]:
    """(2) Tokens per second."""
    count = max(1, run.requests // SLOW_SHARE)
    run.progress(f"(2) tokens/s: {count} answers of {LONG_TOKENS} tokens each")
    names = [target.name for target in run.targets]
    by_name: dict[str, list[Reply]] = {name: [] for name in ["direct", *names]}
    for _ in range(count):
        for target in run.targets:
            reply = target.chat(body_for("MODERATE", model="primary", max_tokens=LONG_TOKENS))
            by_name[target.name].append(reply)
        direct = run.direct.again(target, reply, True)
        if direct:
            by_name["direct"].append(direct)
    speeds = {name: median([reply.tokens_per_s for reply in replies]) for name, replies in by_name.items()}
    rows: list[Row] = [
        {
            "target": name,
            "n": len(replies),
            "tokens": median([reply.completion_tokens for reply in replies]),
            "tokens/s": speeds[name],
            "/ direct": ratio(speeds[name], speeds["direct"]) if name != "direct" else None,
            "failed": _failed(replies),
        }
        for name, replies in by_name.items()
    ]
    return [Table("(2) Tokens per second after the first one, medians", rows)]


def long_context(run: Run) -> list[Table]:
    """(3) A long context of 8K tokens."""
    rows = []
    for target in run.targets:
        run.progress(f"(3) a context of 8K tokens: {target.name}")
        reply = target.chat(long_body())
        rows.append(_long_row(target.name, reply))
        direct = run.direct.again(target, reply, True)
        if direct:
            rows.append(_long_row(f"{target.name}, directly", direct))
    note = "The direct call repeats the prompt: an upstream with a prompt cache has it already."
    return [Table("(3) A context of 8K tokens", rows, [note])]


def _long_row(name: str, reply: Reply) -> Row:
    came_as = "content" if reply.content else "reasoning_content" if reply.reasoning else "nothing"
    return {
        "target": name,
        "prompt tokens": (reply.usage or {}).get("prompt_tokens"),
        "came as": came_as,
        "classification ms": _number(_timed(reply).get("classification_ms")),
        "TTFT ms": reply.ttft_ms,
        "total ms": reply.total_ms,
        "error": reply.error,
    }


def crowds(run: Run) -> list[Table]:
    """(4) 10 and 50 concurrent requests."""
    rows = []
    for clients in CROWDS:
        for target in run.targets:
            run.progress(f"(4) {clients} concurrent requests: {target.name}")
            rows.append(_crowd_row(target, clients))
    note = "Beyond speculation.max_in_flight a request goes without."
    return [Table("(4) Concurrent requests, all sent at once, model auto", rows, [note])]


def _crowd_row(target: Target, clients: int) -> Row:
    replies, wall_s = _at_once(target, clients)
    fine = [reply for reply in replies if reply.error is None]
    ttft = [reply.ttft_ms for reply in fine if reply.ttft_ms is not None]
    total = [reply.total_ms for reply in fine]
    return {
        "concurrent": str(clients),
        "target": target.name,
        "ok": len(fine),
        "TTFT p50 ms": median(ttft),
        "p95": quantile(ttft, 0.95),
        "total p50 ms": median(total),
        "p95 ms": quantile(total, 0.95),
        "tokens/s": sum(reply.completion_tokens or 0 for reply in fine) / wall_s,
        "adopted": sum(reply.headers.get("x-speculation") == "adopted" for reply in fine),
    }


def _at_once(target: Target, clients: int) -> tuple[list[Reply], float]:
    """The replies to that many requests sent at one moment, and how many seconds all took."""
    replies: list[Reply] = []
    gate = threading.Barrier(clients + 1)

    def one() -> None:
        body = body_for("MODERATE")
        gate.wait()
        replies.append(target.chat(body))

    threads = [threading.Thread(target=one, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.monotonic()
    for thread in threads:
        thread.join()
    return replies, time.monotonic() - started


def streaming(run: Run) -> list[Table]:
    """(5) Streaming TTFT, direct and routed."""
    rows = []
    for took in _taken(run):
        rows.append(_streaming_row(run, took, "TTFT", lambda reply: reply.ttft_ms))
        rows.append(_streaming_row(run, took, "total", lambda reply: reply.total_ms))
    notes = [
        "Medians, from the client's side. META is not streamed: its TTFT is its total.",
        "Direct: the same call to the same backend; for ENRICH the search, then the answering call.",
    ]
    if run.scripted:
        notes.append(
            f"Backends' times x {run.scale:g};"
            " the embedded classifier computes in real time whatever the scale."
        )
    return [Table("(5) Time to first token and to the end, direct and routed", rows, notes + run.misjudged)]


def _streaming_row(run: Run, took: Took, what: str, of: Callable[[Reply], float | None]) -> Row:
    medians = {
        name: median([of(reply) for reply in replies if reply.error is None])
        for name, replies in took.replies.items()
    }
    names, direct = [target.name for target in run.targets], medians["direct"]
    row: Row = {"route": took.route, "": what, "direct ms": direct}
    row |= {f"{name} ms": medians[name] for name in names}
    row |= {f"{name} / direct": ratio(medians[name], direct) for name in names}
    return row


def overhead(run: Run) -> list[Table]:
    """(6) Routing overhead: routed minus direct, CPU per request; then the proxy itself."""
    run.progress(f"(6) routing overhead: {run.requests} requests each, direct, pinned and auto")
    rows = [_overhead_row(run, target) for target in run.targets]
    notes = [
        "Whole answers, of one token where max_tokens is heeded."
        " CPU: of gunicorn's processes; the embedded classifier is in it, the chat engine not.",
        f"It is counted in steps of {servers.MS_PER_TICK:g} ms, so a mean over few requests is coarse.",
    ]
    return [Table("(6) Routing overhead, medians", rows, notes), *proxy.measure(run)]


def _overhead_row(run: Run, target: Target) -> Row:
    times: dict[str, list[float | None]] = {"direct": [], "pinned": [], "auto": []}
    pids = servers.listeners(target.port)
    cpu_ms = dict.fromkeys(times, 0.0)
    for _ in range(run.requests):
        for kind, model in (("pinned", "primary"), ("auto", "auto")):
            before = servers.cpu_ms(pids)
            reply = target.chat(body_for("MODERATE", model=model, max_tokens=1, stream=False))
            cpu_ms[kind] += servers.cpu_ms(pids) - before
            times[kind].append(reply.total_ms if reply.error is None else None)
        direct = run.direct.again(target, reply, False)
        times["direct"].append(direct.total_ms if direct else None)
    routed = {kind: median(values) for kind, values in times.items()}
    return {
        "target": target.name,
        "direct ms": routed["direct"],
        "pinned ms": routed["pinned"],
        "auto ms": routed["auto"],
        "pinned - direct": less(routed["pinned"], routed["direct"]),
        "auto - direct": less(routed["auto"], routed["direct"]),
        "CPU ms pinned": cpu_ms["pinned"] / run.requests if pids else None,
        "CPU ms auto": cpu_ms["auto"] / run.requests if pids else None,
    }
