"""Sections 1 to 6: what a request takes, in whichever Headstarts are compared.

A direct call is what Headstart itself sent, as its session file says, sent again to the same provider. Targets and direct calls take turns
request by request. Texts carry a marker, `(no. C17)`: scripted backends go by it (backends.py), and it keeps an upstream's prompt cache honest.
"""

import itertools
import threading
import time
from dataclasses import dataclass, field

from bench import client, proxy, servers
from bench.record import Record
from bench.tables import Table, less, median, quantile, ratio

CHAT = "/v1/chat/completions"
ROUTES = ("MODERATE", "COMPLEX", "ENRICH", "META")
SLOW_SHARE = 3  # COMPLEX and ENRICH take many seconds: one request in three
SHORT_TOKENS, LONG_TOKENS = 32, 128  # max_tokens of a request, and where tokens/s are measured
LONG_CONTEXT_WORDS = 7700  # of common words, one token each for most tokenizers; 8,192 would leave a small model no room to answer
CROWDS = (10, 50)

TEXTS = {
    "MODERATE": "Write a short paragraph about autumn in a small town.",
    "COMPLEX": "Prove that there are infinitely many primes congruent to 3 modulo 4, and generalise the proof step by step.",
    "ENRICH": "What is the weather in Berlin today, and what are the latest news from there?",
    # Open WebUI's own request for a title, which meta_markers.yaml knows.
    "META": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Output:\nJSON format: "
    '{ "title": "your concise title here" }\n### Chat History:\n<chat_history>\nUSER: How do bicycles stay upright?\n</chat_history>',
}
_WORDS = (
    "the",
    "house",
    "of",
    "a",
    "man",
    "and",
    "his",
    "dog",
    "was",
    "by",
    "the",
    "old",
    "river",
    "where",
    "we",
    "had",
    "been",
    "as",
    "children",
)
_numbers = itertools.count(1)


@dataclass
class Target:
    """A Headstart. record: its log and sessions, None where they are out of reach. headers: for its own key, if it wants one."""

    name: str
    url: str
    record: Record | None
    port: int
    headers: dict = field(default_factory=dict)

    def ask(self, body):
        return client.ask(self.url + CHAT, body, self.headers)

    def decide(self, messages):
        """What /v1/classify makes of a conversation: (decision, source), None and None when it fails."""
        told = client.ask(self.url + "/v1/classify", {"messages": messages}, self.headers).body or {}
        return told.get("decision"), told.get("source")


def body_for(route, *, model="auto", stream=True, max_tokens=SHORT_TOKENS, number=None):
    """A request that the scripted classifier decides for `route`, each with a text of its own. META is not streamed, as frontends send it."""
    letter = route[0] if route in ("COMPLEX", "ENRICH") else "M"
    words = TEXTS[route]
    marker = f"(no. {letter}{number or next(_numbers)})"
    text = (
        words.replace("\n</chat_history>", f" {marker}\n</chat_history>")
        if route == "META"
        else f"{words}\n\n{marker}"
    )
    return _body(model, text, max_tokens, stream and route != "META")


def _body(model, text, max_tokens, stream):
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "stream": stream,
        **usage,
    }


class Direct:
    """Sends what a Headstart sent its providers for a request, without it."""

    def __init__(self, headers_of):
        """headers_of: provider's name -> the headers its requests need."""
        self._headers_of = headers_of

    def again(self, target, reply, stream):
        """The same calls once more: a search first, if there was one, then the answering call. None when the session file is out of reach."""
        session = target.record and reply.session and target.record.file(reply.session)
        if not session:
            return None
        steps = [
            step for step in session["steps"] if step["status"] == 200 and step["step"] != "classification"
        ]
        calls = [step for step in steps if step["step"] == "enrichment"] + [
            step for step in steps if step["step"] == "provider_call"
        ][-1:]
        if not calls or calls[-1]["step"] != "provider_call":
            return None
        before_ms, last = 0.0, None
        for step in calls:
            before_ms += last.total_ms if last else 0.0
            last = client.ask(step["url"], _sent(step, stream), self._headers_of(step["provider"]))
        last.ttft_ms = last.ttft_ms and last.ttft_ms + before_ms
        last.total_ms += before_ms
        return last


def _sent(step, stream):
    if step["step"] == "enrichment":
        return {**step["params"], "model": step["model"], "input": step["messages_sent"]}
    body = {**step["params"], "messages": step["messages_sent"]}
    if not stream:
        body.pop("stream_options", None)
    return {**body, "stream": stream}


# What a request takes on each route: measured once, shown in sections 1 and 5.


@dataclass
class Took:
    """Replies of one route: target's name -> replies, "direct" among them, in step with each other."""

    route: str
    replies: dict


def routes_taken(run):
    """Streamed requests on each route, targets and direct calls in turn."""
    taken = []
    for route in ROUTES:
        count = run.requests if route in ("MODERATE", "META") else max(1, run.requests // SLOW_SHARE)
        run.tell(
            f"(1, 5) {route}: {count} requests each to {', '.join(target.name for target in run.targets)} and directly"
        )
        took = Took(route, {name: [] for name in ["direct", *(target.name for target in run.targets)]})
        for i in range(count):
            number = next(_numbers)
            turn = i % len(run.targets)
            for target in run.targets[turn:] + run.targets[:turn]:
                body = body_for(route, number=number if run.scripted else None)
                reply = target.ask(body)
                took.replies[target.name].append(reply)
            direct = run.direct.again(target, reply, body["stream"])
            if direct:
                took.replies["direct"].append(direct)
        taken.append(took)
    return taken


def latency(run):
    """(1) Latency per route with its parts, from the log."""
    rows, notes = [], []
    for took in run.taken():
        for target in run.targets:
            replies = took.replies[target.name]
            lines = (
                target.record.request_lines([reply.session for reply in replies if reply.session])
                if target.record
                else {}
            )
            parts = [lines.get(reply.session) or _timed(reply) for reply in replies]
            of = lambda key, parts=parts: median([_number(part.get(key)) for part in parts])
            rows.append(
                {
                    "route": took.route,
                    "target": target.name,
                    "n": len(replies),
                    "decision": _most(reply.headers.get("x-decision") for reply in replies),
                    "provider": _most(reply.headers.get("x-provider") for reply in replies),
                    "speculation": _most(reply.headers.get("x-speculation") for reply in replies),
                    "classification ms": of("classification_ms"),
                    "enrichment ms": of("enrichment_ms"),
                    "inference ms": of("inference_ms"),
                    "total ms": of("total_ms"),
                    "failed": sum(reply.error is not None for reply in replies),
                }
            )
    if any(target.record is None for target in run.targets):
        notes.append(
            "The log is out of reach: parts are from Server-Timing (inference until the headers), total is the client's."
        )
    return [Table("(1) Latency per route, medians from the log", rows, notes + run.misjudged())]


def _timed(reply):
    parts = dict(
        part.strip().split(";dur=", 1)
        for part in reply.headers.get("server-timing", "").split(",")
        if ";dur=" in part
    )
    return {**{f"{name}_ms": ms for name, ms in parts.items()}, "total_ms": reply.total_ms}


def _number(word):
    return None if word in (None, "-") else float(word)


def _most(values):
    """The value that came most often, with how often when not always."""
    values = [value or "-" for value in values]
    most = max(set(values), key=values.count)
    return most if values.count(most) == len(values) else f"{most} {values.count(most)}/{len(values)}"


def tokens(run):
    """(2) Tokens per second."""
    rows = []
    count = max(1, run.requests // SLOW_SHARE)
    run.tell(f"(2) tokens/s: {count} answers of {LONG_TOKENS} tokens each")
    got = {name: [] for name in ["direct", *(target.name for target in run.targets)]}
    for _ in range(count):
        for target in run.targets:
            reply = target.ask(body_for("MODERATE", model="primary", max_tokens=LONG_TOKENS))
            got[target.name].append(reply)
        direct = run.direct.again(target, reply, True)
        if direct:
            got["direct"].append(direct)
    for name, replies in got.items():
        speed = median([reply.tokens_per_s for reply in replies])
        rows.append(
            {
                "target": name,
                "n": len(replies),
                "tokens": median([(reply.usage or {}).get("completion_tokens") for reply in replies]),
                "tokens/s": speed,
                "/ direct": ratio(speed, median([reply.tokens_per_s for reply in got["direct"]]))
                if name != "direct"
                else None,
                "failed": sum(reply.error is not None for reply in replies),
            }
        )
    return [Table("(2) Tokens per second after the first one, medians", rows)]


def long_context(run):
    """(3) A long context of 8K tokens."""
    rows = []
    for target in run.targets:
        run.tell(f"(3) a context of 8K tokens: {target.name}")
        reply = target.ask(_long_body())
        direct = run.direct.again(target, reply, True)
        for name, one in ((target.name, reply), (f"{target.name}, directly", direct)):
            if one:
                rows.append(
                    {
                        "target": name,
                        "prompt tokens": (one.usage or {}).get("prompt_tokens"),
                        "came as": "content"
                        if one.content
                        else "reasoning_content"
                        if one.reasoning
                        else "nothing",
                        "classification ms": _number(_timed(one).get("classification_ms")),
                        "TTFT ms": one.ttft_ms,
                        "total ms": one.total_ms,
                        "error": one.error,
                    }
                )
    return [
        Table(
            "(3) A context of 8K tokens",
            rows,
            ["The direct call repeats the prompt: an upstream with a prompt cache has it already."],
        )
    ]


def _long_body():
    marker = f"(no. M{next(_numbers)})"  # at the beginning: no upstream has this prompt in its cache
    story = " ".join(itertools.islice(itertools.cycle(_WORDS), LONG_CONTEXT_WORDS))
    text = f"{marker} Here is a story.\n\n{story}\n\nSay in one sentence what the story is about."
    return _body("auto", text, SHORT_TOKENS, True)


def crowds(run):
    """(4) 10 and 50 concurrent requests."""
    rows = []
    for clients in CROWDS:
        for target in run.targets:
            run.tell(f"(4) {clients} concurrent requests: {target.name}")
            replies, wall_s = _at_once(target, clients)
            fine = [reply for reply in replies if reply.error is None]
            ttft, total = [r.ttft_ms for r in fine if r.ttft_ms is not None], [r.total_ms for r in fine]
            rows.append(
                {
                    "concurrent": str(clients),
                    "target": target.name,
                    "ok": len(fine),
                    "TTFT p50 ms": median(ttft),
                    "p95": quantile(ttft, 0.95),
                    "total p50 ms": median(total),
                    "p95 ms": quantile(total, 0.95),
                    "tokens/s": sum((r.usage or {}).get("completion_tokens") or 0 for r in fine) / wall_s,
                    "adopted": sum(r.headers.get("x-speculation") == "adopted" for r in fine),
                }
            )
    return [
        Table(
            "(4) Concurrent requests, all sent at once, model auto",
            rows,
            ["Beyond speculation.max_in_flight a request goes without."],
        )
    ]


def _at_once(target, clients):
    replies, gate = [], threading.Barrier(clients + 1)

    def one(body):
        gate.wait()
        replies.append(target.ask(body))

    threads = [
        threading.Thread(target=one, args=(body_for("MODERATE"),), daemon=True) for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.monotonic()
    for thread in threads:
        thread.join()
    return replies, time.monotonic() - started


def streaming(run):
    """(5) Streaming TTFT, direct and routed."""
    rows, notes = [], []
    for took in run.taken():
        for what, of in (("TTFT", lambda reply: reply.ttft_ms), ("total", lambda reply: reply.total_ms)):
            fine = {
                name: median([of(reply) for reply in replies if reply.error is None])
                for name, replies in took.replies.items()
            }
            row = {"route": took.route, "": what, "direct ms": fine["direct"]}
            row |= {f"{target.name} ms": fine[target.name] for target in run.targets}
            row |= {
                f"{target.name} / direct": ratio(fine[target.name], fine["direct"]) for target in run.targets
            }
            rows.append(row)
    notes.append("Medians, from the client's side. META is not streamed: its TTFT is its total.")
    notes.append("Direct: the same call to the same backend; for ENRICH the search, then the answering call.")
    if run.scripted:
        notes.append(
            f"Backends' times x {run.scale:g}; the embedded classifier computes in real time whatever the scale."
        )
    return [Table("(5) Time to first token and to the end, direct and routed", rows, notes + run.misjudged())]


def overhead(run):
    """(6) Routing overhead: routed minus direct, CPU per request; then the proxy before an instant upstream."""
    rows = []
    run.tell(f"(6) routing overhead: {run.requests} requests each, direct, pinned and auto")
    for target in run.targets:
        times = {"direct": [], "pinned": [], "auto": []}
        pids = servers.listeners(target.port)
        cpu = dict.fromkeys(times, 0.0)
        for _ in range(run.requests):
            for kind, model in (("pinned", "primary"), ("auto", "auto")):
                before = servers.cpu_ms(pids)
                reply = target.ask(body_for("MODERATE", model=model, max_tokens=1, stream=False))
                cpu[kind] += servers.cpu_ms(pids) - before
                times[kind].append(reply.total_ms if reply.error is None else None)
            direct = run.direct.again(target, reply, False)
            times["direct"].append(direct and direct.total_ms)
        routed = {kind: median(values) for kind, values in times.items()}
        rows.append(
            {
                "target": target.name,
                "direct ms": routed["direct"],
                "pinned ms": routed["pinned"],
                "auto ms": routed["auto"],
                "pinned - direct": less(routed["pinned"], routed["direct"]),
                "auto - direct": less(routed["auto"], routed["direct"]),
                "CPU ms pinned": cpu["pinned"] / run.requests if pids else None,
                "CPU ms auto": cpu["auto"] / run.requests if pids else None,
            }
        )
    notes = [
        "Whole answers, of one token where max_tokens is heeded. CPU: of gunicorn's processes; the embedded classifier is in it, the chat engine not.",
        f"It is counted in steps of {servers.MS_PER_TICK:g} ms, so a mean over few requests is coarse.",
    ]
    return [Table("(6) Routing overhead, medians", rows, notes), *proxy.measure(run)]
