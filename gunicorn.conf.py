"""How gunicorn serves Headstart: one worker with many threads, and beside it one supervisor for the embedded
engines.

The master stays light: it checks the configuration, so that a faulty one stops the start, and owns the
supervisor, so that engines outlive a worker. It never imports MLX, whose state does not survive a fork.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from deploy.carry_over import carry_over
from engine import supervisor
from errors import ConfigError
from routing import markers
from runtime import announcement, port
from settings import loader
from settings.addresses import authority
from settings.repairs import repairs
from telemetry.version import VERSION

try:
    if _carried := carry_over():
        print(_carried, flush=True)
    _config = loader.load(beside=markers.mistakes_in)
    _config.data.mkdir(parents=True, exist_ok=True)
    if "GUNICORN_FD" not in os.environ and "LISTEN_FDS" not in os.environ:  # else it inherits its socket
        port.check_free(_config.server.host, _config.server.port)
except (ConfigError, port.PortTaken) as error:
    sys.exit(f"headstart: {error}")
except OSError as error:
    sys.exit(f"headstart: the data folder cannot be written: {error.filename}: {error.strerror}")

SPARE_THREADS = 16  # for health, models and metrics when every stream is taken

wsgi_app = "app:create_app()"
_host = _config.server.host
bind = authority(_host, _config.server.port)
worker_class = "gthread"
workers = 1
threads = _config.server.threads + SPARE_THREADS
keepalive = 65  # clients and reverse proxies keep connections for about a minute
timeout = 120
graceful_timeout = 10
# Of those, how long requests in flight may go on; then they are cancelled while there is time to record them.
DRAIN_S = 8.0
loglevel = "warning"
control_socket_disable = True
proc_name = "headstart"

_engines = _config.engines
_data = _config.data
_supervisor = None
_stops_with_terminal = False


def on_starting(server):
    global _supervisor, _stops_with_terminal
    _stops_with_terminal = (
        _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    )  # under nohup it is ignored
    state_dir = os.environ["HEADSTART_ENGINES"] = tempfile.mkdtemp(prefix="headstart-")
    # Not in on_exit, which gunicorn skips when the port is taken. A worker inherits this, but the end is the
    # master's alone.
    atexit.register(_end, state_dir, os.getpid())
    if _engines:
        _supervisor = supervisor.spawn(Path(state_dir), _engines)


def when_ready(server):
    # gunicorn would read this file again and have engines it knows nothing of.
    server.handle_hup = lambda: (
        server.handle_term() if _terminal_is_gone() else server.kill_workers(signal.SIGHUP)
    )
    # Asked of the socket: with PORT=0 only it knows its port.
    listening_host, listening_port = server.LISTENERS[0].sock.getsockname()[:2]
    announcement.announce(_config.path, _data, announcement.url_of(listening_host, listening_port), VERSION)
    for line in (*_config.hints, *repairs(_config)):
        print(line)
    print(f"Headstart listens on http://{authority(_host, listening_port)}  (Ctrl-C stops it)", flush=True)


def post_fork(server, worker):
    if _supervisor is not None:
        # The supervisor ends when its stdin does, which must not wait for this worker.
        _supervisor.stdin.close()
    if hasattr(os, "sched_setaffinity"):
        # Python runs one of our threads at a time; on one core they hand over to each other without waking
        # another.
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[-1]})
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGHUP}
    )  # until it can be obeyed: gunicorn's default for it is to die


def post_worker_init(worker):
    headstart = worker.wsgi.extensions["headstart"]
    reload = headstart.reloader.request_reload
    signal.signal(signal.SIGHUP, lambda *_: None if _terminal_is_gone() else reload())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def cancelling_after(patience_s, stop):
        def leave(signum, frame):
            timer = threading.Timer(patience_s, headstart.disconnects.cancel_all)
            timer.daemon = True
            timer.start()
            stop(signum, frame)

        return leave

    def quit_once(signum, frame):
        # Ctrl-C comes twice, from the terminal and from the master; the second would break off the writing at
        # the exit.
        for again in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(
                again, lambda *_: None
            )  # not SIG_IGN, of which Python complains when one is on its way
        worker.handle_quit(signum, frame)

    signal.signal(signal.SIGTERM, cancelling_after(DRAIN_S, worker.handle_exit))
    for at_once in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(at_once, cancelling_after(0, quit_once))


def _has_terminal():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _terminal_is_gone():
    """Whether a SIGHUP is the one that a closing terminal sends and means stop; any other means reload."""
    return _stops_with_terminal and not _has_terminal()


def _end(state_dir, master):
    if os.getpid() != master:
        return
    announcement.withdraw(_data)
    if _supervisor is not None:
        _supervisor.terminate()
        _supervisor.wait()
    shutil.rmtree(state_dir, ignore_errors=True)
