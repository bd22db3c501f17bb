"""One alert on its way: to an ntfy topic, or as JSON to a webhook.

ntfy takes the text as the body and the rest as headers (docs.ntfy.sh/publish). The address may have
credentials in it, and a topic's name is a password of sorts: neither stands in a log line.
"""

import logging
from collections.abc import Callable
from datetime import datetime

import requests

from alerts.alert import Alert
from settings.model import Alerts as Settings
from telemetry.logs import fields

TIMEOUT_S = 5.0  # to connect, and again to answer
RETRY_S = (2.0, 10.0)  # before the second try and the third

log = logging.getLogger(__name__)


def deliver(alert: Alert, at: datetime, settings: Settings, wait: Callable[[float], object]) -> bool:
    """Send an alert, up to three times. Returns whether it arrived; that is one line in the log either way.

    at: when it happened, an aware datetime. wait: waits for so many seconds.
    """
    problem = ""
    for pause_s in (0.0, *RETRY_S):
        if pause_s:
            wait(pause_s)
        problem, is_final = _try(alert, at, settings)
        if not problem:
            log.info("Alert sent:", extra=fields(event=alert.event))
            return True
        if is_final:
            break
    log.error("Alert not sent:", extra=fields(event=alert.event, error=problem))
    return False


def _try(alert: Alert, at: datetime, settings: Settings) -> tuple[str, bool]:
    """(what went wrong, "" for nothing; whether another try is useless)."""
    body, headers = (_ntfy if settings.kind == "ntfy" else _webhook)(alert, at)
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
        return type(error).__name__, False  # its text would name the address
    if answer.status_code < 300:
        return "", True
    return f"answered {answer.status_code}", answer.status_code < 500 and answer.status_code != 429


def _ntfy(alert: Alert, at: datetime) -> tuple[bytes, dict[str, str]]:
    headers = {"Title": alert.title, "Priority": str(alert.priority), "Tags": ",".join(alert.tags)}
    return alert.message.encode(), headers


def _webhook(alert: Alert, at: datetime) -> tuple[dict[str, object], dict[str, str]]:
    told = {"event": alert.event, "title": alert.title, "message": alert.message}
    return {**told, "at": at.isoformat(timespec="seconds"), **alert.details}, {}
