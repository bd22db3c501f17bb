"""`make config`: every setting in effect and where it came from, secrets masked.

The running server tells its own. Where none runs, it is what the next start will have.
"""

from rich.text import Text

from console import screen
from console.server import Setting, Unasked, configuration, find
from settings import report
from terminal.command import run_and_exit
from wire import JsonObject


def main() -> int:
    """Print the effective settings. Returns an exit status."""
    options = screen.options("config", "Every setting in effect and where it came from.").parse_args()
    effective, whose, setting = _arguments()
    if options.json:
        screen.show_json(effective)
    else:
        screen.note(f"# {effective['file']}, {whose}")
        screen.show([_coloured(report.text(effective))])
    if setting.mistake:
        screen.note(f"headstart: not in effect, since it is faulty: {setting.mistake}")
    return 1 if setting.mistake else 0


def _arguments() -> tuple[JsonObject, str, Setting]:
    """(what is in effect, where, the configuration as its files are now). Raises ConfigError."""
    setting = None
    try:
        server = find(named=True)
        setting = server.setting
        return server.get("/v1/config"), f"in effect at {server.url}", setting
    except Unasked as error:
        setting = setting or configuration()
        return report.effective(setting.known), f"as the next start will have it ({error})", setting


def _coloured(text: str) -> Text:
    """The report with its comments dimmed, and bright where a value is not a default."""
    return Text("\n").join(map(_coloured_line, text.splitlines()))


def _coloured_line(line: str) -> Text:
    value, mark, origin = line.rpartition("  # ")
    if not mark:
        return Text(line)
    return Text.assemble((value, "" if origin == report.DEFAULT else "bold"), (mark + origin, "dim"))


if __name__ == "__main__":
    run_and_exit(main)
