"""`make health`: who answers what, and how everybody is. The exit status is 0 only when all is well."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from console import screen
from console.server import Server, find
from terminal.command import run_and_exit
from wire import JsonObject


def main() -> int:
    """Print the report of the running server, with everybody asked anew. Returns an exit status."""
    options = screen.options("health", "How the running server and everybody behind it are.").parse_args()
    server = find()
    with screen.busy("Asking everybody, which takes 5 s at most"):
        report = server.get("/health", fresh="1")
    if options.json:
        screen.show_json(report)
    else:
        screen.show(shown(report, server))
    return 0 if report["status"] == "healthy" else 1


def shown(report: JsonObject, server: Server) -> Iterator[RenderableType]:
    """A report of /health as tables."""
    since = f" since {_moment(server.announced.started_at)}" if server.announced else ""
    about = f"  version {report['version']}{since}"
    yield Text.assemble(screen.status(report["status"]), f"  {server.url}", (about, "dim"))
    for mistake in report["config"]["rejected"]:
        yield Text(f"not in effect, since it is faulty: {mistake}", "red")
    yield ""
    yield _decisions(report)
    yield ""
    yield _everybody(report)
    off = [f"{name} ({entry['error']})" for name, entry in report["providers"].items() if _is_off(entry)]
    if off:
        yield ""
        yield Text(f"not in use: {', '.join(off)}", "dim")


def _decisions(report: JsonObject) -> RenderableType:
    """Who answers which kind of request, what is missing and how to mend it."""
    table = screen.table("decision", "answered by", "")
    for entry in report["decisions"]:
        trouble = "red" if not entry["provider"] else "yellow" if entry["degraded"] else ""
        missing, repair = entry["missing"] or "", entry["repair"] or ""
        table.add_row(
            entry["decision"],
            Text(entry["provider"] or "nobody", trouble),
            Text.assemble((missing, trouble), (f" ({repair})" if repair else "", "dim")),
        )
    return table


def _everybody(report: JsonObject) -> RenderableType:
    """The providers and the classifier, with what is wrong with each in words."""
    table = screen.table("provider", "status", "ms", "model", "", numbers=["ms"])
    for name, entry in {**report["providers"], "classifier": report["classifier"]}.items():
        if _is_off(entry):
            continue
        ms = entry.get("latency_ms")
        table.add_row(
            name,
            screen.status(entry["status"]),
            "" if ms is None else f"{ms:,}",
            entry.get("model") or "",
            Text(entry.get("error") or "", screen.STYLES.get(entry["status"], "")),
        )
    return table


def _is_off(entry: JsonObject) -> bool:
    return bool(entry["status"] == "disabled")


def _moment(timestamp: str) -> str:
    """A moment to the minute, in this machine's time."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    run_and_exit(main)
