"""`make costs`: what the calls of today and of 7 days cost. Without a server, the ledger itself is read."""

import argparse
from collections.abc import Callable, Iterator

from rich.console import RenderableType
from rich.text import Text
from sqlalchemy.exc import ArgumentError

from accounting.costs import GROUPS, TOKENS, Costs, cloud_of
from accounting.ledger import Ledger, LedgerUnreadable, located
from console import screen
from console.server import Server, Unasked, configuration, find
from errors import ConfigError
from settings.decisions import Decision
from settings.model import Config
from terminal.command import run_and_exit
from wire import JsonObject

NUMBERS = ("calls", "input", "cached", "output", "reasoning", "USD")
WEEK = "7d"

Since = Callable[[str], JsonObject]  # what /v1/costs tells since a date or an age


def main() -> int:
    """Print what the calls cost. Returns an exit status."""
    options = _options()
    setting = None
    try:
        server = find(named=True)
        setting, since = server.setting, _of_server(server, options.by)
        week = since(WEEK)
    except Unasked as error:
        since = _of_ledger((setting or configuration()).known, options.by)
        week = since(WEEK)
        screen.note(f"Read from the ledger: {error}")
    today = since(week["until"][:10])
    if options.json:
        screen.show_json({"today": today, "week": week})
    else:
        screen.show(shown(today, week))
    return 0


def _options() -> argparse.Namespace:
    parser = screen.options("costs", "What the calls of today and of 7 days cost.")
    parser.add_argument("--by", choices=GROUPS, help="these sums alone")
    return parser.parse_args()


def _of_server(server: Server, by: str | None) -> Since:
    return lambda since: server.get("/v1/costs", since=since, by=by)


def _of_ledger(config: Config, by: str | None) -> Since:
    """What the server would tell. Raises ConfigError for a ledger that is not named rightly."""

    def since(text: str) -> JsonObject:
        try:
            ledger = Ledger(located(config.ledger.url, config.written))
            try:
                return Costs(ledger, config.timezone, cloud).since(text, by=by)
            finally:
                ledger.close()
        except ArgumentError as error:
            raise ConfigError(config.path.name, 0, "ledger.url", "is no URL of a ledger") from error
        except LedgerUnreadable as error:
            raise Unasked(str(error)) from error

    cloud = cloud_of(config.chain_of(config.decisions[Decision.COMPLEX]), config.providers)
    return since


def shown(today: JsonObject, week: JsonObject) -> Iterator[RenderableType]:
    """Two reports of /v1/costs as a table, and what may be learnt from the week's."""
    table = screen.table("", "", *NUMBERS, numbers=NUMBERS)
    table.add_row("today", "", *_cells(today["total"]))
    table.add_row("7 days", "", *_cells(week["total"]))
    for group in GROUPS:
        entries = week.get(f"{group}s", [])
        if entries:
            table.add_row()
        for sums in entries:
            table.add_row(Text(group, "dim"), sums[group] or "-", *_cells(sums))
    yield table
    closing = list(_closing_lines(week)) if "speculation" in week else []
    yield from (["", *closing] if closing else [])


def _cells(sums: JsonObject) -> Iterator[RenderableType]:
    yield from (f"{sums[name]:,}" for name in ("calls", *TOKENS))
    cost = sums["cost_usd"]
    yield Text(_usd(cost), "yellow" if cost is None else "bold" if cost else "dim")


def _closing_lines(week: JsonObject) -> Iterator[str]:
    cloud, speculation, unpriced = week["all_cloud"], week["speculation"], week["total"]["unpriced_calls"]
    if unpriced:
        yield f"{_counted(unpriced, 'call')} without a known price, in no sum."
    if cloud:
        cost = f"{_usd(cloud['cost_usd'])} for {_counted(cloud['calls'], 'answered call')}"
        yield f"All in the cloud ({cloud['provider']}, {cloud['model']}): {cost}."
    if speculation["calls"]:
        adopted = f"{speculation['adopted']:,} of {_counted(speculation['calls'], 'call')} adopted"
        others = f"{speculation['cancelled']:,} cancelled and {speculation['failed']:,} failed"
        wasted = f"{speculation['wasted_tokens']:,} tokens ({_usd(speculation['wasted_usd'])})"
        yield f"Speculation: {adopted}, which saved {speculation['saved_ms'] / 1000:,.1f} s;"
        yield f"{others}, which wasted {wasted}."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.4f}"


if __name__ == "__main__":
    run_and_exit(main)
