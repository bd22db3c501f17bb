"""Wakes a home server that went to sleep, by Wake-on-LAN, when a request wanted it and nobody was there.

Only a request does: a probe by itself would wake each night what its owner has put to sleep. From then on the
magic packet is repeated, since it goes by UDP and may be lost, and the server is probed every few seconds
whatever its cooldown, until it is up or the time is over. All of that happens on a thread of its own; the
request goes on along its chain meanwhile.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from settings.model import Wake
from telemetry.logs import fields

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """In seconds."""

    between_packets_s: float = 10.0
    between_probes_s: float = 3.0
    give_up_s: float = 180.0  # a machine that starts from cold and loads a model may take minutes


class Waker:
    """One provider's. Shared by all threads."""

    def __init__(
        self,
        provider: str,
        settings: Wake,
        *,
        unreached: Callable[[], bool],
        probe: Callable[[], None],
        rhythm: Rhythm = Rhythm(),
    ) -> None:
        """provider: its name, for the log. unreached: whether nobody was there when last tried.

        probe: has it probed soon, and returns at once.
        """
        self._provider = provider
        self._settings = settings
        self._unreached = unreached
        self._probe = probe
        self._rhythm = rhythm
        self._lock = threading.Lock()
        self._begun_at: float | None = None  # monotonic, while it is being woken
        self._stopped = threading.Event()

    def wanted(self) -> None:
        """A request wanted it and nobody was there. Returns at once, whatever the network does."""
        with self._lock:
            if self._begun_at is not None or self._stopped.is_set():
                return
            self._begun_at = time.monotonic()
        threading.Thread(target=self._wake, name=f"wake-{self._provider}", daemon=True).start()

    def waking_s(self) -> float | None:
        """For how many seconds it has been being woken, None when it is not."""
        begun_at = self._begun_at
        return None if begun_at is None else time.monotonic() - begun_at

    def stop(self) -> None:
        """Send nothing more. Returns at once."""
        self._stopped.set()

    def _wake(self) -> None:
        try:
            self._wake_until_up()
        except Exception:  # the edge of a thread
            log.exception("Wake-on-LAN failed")
        finally:
            with self._lock:
                self._begun_at = None

    def _wake_until_up(self) -> None:
        rhythm, begun_at, packets = self._rhythm, time.monotonic(), 0
        while (after_s := time.monotonic() - begun_at) < rhythm.give_up_s:
            if after_s >= packets * rhythm.between_packets_s:
                self._send(is_first=packets == 0)
                packets += 1
            self._probe()
            if self._stopped.wait(rhythm.between_probes_s):
                return
            if not self._unreached():
                after_s = round(time.monotonic() - begun_at)
                log.info("Wake-on-LAN worked:", extra=fields(provider=self._provider, after_s=after_s))
                return
        log.warning("Wake-on-LAN gave up:", extra=fields(provider=self._provider, after_s=round(after_s)))

    def _send(self, *, is_first: bool) -> None:
        """Send the packet. One line of the log stands for all packets until it is up or given up."""
        wake = self._settings
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.sendto(magic_packet(wake.mac), (wake.broadcast, wake.port))
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("Wake-on-LAN not sent:", extra=fields(provider=self._provider, error=reason))
            return
        if is_first:
            log.info("Wake-on-LAN sent:", extra=fields(provider=self._provider))


def magic_packet(mac: str) -> bytes:
    """What a network card wakes up for: six bytes 0xff, and its address 16 times.

    mac: six pairs of hex digits, with `:` or `-` between.
    """
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "").replace("-", "")) * 16
