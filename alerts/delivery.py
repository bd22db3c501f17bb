"""One alert on its way: to an ntfy topic, or as JSON to a webhook.

ntfy takes the text as the body and the rest as headers (docs.ntfy.sh/publish). The address may have
credentials in it, and a topic's name is a password of sorts: neither stands in a log line.
"""

from datetime import datetime
from enum import Enum

import requests

from alerts.alert import Alert
from settings.model import Alerts as Settings

TIMEOUT_S = 5.0  # to connect, and again to answer


class Outcome(Enum):
    """LATER: another try may help. REFUSED: it would not."""

    SENT = "sent"
    LATER = "later"
    REFUSED = "refused"


def deliver(alert: Alert, at: datetime, settings: Settings, *, is_late: bool = False) -> tuple[Outcome, str]:
    """Send an alert, once. Returns (what came of it, what went wrong, in words without the address).

    at: when it happened, an aware datetime. is_late: a text says when it happened.
    """
    body, headers = _ntfy(alert, at if is_late else None) if settings.kind == "ntfy" else _webhook(alert, at)
    try:
        answer = requests.post(
            settings.url,
            json=body if isinstance(body, dict) else None,
            data=body if isinstance(body, bytes) else None,
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
    except (requests.RequestException, OSError, ValueError) as error:
        return Outcome.LATER, type(error).__name__  # its text would name the address
    if answer.status_code < 300:
        return Outcome.SENT, ""
    may_pass = answer.status_code >= 500 or answer.status_code in (408, 429)
    return Outcome.LATER if may_pass else Outcome.REFUSED, f"answered {answer.status_code}"


def _ntfy(alert: Alert, at: datetime | None) -> tuple[bytes, dict[str, str]]:
    headers = {"Title": alert.title, "Priority": str(alert.priority), "Tags": ",".join(alert.tags)}
    text = f"{alert.message}\n(It happened at {at:%Y-%m-%d %H:%M}.)" if at else alert.message
    return text.encode(), headers


def _webhook(alert: Alert, at: datetime) -> tuple[dict[str, object], dict[str, str]]:
    payload = {"event": alert.event, "title": alert.title, "message": alert.message}
    return {**payload, "at": at.isoformat(timespec="seconds"), **alert.details}, {}
