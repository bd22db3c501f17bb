"""A server that never answers."""

import queue
import socket
import threading


class BlackHole:
    """Takes connections and sends nothing.

    `mute` does not even take them, with its queue full as behind a firewall that drops.
    """

    def __init__(self, mute=False):
        self.taken = queue.Queue()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0 if mute else 64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._fillers = [self._filler() for _ in range(3)] if mute else []
        if not mute:
            threading.Thread(target=self._take, daemon=True).start()

    def _filler(self):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(self._listener.getsockname())
        return sock

    def _take(self):
        while True:
            try:
                self.taken.put(self._listener.accept()[0])
            except OSError:
                return

    def close(self):
        for sock in [*self._fillers, *self.taken.queue]:
            sock.close()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
