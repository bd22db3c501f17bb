"""The speed of the proxy itself: a pinned model before an instant upstream, beside direct calls and a ten-line pass-through.

The three are asked in turn, round after round, so that whatever else the machine does hits all alike, and medians over the rounds count.
Compare within one run: CPU per request of threaded Python moves with the machine's load.
"""

from dataclasses import dataclass, field

from bench import load, servers
from bench.tables import Table, less, median, quantile, ratio

PATH = "/v1/chat/completions"
ROUNDS = 7
ONE, MANY, STREAMS = 1, 16, 64  # concurrent clients
WARM_UP = 200
REQUESTS = 400  # a round at one client and at many; about half a second at one
HEAD = '"content":" tok"'
THREADS = 80  # what Headstart's 64 and its spare ones make

ADDED_P50_MS, CPU_MS, CPU_RATIO, REQUESTS_PER_S, TTFT_P50_MS, TTFT_P95_MS, RSS_MB = (
    1.5,
    1.6,
    1.6,
    600,
    3,
    20,
    250,
)  # the targets

TURNS = (
    ("system", "You are a helpful assistant. Answer briefly and to the point."),
    (
        "user",
        "Could you explain how a bicycle stays upright while it moves? I have read several explanations and they contradict each other.",
    ),
    (
        "assistant",
        "Several effects work together: the front wheel steers into a fall, the trail of the fork helps it do so, and the rider does the rest. "
        * 3,
    ),
    (
        "user",
        "And which of them matters most at walking speed, where it seems so much harder to keep one's balance than at full speed?",
    ),
)


@dataclass
class Target:
    """One of the three. pids: the processes it is made of, for CPU and memory; none for direct calls. Lists hold one entry per round."""

    name: str
    ports: dict  # instant, paced -> port
    models: dict  # instant, paced -> the model to ask for
    pids: dict = field(default_factory=dict)
    p50_ms: list = field(default_factory=list)
    cpu_ms: list = field(default_factory=list)
    requests_per_s: list = field(default_factory=list)
    cpu_many_ms: list = field(default_factory=list)
    ttft_p50_ms: list = field(default_factory=list)
    ttft_p95_ms: list = field(default_factory=list)
    cpu_stream_ms: list = field(default_factory=list)
    failed: int = 0


def measure(run):
    """The tables of the proxy's own speed. run: a cli.Run, which starts, scales and tells."""
    backends = run.starts(servers.Backends(instant="instant", paced="paced", classifier="classifier"))
    headstart = run.starts(servers.headstart(config(backends, ("instant", "paced"))))
    plain = {
        kind: run.starts(servers.pass_through(backends.url(kind), THREADS)) for kind in ("instant", "paced")
    }
    for server in (headstart, *plain.values()):
        server.wait_until_up()
    models = {"instant": "instant-model", "paced": "paced-model"}
    targets = [
        Target("direct", backends.ports, models),
        Target(
            "headstart", dict.fromkeys(models, headstart.port), models, dict.fromkeys(models, headstart.pids)
        ),
        Target(
            "pass-through",
            {kind: server.port for kind, server in plain.items()},
            models,
            {kind: server.pids for kind, server in plain.items()},
        ),
    ]
    for target in targets:
        _ask(target, "instant", ONE, run.count(WARM_UP))
        _ask(target, "instant", MANY, run.count(WARM_UP))
    for i in range(ROUNDS):
        run.tell(f"proxy: round {i + 1} of {ROUNDS}")
        in_turn = targets[i % 3 :] + targets[: i % 3]
        for target in in_turn:
            _one_client(target, run.count(REQUESTS))
        for target in in_turn:
            _many_clients(target, run.count(REQUESTS * 2))
        for target in in_turn:
            _streams(target)
    tables = [_comparison(targets), _against_targets(targets)]
    for server in (headstart, *plain.values(), backends):
        run.stops(server)
    return tables


def config(backends, kinds):
    """Pinned models before the upstreams of these kinds; a classifier elsewhere, so that the memory is the proxy's own."""
    return {
        "classifier": {"backend": "openai", "base_url": backends.url("classifier"), "model": "judge"},
        "decisions": dict.fromkeys(("SIMPLE", "MODERATE", "COMPLEX", "ENRICH", "META"), "primary"),
        "providers": {
            kind: {"kind": "openai", "base_url": backends.url(kind), "model": f"{kind}-model"}
            for kind in kinds
        },
        "routes": {"primary": {"chain": ["instant"]}},
    }


def _ask(target, kind, clients, count, *, stream=False, spread_s=0.0):
    """One run of the load generator: its result and the CPU ms per request of the target's processes."""
    body = {
        "model": target.models[kind],
        "messages": [{"role": role, "content": text} for role, text in TURNS],
        "temperature": 0.7,
        "stream": stream,
    }
    pids = target.pids.get(kind, ())
    before = servers.cpu_ms(pids)
    result = load.elsewhere(
        port=target.ports[kind],
        request=load.http_request(PATH, body),
        clients=clients,
        count=count,
        head=HEAD if stream else None,
        spread_s=spread_s,
    )
    target.failed += result["failed"]
    return result, (servers.cpu_ms(pids) - before) / count if pids else None


def _one_client(target, count):
    result, cpu_ms = _ask(target, "instant", ONE, count)
    target.p50_ms.append(median(result["total_ms"]))
    target.cpu_ms.append(cpu_ms)


def _many_clients(target, count):
    result, cpu_ms = _ask(target, "instant", MANY, count)
    target.requests_per_s.append(len(result["total_ms"]) / result["wall_s"])
    target.cpu_many_ms.append(cpu_ms)


def _streams(target):
    result, cpu_ms = _ask(target, "paced", STREAMS, STREAMS * 2, stream=True, spread_s=1.0)
    target.ttft_p50_ms.append(median(result["ttft_ms"]))
    target.ttft_p95_ms.append(quantile(result["ttft_ms"], 0.95))
    target.cpu_stream_ms.append(cpu_ms)


def _added(target, direct):
    """What a target adds to direct calls: medians over the rounds of the difference within each."""
    over = lambda of, base: median([less(a, b) for a, b in zip(of, base, strict=True)])
    return {
        "added_p50_ms": over(target.p50_ms, direct.p50_ms),
        "cpu_ms": median(target.cpu_ms),
        "requests_per_s": median(target.requests_per_s),
        "cpu_ms_c16": median(target.cpu_many_ms),
        "added_ttft_p50_ms": over(target.ttft_p50_ms, direct.ttft_p50_ms),
        "added_ttft_p95_ms": over(target.ttft_p95_ms, direct.ttft_p50_ms),
        "cpu_ms_stream": median(target.cpu_stream_ms),
        "rss_mb": servers.rss_mb(target.pids["instant"]) if target.pids else None,
        "failed": target.failed,
    }


def _comparison(targets):
    direct = targets[0]
    rows = []
    for target in targets:
        added = _added(target, direct)
        rows.append(
            {
                "target": target.name,
                "p50 ms c1": median(target.p50_ms),
                "added p50 ms": added["added_p50_ms"] if target is not direct else None,
                "CPU ms/request c1": added["cpu_ms"],
                "requests/s c16": added["requests_per_s"],
                "CPU ms/request c16": added["cpu_ms_c16"],
                "added TTFT p50 ms c64": added["added_ttft_p50_ms"] if target is not direct else None,
                "p95": added["added_ttft_p95_ms"] if target is not direct else None,
                "CPU ms/stream c64": added["cpu_ms_stream"],
                "RSS MB": added["rss_mb"],
                "failed": added["failed"],
            }
        )
    notes = [
        f"c1, c16, c64: concurrent clients, closed loop. Medians over {ROUNDS} rounds, the three in turn; added: over direct calls of the same round, and the",
        "p95 over their p50. CPU: of gunicorn's master and worker. One worker each; Headstart writes its session files and log lines.",
        "An answer has 16 tokens at c1 and c16 (in one piece for the client); at c64 32 tokens at 25 tokens/s after 50 ms.",
    ]
    return Table("(6) The proxy itself, before an instant upstream", rows, notes)


def _against_targets(targets):
    direct, headstart, plain = targets
    ours, theirs = _added(headstart, direct), _added(plain, direct)
    rows = []
    for what, limit, key, at_least in (
        ("added p50 at 1 client, ms", ADDED_P50_MS, "added_p50_ms", False),
        ("CPU per request at 1 client, ms", CPU_MS, "cpu_ms", False),
        ("requests/s at 16 clients", REQUESTS_PER_S, "requests_per_s", True),
        ("added TTFT p50 at 64 streams, ms", TTFT_P50_MS, "added_ttft_p50_ms", False),
        ("added TTFT p95 at 64 streams, ms", TTFT_P95_MS, "added_ttft_p95_ms", False),
        ("memory without models, MB", RSS_MB, "rss_mb", False),
    ):
        rows.append(_row(what, limit, ours[key], theirs[key], at_least))
    cpu_ratio = ratio(ours["cpu_ms"], theirs["cpu_ms"])
    rows.append(
        {
            **_row("CPU at 1 client, times the pass-through's", CPU_RATIO, cpu_ratio, 1.0, False),
            "ratio": cpu_ratio,
        }
    )
    return Table("The proxy itself against its targets", rows)


def _row(what, limit, ours, theirs, at_least):
    met = ours is not None and (ours >= limit if at_least else ours <= limit)
    return {
        "what": what,
        "target": f"{'>=' if at_least else '<='} {limit}",
        "headstart": ours,
        "pass-through": theirs,
        "ratio": ratio(ours, theirs),
        "met": "yes" if met else "NO",
    }
