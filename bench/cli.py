"""The command: which sections, against what, and where the results go."""

import argparse
import json
import os
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from bench import deciding, headstarts, own_instances, proxy, sections, servers
from bench.client import JsonObject
from bench.run import DEFAULT_REQUESTS, Run
from bench.tables import Table

Section = Callable[[Run], list[Table]]

SECTIONS: dict[int, tuple[str, Section]] = {
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
COMPARING = {1, 2, 3, 4, 5, 6}  # the sections that compare the Headstarts of headstarts.py
DEFAULT_URL = "http://127.0.0.1:8002"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables, write JSON. Returns the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Whoever sends an interrupt means it, also where a shell started us in the background with SIGINT
    # ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Run(requests=options.requests, scripted=options.scripted, scale=options.scale) as run:
        try:
            _measure(run, options)
        except servers.CannotStart as error:
            print(f"Benchmark: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            run.progress("interrupted; what was measured so far:")
            _report(run, options, complete=False)
            return 130
        _report(run, options, complete=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {number}  {title}" for number, (title, _) in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="Benchmark",
        description="Measures Headstart and prints tables; progress goes to stderr, results to a JSON file.",
        epilog=(
            f"sections:\n{listed}\n\nSections 7 to 9, and the proxy itself in 6,"
            " use scripted instances of their own. Compare within one run only."
        ),
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
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--scripted",
        action="store_true",
        help="against scripted backends: sequential, speculating and embedded classifier side by side",
    )
    mode.add_argument(
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


def _numbers(text: str) -> list[int]:
    try:
        chosen = [int(word) for word in text.split(",")]
    except ValueError:
        chosen = []
    if not chosen or not set(chosen) <= set(SECTIONS):
        raise argparse.ArgumentTypeError(f"'{text}': numbers from 1 to {len(SECTIONS)}, separated by commas")
    return sorted(set(chosen))


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    positive.__name__ = "positive number"
    return positive


def _measure(run: Run, options: argparse.Namespace) -> None:
    if options.proxy:
        run.tables["proxy"] = proxy.measure(run)
        return
    if set(options.only) & COMPARING:
        if run.scripted:
            headstarts.start_scripted(run)
        else:
            headstarts.find_live(run, options.url)
        headstarts.check_decisions(run)
    for number in options.only:
        title, section = SECTIONS[number]
        run.progress(f"({number}) {title}")
        run.tables[str(number)] = section(run)


def _report(run: Run, options: argparse.Namespace, *, complete: bool) -> None:
    """Print the tables and write the JSON."""
    print()
    for number, tables in run.tables.items():
        for table in tables:
            print(table.text(), end="\n\n")
            if number == "5" and run.scripted:
                print("The same for the README:\n\n" + table.markdown(), end="\n\n")
    for note in run.notes:
        print(note)
    file = options.output or Path(f"benchmark-{run.began:%Y-%m-%d_%H-%M-%S}.json")
    file.write_text(json.dumps(_results(run, options, complete), indent=1) + "\n")
    print(f"Results: {file}")


def _results(run: Run, options: argparse.Namespace, complete: bool) -> JsonObject:
    return {
        "command": options.command,
        "began": run.began.isoformat(timespec="seconds"),
        "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
        "complete": complete,
        "mode": "proxy" if options.proxy else "scripted" if run.scripted else "live",
        "requests": run.requests,
        "scale": run.scale if run.scripted else None,
        "targets": {target.name: target.url for target in run.targets},
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "sections": {
            number: [{"title": table.title, "rows": table.rows, "notes": table.notes} for table in tables]
            for number, tables in run.tables.items()
        },
        "notes": run.notes,
    }
