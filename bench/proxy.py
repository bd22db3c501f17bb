"""The speed of the proxy itself: a pinned model before an instant upstream.

It stands beside direct calls and a ten-line pass-through. The three take turns, round after round, so that
whatever else the machine does hits all alike, and medians over the rounds count. Compare within one run: CPU
per request of threaded Python moves with the machine's load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import load, servers
from bench.client import JsonObject
from bench.load import Result
from bench.run import Run
from bench.servers import Backends
from bench.tables import Row, Table, less, median, quantile, ratio
from bench.targets import CHAT, DECISIONS

ROUNDS = 7
ONE, MANY, STREAMS = 1, 16, 64  # concurrent clients
WARM_UP = 200
REQUESTS = 400  # a round at one client and at many; about half a second at one
HEAD = '"content":" tok"'
THREADS = 80  # what Headstart's 64 and its spare ones make

# What the proxy is to reach.
ADDED_P50_MS = 1.5
CPU_MS = 1.6
CPU_RATIO = 1.6
REQUESTS_PER_S = 600
TTFT_P50_MS = 3
TTFT_P95_MS = 20
RSS_MB = 250

KINDS = ("instant", "paced")
TURNS = (
    ("system", "You are a helpful assistant. Answer briefly and to the point."),
    (
        "user",
        "Could you explain how a bicycle stays upright while it moves?"
        " I have read several explanations and they contradict each other.",
    ),
    (
        "assistant",
        "Several effects work together: the front wheel steers into a fall,"
        " the trail of the fork helps it do so, and the rider does the rest. " * 3,
    ),
    (
        "user",
        "And which of them matters most at walking speed,"
        " where it seems so much harder to keep one's balance than at full speed?",
    ),
)


@dataclass
class Competitor:
    """One of the three. Dicts are by kind of upstream, lists hold one entry per round."""

    name: str
    ports: dict[str, int]
    pids: dict[str, list[int]]  # its processes, for CPU and memory; none for direct calls
    p50_ms: list[float | None] = field(default_factory=list)
    cpu_ms: list[float | None] = field(default_factory=list)
    requests_per_s: list[float] = field(default_factory=list)
    cpu_many_ms: list[float | None] = field(default_factory=list)
    ttft_p50_ms: list[float | None] = field(default_factory=list)
    ttft_p95_ms: list[float | None] = field(default_factory=list)
    cpu_stream_ms: list[float | None] = field(default_factory=list)
    failed: int = 0


def measure(run: Run) -> list[Table]:
    """The tables of the proxy's own speed."""
    backends = run.keep(Backends(instant="instant", paced="paced", classifier="classifier"))
    headstart = run.keep(servers.headstart(config(backends, KINDS)))
    plain = {kind: run.keep(servers.pass_through(backends.url(kind), THREADS)) for kind in KINDS}
    for server in (headstart, *plain.values()):
        server.wait_until_up()
    plain_ports = {kind: server.port for kind, server in plain.items()}
    plain_pids = {kind: server.pids for kind, server in plain.items()}
    competitors = [
        Competitor("direct", backends.ports, {}),
        Competitor("headstart", dict.fromkeys(KINDS, headstart.port), dict.fromkeys(KINDS, headstart.pids)),
        Competitor("pass-through", plain_ports, plain_pids),
    ]
    for competitor in competitors:
        _load(competitor, "instant", ONE, run.count(WARM_UP))
        _load(competitor, "instant", MANY, run.count(WARM_UP))
    for i in range(ROUNDS):
        run.progress(f"proxy: round {i + 1} of {ROUNDS}")
        in_turn = competitors[i % 3 :] + competitors[: i % 3]
        for competitor in in_turn:
            _one_client(competitor, run.count(REQUESTS))
        for competitor in in_turn:
            _many_clients(competitor, run.count(REQUESTS * 2))
        for competitor in in_turn:
            _streams(competitor)
    tables = [_comparison(competitors), _against_goals(competitors)]
    run.stop(headstart, *plain.values(), backends)
    return tables


def config(backends: Backends, kinds: Sequence[str]) -> JsonObject:
    """Pinned models before the upstreams of these kinds.

    The classifier is elsewhere, so that the memory is the proxy's own.
    """
    return {
        "classifier": {"backend": "openai", "base_url": backends.url("classifier"), "model": "judge"},
        "decisions": dict.fromkeys(DECISIONS, "primary"),
        "providers": {kind: backends.provider(kind) for kind in kinds},
        "routes": {"primary": {"chain": ["instant"]}},
    }


def _load(
    competitor: Competitor,
    kind: str,
    clients: int,
    count: int,
    *,
    stream: bool = False,
    spread_s: float = 0.0,
) -> tuple[Result, float | None]:
    """One run of the load generator: its result and the CPU ms per request of the competitor's processes."""
    body = {
        "model": f"{kind}-model",
        "messages": [{"role": role, "content": text} for role, text in TURNS],
        "temperature": 0.7,
        "stream": stream,
    }
    pids = competitor.pids.get(kind, [])
    before = servers.cpu_ms(pids)
    result = load.elsewhere(
        port=competitor.ports[kind],
        request=load.http_request(CHAT, body),
        clients=clients,
        count=count,
        head=HEAD if stream else None,
        spread_s=spread_s,
    )
    competitor.failed += result["failed"]
    return result, (servers.cpu_ms(pids) - before) / count if pids else None


def _one_client(competitor: Competitor, count: int) -> None:
    result, cpu_ms = _load(competitor, "instant", ONE, count)
    competitor.p50_ms.append(median(result["total_ms"]))
    competitor.cpu_ms.append(cpu_ms)


def _many_clients(competitor: Competitor, count: int) -> None:
    result, cpu_ms = _load(competitor, "instant", MANY, count)
    competitor.requests_per_s.append(len(result["total_ms"]) / result["wall_s"])
    competitor.cpu_many_ms.append(cpu_ms)


def _streams(competitor: Competitor) -> None:
    result, cpu_ms = _load(competitor, "paced", STREAMS, STREAMS * 2, stream=True, spread_s=1.0)
    competitor.ttft_p50_ms.append(median(result["ttft_ms"]))
    competitor.ttft_p95_ms.append(quantile(result["ttft_ms"], 0.95))
    competitor.cpu_stream_ms.append(cpu_ms)


def _summary(competitor: Competitor, direct: Competitor) -> dict[str, float | None]:
    """Medians over the rounds; what is added to direct calls is the difference within each round."""
    return {
        "added_p50_ms": _added(competitor.p50_ms, direct.p50_ms),
        "cpu_ms": median(competitor.cpu_ms),
        "requests_per_s": median(competitor.requests_per_s),
        "cpu_ms_c16": median(competitor.cpu_many_ms),
        "added_ttft_p50_ms": _added(competitor.ttft_p50_ms, direct.ttft_p50_ms),
        "added_ttft_p95_ms": _added(competitor.ttft_p95_ms, direct.ttft_p50_ms),
        "cpu_ms_stream": median(competitor.cpu_stream_ms),
        "rss_mb": servers.rss_mb(competitor.pids["instant"]) if competitor.pids else None,
    }


def _added(times_ms: list[float | None], base_ms: list[float | None]) -> float | None:
    return median([less(a, b) for a, b in zip(times_ms, base_ms, strict=True)])


def _comparison(competitors: list[Competitor]) -> Table:
    direct = competitors[0]
    rows: list[Row] = []
    for competitor in competitors:
        summary, is_direct = _summary(competitor, direct), competitor is direct
        rows.append(
            {
                "target": competitor.name,
                "p50 ms c1": median(competitor.p50_ms),
                "added p50 ms": None if is_direct else summary["added_p50_ms"],
                "CPU ms/request c1": summary["cpu_ms"],
                "requests/s c16": summary["requests_per_s"],
                "CPU ms/request c16": summary["cpu_ms_c16"],
                "added TTFT p50 ms c64": None if is_direct else summary["added_ttft_p50_ms"],
                "p95": None if is_direct else summary["added_ttft_p95_ms"],
                "CPU ms/stream c64": summary["cpu_ms_stream"],
                "RSS MB": summary["rss_mb"],
                "failed": competitor.failed,
            }
        )
    notes = [
        f"c1, c16, c64: concurrent clients, closed loop. Medians over {ROUNDS} rounds, the three in turn;"
        " added: over direct calls of the same round, and the",
        "p95 over their p50. CPU: of gunicorn's master and worker."
        " One worker each; Headstart writes its session files and log lines.",
        "An answer has 16 tokens at c1 and c16 (in one piece for the client);"
        " at c64 32 tokens at 25 tokens/s after 50 ms.",
    ]
    return Table("(6) The proxy itself, before an instant upstream", rows, notes)


def _against_goals(competitors: list[Competitor]) -> Table:
    direct, headstart, plain = competitors
    ours, theirs = _summary(headstart, direct), _summary(plain, direct)
    cpu_ratio = ratio(ours["cpu_ms"], theirs["cpu_ms"])
    rows = [
        _goal_row(what, limit, ours[key], theirs[key], at_least=key == "requests_per_s")
        for what, limit, key in (
            ("added p50 at 1 client, ms", ADDED_P50_MS, "added_p50_ms"),
            ("CPU per request at 1 client, ms", CPU_MS, "cpu_ms"),
            ("requests/s at 16 clients", REQUESTS_PER_S, "requests_per_s"),
            ("added TTFT p50 at 64 streams, ms", TTFT_P50_MS, "added_ttft_p50_ms"),
            ("added TTFT p95 at 64 streams, ms", TTFT_P95_MS, "added_ttft_p95_ms"),
            ("memory without models, MB", RSS_MB, "rss_mb"),
        )
    ]
    cpu_row = _goal_row("CPU at 1 client, times the pass-through's", CPU_RATIO, cpu_ratio, 1.0)
    rows.append({**cpu_row, "ratio": cpu_ratio})
    return Table("The proxy itself against its targets", rows)


def _goal_row(
    what: str, limit: float, ours: float | None, theirs: float | None, at_least: bool = False
) -> Row:
    met = ours is not None and (ours >= limit if at_least else ours <= limit)
    return {
        "what": what,
        "target": f"{'>=' if at_least else '<='} {limit}",
        "headstart": ours,
        "pass-through": theirs,
        "ratio": ratio(ours, theirs),
        "met": "yes" if met else "NO",
    }
