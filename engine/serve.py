"""The process of one embedded chat model: `python -m engine.serve --model NAME`, started by `supervisor`.

Prepares the environment that MLX finds when it is imported (BLAS, offline hub, no compiler at run time), then
serves the model on a loopback port of the kernel's choice. On stdout it reports to its parent, one JSON
object a line: {"port": ...} once it listens, {"failed": reason} before it ends by itself. It lives as long as
its stdin is open: when its parent dies, however that happens, it ends too.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import blas, prepare


def die_with_parent(stdin: int = 0, leave: Callable[[], None] = lambda: os._exit(0)) -> None:
    """Call `leave` once stdin is closed.

    A pipe rather than prctl: it works on macOS too, and does not depend on the thread of the parent that
    started us.
    """

    def wait() -> None:
        while os.read(stdin, 4096):
            pass
        leave()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def set_environment(model: str) -> None:
    """Set what MLX and the hub's client read from the environment at import.

    A variable that the owner has set is left alone.
    """
    if Path(model).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if blas.device() == "cpu":
        # mx.compile runs g++ for every new temperature or top_p (2.3 s on the first sampled answer) and gains
        # nothing on a CPU.
        os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice on long prompts is not for us
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.serve")
    parser.add_argument("--model", required=True, help="builtin, a directory, or a hub's owner/model")
    name = parser.parse_args().model
    # Ctrl-C reaches the whole foreground group; requests in flight may still end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    # What libraries print to stdout goes to stderr; the pipe to the parent is ours alone.
    parent = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    line = f"%(asctime)s %(levelname)s engine[{os.getpid()}] %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=line)

    def report(**message: Any) -> None:
        print(json.dumps(message), file=parent, flush=True)

    model = prepare.model_dir(name)
    if name == prepare.BUILTIN and not prepare.is_ready(Path(model)):
        report(failed="the built-in chat model is not prepared: run `python -m engine.prepare`")
        return 1
    set_environment(model)
    blas.load()
    from engine import mlx_server  # imports MLX, so not before the BLAS is in its place

    failure = mlx_server.serve(model, lambda port: report(port=port))
    report(failed=failure)
    # Handler threads may still be writing to clients; nothing more will come for them.
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
