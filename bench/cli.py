"""The command: which sections, against what, and where the results go."""

import argparse
import contextlib
import json
import os
import platform
import shlex
import signal
import sys
import time
import urllib.parse
from datetime import datetime
from pathlib import Path

from bench import deciding, own_instances, proxy, sections, servers
from bench.record import Record

SECTIONS = {
    1: ("latency per route, with its parts from the log", sections.latency),
    2: ("tokens per second", sections.tokens),
    3: ("a long context of 8K tokens", sections.long_context),
    4: ("10 and 50 concurrent requests", sections.crowds),
    5: ("streaming TTFT, direct and routed", sections.streaming),
    6: ("routing overhead, CPU per request, the proxy itself", sections.overhead),
    7: ("health with all backends up, one down, all down", own_instances.health),
    8: ("session writes and clean-up at 0, 5,000 and 50,000 files", own_instances.sessions),
    9: ("decisions by themselves, alone and 32 at once", deciding.deciding),
}
DEFAULT_URL = "http://127.0.0.1:8002"
DEFAULT_REQUESTS = 10
CLASSIFIER_LOADS_S = 60.0  # how long an embedded classifier may take from the start of its process


def main(arguments=None):
    """Measure, print tables, write JSON. Returns the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Run(options) as run:
        try:
            run.measure()
        except servers.CannotStart as error:
            print(f"Benchmark: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            run.tell("interrupted; what was measured so far:")
            run.report(complete=False)
            return 130
        run.report(complete=True)
    return 0


def _options(arguments):
    sections_told = "\n".join(f"  {number}  {title}" for number, (title, _) in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="Benchmark",
        description="Measures Headstart and prints tables; progress goes to stderr, results to a JSON file.",
        epilog=f"sections:\n{sections_told}\n\nSections 7 to 9, and the proxy itself in 6, use scripted instances of their own. Compare within one run only.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--url",
        default=DEFAULT_URL,
        help="the running Headstart (%(default)s); if none answers there, one is started and stopped again",
    )
    parser.add_argument(
        "--only", metavar="1,5,6", type=_numbers, default=list(SECTIONS), help="only these sections"
    )
    parser.add_argument(
        "--requests",
        metavar="N",
        type=_positive(int),
        default=DEFAULT_REQUESTS,
        help="requests per measurement (%(default)s)",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="where the results go (benchmark-<timestamp>.json)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--scripted",
        action="store_true",
        help="against scripted backends: sequential, speculating and embedded classifier side by side",
    )
    what.add_argument(
        "--proxy",
        action="store_true",
        help="only the proxy itself, beside direct calls and a ten-line pass-through",
    )
    parser.add_argument(
        "--scale",
        type=_positive(float),
        default=1.0,
        help="with --scripted: shrink the backends' times, for example 0.1 (%(default)s)",
    )
    options = parser.parse_args(arguments)
    options.command = shlex.join(["./Benchmark", *(sys.argv[1:] if arguments is None else arguments)])
    return options


def _numbers(text):
    try:
        chosen = [int(word) for word in text.split(",")]
    except ValueError:
        chosen = []
    if not chosen or not set(chosen) <= set(SECTIONS):
        raise argparse.ArgumentTypeError(f"'{text}': numbers from 1 to {len(SECTIONS)}, separated by commas")
    return sorted(set(chosen))


def _positive(kind):
    def positive(text):
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    positive.__name__ = "positive number"
    return positive


class Run:
    """One run: what is measured, what was started for it, what came out. Leaving it stops everything it started."""

    def __init__(self, options):
        self.requests = options.requests
        self.scale = options.scale
        self.scripted = options.scripted
        self.targets = []
        self.direct = None
        self._options = options
        self._started = []
        self._tables = {}  # section -> its tables
        self._notes = []
        self._misjudged = []
        self._taken = None
        self._began = datetime.now().astimezone()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with _undisturbed():
            for server in reversed(self._started):
                server.stop()

    # For the sections.

    def starts(self, server):
        """Note a started process, to be stopped at the latest when the run ends."""
        self._started.append(server)
        return server

    def stops(self, server):
        self._started.remove(server)
        server.stop()

    def count(self, usual):
        """A usual number of requests, shrunk or enlarged by --requests."""
        return max(proxy.MANY, usual * self.requests // DEFAULT_REQUESTS)

    def tell(self, step):
        print(f"{datetime.now():%H:%M:%S} {step}", file=sys.stderr, flush=True)

    def taken(self):
        """What requests on each route took; measured at the first call."""
        if self._taken is None:
            self._taken = sections.routes_taken(self)
        return self._taken

    def misjudged(self):
        """A note for each text that a target's classifier does not decide as meant."""
        return self._misjudged

    # The road.

    def measure(self):
        if self._options.proxy:
            self._tables["proxy"] = proxy.measure(self)
            return
        if set(self._options.only) & {1, 2, 3, 4, 5, 6}:
            if self.scripted:
                self._start_scripted()
            else:
                self._find_live()
            self._check_decisions()
        for number in self._options.only:
            title, section = SECTIONS[number]
            self.tell(f"({number}) {title}")
            self._tables[str(number)] = section(self)

    def _start_scripted(self):
        self.tell(
            f"starting scripted backends (times x {self.scale:g}) and three Headstarts: sequential, speculation, embedded"
        )
        backends = self.starts(
            servers.Backends(**{name: f"{name}:{self.scale}" for name in ("classifier", "primary", "cloud")})
        )
        for name, speculates, embedded in (
            ("sequential", False, False),
            ("speculation", True, False),
            ("embedded", True, True),
        ):
            server = self.starts(servers.headstart(_scripted_config(backends, speculates, embedded)))
            self.targets.append(
                sections.Target(
                    name,
                    server.url,
                    Record(server.folder / "app.log", server.folder / "sessions"),
                    server.port,
                )
            )
        for server in self._started[1:]:
            server.wait_until_up()
        self.direct = sections.Direct(lambda provider: {})

    def _find_live(self):
        # Imported here: reading the configuration takes packages that --help must do without.
        from settings import loader

        config = loader.load()
        url, keys = self._options.url.rstrip("/").removesuffix("/v1"), config.server.api_keys
        if not servers.answers(url):
            self.tell(f"nothing answers at {url}: starting a Headstart of our own with {config.path.name}")
            url = self.starts(servers.headstart()).wait_until_up().url
        record = Record(config.resolve(config.log.file), config.resolve(config.sessions.dir))
        headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
        target = sections.Target("headstart", url, record, urllib.parse.urlsplit(url).port or 80, headers)
        self.tell(f"measuring {url}; the first answer may wait for models to load")
        first = target.ask(sections.body_for("MODERATE", max_tokens=1))
        if first.error:
            raise servers.CannotStart(f"{url} does not answer a chat request: {first.error}")
        if not first.session or not record.request_lines([first.session]):
            target.record = None
            self._notes.append(
                f"The log of {url} is out of reach from here: parts of latencies are from Server-Timing, and there are no direct calls."
            )
        self.targets = [target]
        self.direct = sections.Direct(lambda name: _provider_headers(config.providers.get(name)))

    def _check_decisions(self):
        """Ask each target's classifier about the texts, as soon as an embedded one has loaded."""
        for target in self.targets:
            self.tell(f"checking what the classifier of {target.name} makes of the texts")
            for route in ("MODERATE", "COMPLEX", "ENRICH"):
                decided = _loaded_decision(target, sections.body_for(route)["messages"])
                if decided != route:
                    self._misjudged.append(
                        f"NOTE: {target.name} decides the text for {route} as {decided}; its row shows that route instead."
                    )

    # The end.

    def report(self, *, complete):
        """Print the tables and write the JSON."""
        print()
        for number, tables in self._tables.items():
            for table in tables:
                print(table.text(), end="\n\n")
                if number == "5" and self.scripted:
                    print("The same for the README:\n\n" + table.markdown(), end="\n\n")
        for note in self._notes:
            print(note)
        file = self._options.output or Path(f"benchmark-{self._began:%Y-%m-%d_%H-%M-%S}.json")
        file.write_text(json.dumps(self._results(complete), indent=1) + "\n")
        print(f"Results: {file}")

    def _results(self, complete):
        return {
            "command": self._options.command,
            "began": self._began.isoformat(timespec="seconds"),
            "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
            "complete": complete,
            "mode": "proxy" if self._options.proxy else "scripted" if self.scripted else "live",
            "requests": self.requests,
            "scale": self.scale if self.scripted else None,
            "targets": {target.name: target.url for target in self.targets},
            "machine": {
                "system": platform.platform(),
                "cores": os.cpu_count(),
                "load": os.getloadavg(),
                "python": platform.python_version(),
            },
            "sections": {
                number: [{"title": table.title, "rows": table.rows, "notes": table.notes} for table in tables]
                for number, tables in self._tables.items()
            },
            "notes": self._notes,
        }


def _loaded_decision(target, messages):
    """What the target's classifier decides, once it is there to do so."""
    deadline = time.monotonic() + CLASSIFIER_LOADS_S
    while True:
        decision, source = target.decide(messages)
        if source != "on_failure" or time.monotonic() > deadline:
            return decision
        time.sleep(0.5)


def _scripted_config(backends, speculates, embedded):
    provider = lambda name: {"kind": "openai", "base_url": backends.url(name), "model": f"{name}-model"}
    judge = {"backend": "openai", "base_url": backends.url("classifier"), "model": "judge"}
    return {
        "classifier": {"backend": "mlx", "model": "builtin"} if embedded else judge,
        "speculation": {"enabled": speculates},
        "decisions": {
            "SIMPLE": "primary",
            "MODERATE": "primary",
            "COMPLEX": "xai",
            "ENRICH": "enrich",
            "META": "meta",
        },
        "providers": {"primary-server": provider("primary"), "cloud": provider("cloud")},
        "routes": {
            "primary": {"chain": ["primary-server"]},
            "meta": {"chain": ["primary-server"]},
            "xai": {"chain": ["cloud"]},
            "enrich": {"context": "cloud", "answer": "primary", "tools": ["web_search", "x_search"]},
        },
    }


def _provider_headers(provider):
    if provider is None:
        return {}
    return {
        **({"Authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}),
        **provider.headers,
    }


@contextlib.contextmanager
def _undisturbed():
    """No second Ctrl-C while things are being stopped."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
