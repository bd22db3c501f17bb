"""Section 9: what a decision takes by itself, and what becomes of many at once.

It starts its own Headstart, with the embedded classifier.
"""

import re
import time

from bench import load, servers
from bench.client import JsonObject
from bench.run import Run
from bench.servers import Gunicorn
from bench.tables import Row, Table, median, quantile
from bench.targets import CLASSIFY, DECISIONS, Target

ALONE, ROUNDS = 200, 20
AT_ONCE = 32
LOADS_S = 60.0  # how long the classifier may take to load
SHORT = (  # some 30 tokens
    "what would be a good way to store fresh basil for about a week"
    " without the leaves going black in the fridge at home"
)
PARAGRAPH = (
    "We moved into the flat in spring and the kitchen gets a lot of sun in the morning,"
    " so the herbs stand by the window and the basil does best of all,"
    " although it wilts when nobody waters it over the weekend and comes back when somebody does. "
)
_DECIDED = re.compile(r"Classification completed: .* source=(\S+)")


def deciding(run: Run) -> list[Table]:
    """(9) POST /v1/classify, alone and 32 at once."""
    server = run.keep(servers.headstart(_config())).wait_until_up()
    roles = ("user", "assistant", "user", "assistant")
    before = [{"role": role, "content": PARAGRAPH * 8} for role in roles]
    conversations = {
        "30 tokens": [{"role": "user", "content": SHORT}],
        "2,000 tokens in 5 turns": [*before, {"role": "user", "content": PARAGRAPH + SHORT}],
    }
    _wait_until_loaded(server)
    rows = []
    for name, messages in conversations.items():
        request = load.http_request(CLASSIFY, {"messages": messages})
        for clients, count in ((1, run.count(ALONE)), (AT_ONCE, AT_ONCE * run.count(ROUNDS))):
            run.progress(f"(9) {count} decisions of {name}, {clients} at once")
            rows.append(_row(server, name, request, clients, count))
    run.stop(server)
    note = (
        f"The whole request. {AT_ONCE} at once: each client asks again as soon as it has been answered."
        " By rules: what waited too long for the model."
    )
    return [Table("(9) Decisions", rows, [note])]


def _config() -> JsonObject:
    return {
        "providers": {"off": {"kind": "openai", "base_url": "", "model": "never"}},
        "routes": {"primary": {"chain": ["off"]}},
        "decisions": dict.fromkeys(DECISIONS, "primary"),
        "classifier": {"backend": "mlx"},
    }


def _wait_until_loaded(server: Gunicorn) -> None:
    target, deadline = Target("deciding", server.url, None, server.port), time.monotonic() + LOADS_S
    while time.monotonic() < deadline:
        _, source = target.decide([{"role": "user", "content": "hello"}])
        if source == "mlx":
            return
        time.sleep(0.1)
    raise servers.CannotStart("the embedded classifier did not load")


def _row(server: Gunicorn, name: str, request: bytes, clients: int, count: int) -> Row:
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


def _sources(server: Gunicorn) -> list[str]:
    """Who made each decision so far, by the log, rotated parts included."""
    files = sorted(server.folder.glob("app.log*"), reverse=True)
    return [source for file in files for source in _DECIDED.findall(file.read_text(errors="replace"))]
