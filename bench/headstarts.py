"""The Headstarts that are compared: three modes before scripted backends, or the one that runs already."""

import time
import urllib.parse
from typing import TYPE_CHECKING

from bench import servers
from bench.client import JsonObject
from bench.record import Record
from bench.run import Run
from bench.targets import DECISIONS, Direct, Target, body_for

if TYPE_CHECKING:
    from settings.model import Provider

CLASSIFIER_LOADS_S = 60.0  # how long an embedded classifier may take from the start of its process

MODES = (  # name, whether it speculates, whether its classifier is embedded
    ("sequential", False, False),
    ("speculation", True, False),
    ("embedded", True, True),
)


def start_scripted(run: Run) -> None:
    """Compare the three modes, before the same backends."""
    run.progress(
        f"starting scripted backends (times x {run.scale:g})"
        " and three Headstarts: sequential, speculation, embedded"
    )
    kinds = {name: f"{name}:{run.scale}" for name in ("classifier", "primary", "cloud")}
    backends = run.keep(servers.Backends(**kinds))
    started = []
    for name, speculates, embedded in MODES:
        server = run.keep(servers.headstart(_scripted_config(backends, speculates, embedded)))
        record = Record(server.folder / "app.log", server.folder / "sessions")
        run.targets.append(Target(name, server.url, record, server.port))
        started.append(server)
    for server in started:
        server.wait_until_up()


def _scripted_config(backends: servers.Backends, speculates: bool, embedded: bool) -> JsonObject:
    judge = {"backend": "openai", "base_url": backends.url("classifier"), "model": "judge"}
    routes = ("primary", "primary", "xai", "enrich", "meta")
    return {
        "classifier": {"backend": "mlx", "model": "builtin"} if embedded else judge,
        "speculation": {"enabled": speculates},
        "decisions": dict(zip(DECISIONS, routes, strict=True)),
        "providers": {"primary-server": backends.provider("primary"), "cloud": backends.provider("cloud")},
        "routes": {
            "primary": {"chain": ["primary-server"]},
            "meta": {"chain": ["primary-server"]},
            "xai": {"chain": ["cloud"]},
            "enrich": {"context": "cloud", "answer": "primary", "tools": ["web_search", "x_search"]},
        },
    }


def find_live(run: Run, url: str) -> None:
    """Measure the Headstart at `url`, or one started with the checkout's configuration if none answers there.

    Raises servers.CannotStart when it answers no chat request.
    """
    # Imported here: reading the configuration takes packages that --help must do without.
    from settings import loader

    config = loader.load()
    url, keys = url.rstrip("/").removesuffix("/v1"), config.server.keys
    if not servers.answers(url):
        run.progress(f"nothing answers at {url}: starting a Headstart of our own with {config.path.name}")
        url = run.keep(servers.headstart()).wait_until_up().url
    record = Record(config.written(config.log.file), config.written(config.sessions.dir))
    headers = {"Authorization": f"Bearer {keys[0].key}"} if keys else {}
    target = Target("headstart", url, record, urllib.parse.urlsplit(url).port or 80, headers)
    run.progress(f"measuring {url}; the first answer may wait for models to load")
    first = target.chat(body_for("MODERATE", max_tokens=1))
    if first.error:
        raise servers.CannotStart(f"{url} does not answer a chat request: {first.error}")
    if not first.session or not record.request_lines([first.session]):
        target.record = None
        run.notes.append(
            f"The log of {url} is out of reach from here:"
            " parts of latencies are from Server-Timing, and there are no direct calls."
        )
    run.targets = [target]
    run.direct = Direct(lambda name: _headers_for(config.providers.get(name)))


def _headers_for(provider: "Provider | None") -> dict[str, str]:
    if provider is None:
        return {}
    authorization = {"Authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}
    return {**authorization, **provider.headers}


def check_decisions(run: Run) -> None:
    """Note which texts a target's classifier decides otherwise, as soon as an embedded one has loaded."""
    for target in run.targets:
        run.progress(f"checking what the classifier of {target.name} makes of the texts")
        for route in ("MODERATE", "COMPLEX", "ENRICH"):
            decided = _loaded_decision(target, body_for(route)["messages"])
            if decided != route:
                run.misjudged.append(
                    f"NOTE: {target.name} decides the text for {route} as {decided};"
                    " its row shows that route instead."
                )


def _loaded_decision(target: Target, messages: list[JsonObject]) -> str | None:
    """What the target's classifier decides, once it is there to do so."""
    deadline = time.monotonic() + CLASSIFIER_LOADS_S
    while True:
        decision, source = target.decide(messages)
        if source != "on_failure" or time.monotonic() > deadline:
            return decision
        time.sleep(0.5)
