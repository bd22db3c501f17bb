"""How gunicorn serves Headstart: one worker with many threads, and beside it one supervisor for the embedded engines.

The master stays light: it checks the configuration, so that a faulty one stops the start, and owns the supervisor, so that engines outlive a worker.
It never imports MLX, whose state does not survive a fork.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import config as settings
from engine import supervisor
from errors import ConfigError

try:
    _config = settings.load()
except ConfigError as error:
    sys.exit(f"headstart: {error}")

SPARE_THREADS = 16  # for health, models and metrics when every stream is taken

wsgi_app = "app:create_app()"
_host = _config.server.host
bind = f"[{_host}]:{_config.server.port}" if ":" in _host else f"{_host}:{_config.server.port}"
worker_class = "gthread"
workers = 1
threads = _config.server.threads + SPARE_THREADS
keepalive = 65  # clients and reverse proxies keep connections for about a minute
timeout = 120
graceful_timeout = 10
loglevel = "warning"
control_socket_disable = True
proc_name = "headstart"

_engines = {name: provider.model for name, provider in _config.providers.items() if provider.kind == "mlx" and not provider.disabled}
_state_dir = tempfile.mkdtemp(prefix="headstart-")
_supervisor = None
os.environ["HEADSTART_ENGINES"] = _state_dir


def on_starting(server):
    global _supervisor
    if _engines:
        _supervisor = supervisor.spawn(Path(_state_dir), _engines)


def when_ready(server):
    print(f"Headstart listens on http://{bind}  (Ctrl-C stops it)", flush=True)


def post_fork(server, worker):
    if _supervisor is not None:
        _supervisor.stdin.close()  # the supervisor goes when its stdin ends, which must not wait for this worker
    if hasattr(os, "sched_setaffinity"):
        # Python runs one of our threads at a time; on one core they hand over to each other without waking another.
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[-1]})


def on_exit(server):
    if _supervisor is not None:
        _supervisor.terminate()
        _supervisor.wait()
    shutil.rmtree(_state_dir, ignore_errors=True)
