"""The alerts there are, in words. None has the text of a chat, a key or an address in it."""

from typing import NamedTuple

from accounting.budgets import Spending

BUDGET_80, BUDGET_100 = "budget_80", "budget_100"
FALLBACK, CONFIG_REJECTED, KEY_REFUSED = "fallback", "config_rejected", "key_refused"
DEFAULT, HIGH = 3, 4  # ntfy's priorities
MISTAKE_CHARS = 1500  # of a mistake that are told; ntfy takes 4096 bytes


class Alert(NamedTuple):
    """One message to the owner.

    event: one of the words above. priority, tags: as ntfy has them (docs.ntfy.sh/publish). details: the
    message's facts, for a webhook.
    """

    event: str
    title: str
    message: str
    details: dict[str, str | float | None]
    priority: int = DEFAULT
    tags: tuple[str, ...] = ("warning",)


def budget_alert(spending: Spending, *, is_spent: bool) -> Alert:
    """A budget has come to its end, or to four fifths of it."""
    whose = f" of the key {spending.key}" if spending.key else ""
    until = f"{spending.end:%Y-%m-%d %H:%M}"
    share = spending.spent_usd / spending.limit_usd
    amounts = f"{_usd(spending.spent_usd)} of {_usd(spending.limit_usd)} USD ({share:.0%})"
    said = f"The {spending.period} budget{whose}: {amounts} are spent"
    details = {
        "key": spending.key,
        "period": spending.period,
        "spent_usd": spending.spent_usd,
        "limit_usd": spending.limit_usd,
        "until": spending.end.isoformat(),
    }
    if not is_spent:
        message = f"{said}; it starts anew on {until}."
        return Alert(BUDGET_80, "Headstart: 80 % of a budget is spent", message, details, tags=("moneybag",))
    message = f"{said}. Until {until} answers come from home alone."
    return Alert(BUDGET_100, "Headstart: a budget is spent", message, details, HIGH, ("moneybag", "no_entry"))


def fallback_alert(route: str, first: str, answering: str, minutes: int) -> Alert:
    """A route's first provider has not answered for a while. answering: who did last."""
    return Alert(
        FALLBACK,
        "Headstart: a route lives on a fallback",
        f"For {minutes} minutes the route {route} has been answered by {answering}, not by {first}. "
        "GET /health tells why.",
        {"route": route, "provider": first, "answering": answering},
        HIGH,
    )


def rejected_alert(mistake: str) -> Alert:
    """An edit of the configuration cannot be used. mistake: what the log says of it, a line for each."""
    return Alert(
        CONFIG_REJECTED,
        "Headstart: the configuration was rejected",
        f"{mistake[:MISTAKE_CHARS]}\nWhat was in effect before stays so.",
        {"mistake": mistake},
    )


def refused_alert(provider: str) -> Alert:
    """A provider does not accept the owner's key."""
    return Alert(
        KEY_REFUSED,
        "Headstart: a provider refuses its key",
        f"The provider {provider} refuses its key. It is left alone until its settings are mended.",
        {"provider": provider},
        HIGH,
        ("key",),
    )


def _usd(amount: float) -> str:
    """An amount with the cents, or with as many digits as a small one needs."""
    return f"{amount:.2f}" if amount >= 0.1 else f"{amount:.2g}"
