"""Section 9: what a decision takes by itself, and what becomes of many at once. It starts its own Headstart, with the embedded classifier."""

import re
import time

from bench import client, load, servers
from bench.tables import Table, median, quantile

PATH = "/v1/classify"
ALONE, ROUNDS = 200, 20
AT_ONCE = 32
LOADS_S = 60.0  # how long the classifier may take to load
SHORT = "what would be a good way to store fresh basil for about a week without the leaves going black in the fridge at home"  # some 30 tokens
PARAGRAPH = (
    "We moved into the flat in spring and the kitchen gets a lot of sun in the morning, so the herbs stand by the window and the basil does best of all, "
    "although it wilts when nobody waters it over the weekend and comes back when somebody does. "
)
_DECIDED = re.compile(r"Classification completed: .* source=(\S+)")


def deciding(run):
    """(9) POST /v1/classify, alone and 32 at once."""
    server = run.starts(servers.headstart(_config())).wait_until_up()
    long = [
        {"role": role, "content": PARAGRAPH * 8} for role in ("user", "assistant", "user", "assistant")
    ] + [{"role": "user", "content": PARAGRAPH + SHORT}]
    texts = {"30 tokens": [{"role": "user", "content": SHORT}], "2,000 tokens in 5 turns": long}
    _wait_until_loaded(server)
    rows = []
    for name, messages in texts.items():
        request = load.http_request(PATH, {"messages": messages})
        for clients, count in ((1, run.count(ALONE)), (AT_ONCE, AT_ONCE * run.count(ROUNDS))):
            run.tell(f"(9) {count} decisions of {name}, {clients} at once")
            rows.append(_row(server, name, request, clients, count))
    run.stops(server)
    notes = [
        f"The whole request. {AT_ONCE} at once: each client asks again as soon as it has been answered. By rules: what waited too long for the model."
    ]
    return [Table("(9) Decisions", rows, notes)]


def _config():
    off = {"kind": "openai", "base_url": "", "model": "never"}
    decisions = dict.fromkeys(("SIMPLE", "MODERATE", "COMPLEX", "ENRICH", "META"), "primary")
    return {
        "providers": {"off": off},
        "routes": {"primary": {"chain": ["off"]}},
        "decisions": decisions,
        "classifier": {"backend": "mlx"},
    }


def _wait_until_loaded(server):
    deadline = time.monotonic() + LOADS_S
    while time.monotonic() < deadline:
        told = client.ask(server.url + PATH, {"messages": [{"role": "user", "content": "hello"}]}).body
        if (told or {}).get("source") == "mlx":
            return
        time.sleep(0.1)
    raise servers.CannotStart("the embedded classifier did not load")


def _row(server, name, request, clients, count):
    before = len(_sources(server))
    took = load.elsewhere(port=server.port, request=request, clients=clients, count=count)["total_ms"]
    sources = _sources(server)[before:]
    return {
        "conversation": name,
        "at once": clients,
        "requests": len(took),
        "p50 ms": median(took),
        "p95 ms": quantile(took, 0.95),
        "slowest ms": max(took),
        "by rules %": 100 * sources.count("rules") / max(1, len(sources)),
    }


def _sources(server):
    """Who made each decision so far, by the log, rotated parts included."""
    files = sorted(server.folder.glob("app.log*"), reverse=True)
    return [source for file in files for source in _DECIDED.findall(file.read_text(errors="replace"))]
