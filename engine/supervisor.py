"""Keeps the embedded engines running; one per Headstart.

    python -m engine.supervisor --state-dir DIR --engine NAME=MODEL ...

Each engine is a child process (`serve`) and a thread here, which starts the child, has it generate a real
token, reports that in DIR/NAME.json and watches it. When the child exits or stops answering, the thread
starts it anew, after longer and longer pauses while that does not help. The supervisor ends on SIGTERM or
when its stdin closes, that is with its parent, and ends the children too. It imports no MLX and reads no
config.

A slow engine is not a dead one: a long prefill on a CPU is silent for minutes. So an engine is taken for hung
only if it owes an answer *and* has sent nothing to anybody for as long as `Patience.probe_s`. An engine that
has died shows at once, by the end of its stdout.
"""

import argparse
import http.client
import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from engine.serve import die_with_parent
from engine.state import DOWN, READY, STARTING, Engine, report

log = logging.getLogger("headstart.supervisor")

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
WORTH_WAITING_S = 4.0  # an engine that worked and comes back within this is `starting`, not `down`
HEALTHY_S = 60.0  # an engine that was ready for this long starts its back-off anew
HEALTH_TIMEOUT_S = 5.0
STRIKES = 2  # failed probes in a row before an engine that still runs is ended
EXIT_S = 1.0  # between a broken connection and the end of the process that broke it

ONE_TOKEN = json.dumps(
    {
        "model": "default_model",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "stream": True,
    }
)


@dataclass(frozen=True)
class Patience:
    """How long an engine is given, in seconds."""

    start_s: float = 1800.0  # a hub's model may have to be downloaded first
    probe_period_s: float = 15.0
    # A token may wait behind others' prefill: 512 tokens of 8 prompts take some 20 s on a CPU.
    probe_s: float = 120.0


class EngineFailed(Exception):
    """This process of the engine has to end or has ended; the message is the reason."""


def backoff_s(failures: int) -> float:
    """The pause before the next start after `failures` in a row: 0.5 s doubling to 30 s."""
    doublings = min(max(0, failures - 1), 10)  # however long it fails: 2.0 ** 1024 is no float any more
    return min(FIRST_BACKOFF_S * 2.0**doublings, LONGEST_BACKOFF_S)


class Client:
    """The requests that a supervisor sends to an engine on 127.0.0.1:port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def progress(self) -> int | None:
        """How much the engine has sent to anyone so far; None when it does not answer that.

        Raises EngineFailed when it reports itself broken.
        """
        try:
            status, body = self._request("GET", "/health", None, HEALTH_TIMEOUT_S)
        except (OSError, http.client.HTTPException):
            return None
        if status == 503:
            raise EngineFailed("its generation thread has died")
        try:
            progress: int = json.loads(body)["progress"]
        except (ValueError, KeyError, TypeError):
            return None
        return progress

    def one_token(self, timeout_s: float) -> None:
        """Have one token generated.

        Raises TimeoutError after timeout_s of silence, EngineFailed on any other failure.
        """
        try:
            status, body = self._request("POST", "/v1/chat/completions", ONE_TOKEN, timeout_s)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise EngineFailed(f"a probe failed: {type(error).__name__}") from error
        if status != 200:
            raise EngineFailed(f"a probe was answered {status}")
        if b'"finish_reason": "' not in body:
            raise EngineFailed("a probe's answer broke off")

    def _request(self, method: str, path: str, body: str | None, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class Child:
    """One process of an engine.

    Its stdout brings the port, or the reason why there will be none; the end of its stdout counts as its own
    end.
    """

    def __init__(self, command: list[str], tmp_dir: Path) -> None:
        shutil.rmtree(tmp_dir, ignore_errors=True)
        # MLX loads compiled kernels from below TMPDIR: nobody else may put any there.
        tmp_dir.mkdir(mode=0o700, parents=True)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_dir)}
        )
        self.pid = self._process.pid
        self.exited = threading.Event()
        self._ports: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._failure: str | None = None
        self._reader = threading.Thread(target=self._read, name=f"engine-{self.pid}-stdout", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # it is a pipe
        try:
            with self._process.stdout as lines:
                for line in lines:
                    message = json.loads(line)
                    self._failure = message.get("failed", self._failure)
                    if "port" in message:
                        self._ports.put(message["port"])
        except ValueError:
            self._failure = "its stdout brought something else than news"
        finally:
            self._ports.put(None)
            self.exited.set()

    def port(self, timeout_s: float) -> int:
        """The port it listens on. Raises EngineFailed when it ends first or does not report one in time."""
        try:
            port = self._ports.get(timeout=timeout_s)
        except queue.Empty:
            raise EngineFailed(f"it did not start within {timeout_s:g} s") from None
        if port is None:
            raise EngineFailed(self.exit_reason())
        return port

    def exit_reason(self) -> str:
        """Why it ended: the reason it gave itself, else its exit code or signal.

        Call it once `exited` is set.
        """
        if self._failure:
            return self._failure
        try:
            code = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return "it closed its stdout"
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it exited with code {code}"

    def kill(self) -> None:
        """End it at once; it holds nothing that a softer end would save."""
        self._process.kill()

    def close(self) -> None:
        """End it, if it still runs, and wait until it has ended."""
        assert self._process.stdin is not None  # it is a pipe
        self.kill()
        self._process.wait()
        self._process.stdin.close()
        self._reader.join()


class Supervised:
    """One engine, whose process is started anew whenever it ends, until stop().

    command: what to run, see `Child`.
    """

    def __init__(
        self, name: str, command: list[str], state_dir: Path, patience: Patience = Patience()
    ) -> None:
        self.name = name
        self._command = command
        self._state_file = state_dir / f"{name}.json"
        self._tmp_dir = state_dir / f"{name}.tmp"
        self._patience = patience
        self._stopping = threading.Event()
        self._child: Child | None = None
        self._report(Engine(STARTING))

    def stop(self) -> None:
        """Have run() end its child and return. From any thread."""
        self._stopping.set()
        if self._child:
            self._child.kill()

    def run(self) -> None:
        """Keep the engine running; returns after stop()."""
        failures = 0
        while not self._stopping.is_set():
            ready_s, reason = self._run_once()
            if self._stopping.is_set():
                break
            failures = 1 if ready_s and ready_s >= HEALTHY_S else failures + 1
            pause_s = backoff_s(failures)
            back_soon = ready_s is not None and pause_s <= WORTH_WAITING_S
            self._report(Engine(STARTING if back_soon else DOWN, reason=reason))
            log.warning("engine=%s ended: %s; starting it again in %g s", self.name, reason, pause_s)
            self._stopping.wait(pause_s)
        self._report(Engine(DOWN, reason="Headstart is shutting down"))
        shutil.rmtree(self._tmp_dir, ignore_errors=True)

    def _run_once(self) -> tuple[float | None, str]:
        """One process, from its start to its end.

        Returns for how many seconds it was ready, None if it never was, and why it ended.
        """
        try:
            child = Child(self._command, self._tmp_dir)
        except OSError as error:
            return None, f"it could not be started: {error}"
        self._child = child
        ready_at = None
        try:
            if self._stopping.is_set():  # stop() may have come before there was a child to kill
                raise EngineFailed("stopped")
            client = Client(child.port(self._patience.start_s))
            client.one_token(self._patience.start_s)
            ready_at = time.monotonic()
            self._report(Engine(READY, f"http://127.0.0.1:{client.port}/v1", child.pid))
            reason = self._watch(child, client)
        except (EngineFailed, TimeoutError) as error:
            reason = child.exit_reason() if child.exited.wait(EXIT_S) else str(error)
        finally:
            child.close()
        return None if ready_at is None else time.monotonic() - ready_at, reason

    def _watch(self, child: Child, client: Client) -> str:
        """Return why the engine has to be started again."""
        last_progress, strikes = None, 0
        while not child.exited.wait(FIRST_BACKOFF_S if strikes else self._patience.probe_period_s):
            progress = client.progress()
            if progress is not None and progress != last_progress:
                last_progress, strikes = progress, 0
                continue
            try:
                client.one_token(self._patience.probe_s)
            except TimeoutError:
                if client.progress() in (None, progress):
                    return f"it has sent nothing to anyone for {self._patience.probe_s:g} s"
            except EngineFailed as error:
                strikes += 1
                if strikes == STRIKES:
                    raise EngineFailed(str(error)) from error
            else:
                last_progress, strikes = client.progress(), 0
        return child.exit_reason()

    def _report(self, engine: Engine) -> None:
        try:
            report(self._state_file, replace(engine, since=time.time()))
        except OSError as error:  # a full disk must not end the engine too
            log.error("engine=%s is %s, but that cannot be written: %s", self.name, engine.state, error)


def spawn(state_dir: Path, engines: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a supervisor as a child of this process; it ends when its stdin is closed.

    engines: name -> model. Every engine is reported `starting` before this returns. A process forked from
    here inherits the writing end of that stdin and should close it, or the supervisor lives as long as that
    process does.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "engine.supervisor", "--state-dir", str(state_dir.resolve())]
    for name, model in engines.items():
        report(state_dir / f"{name}.json", Engine(STARTING, since=time.time()))
        command += ["--engine", f"{name}={model}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).resolve().parent.parent)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.supervisor", description="Runs the embedded engines until stdin closes."
    )
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="where NAME.json tells each engine's state"
    )
    model_help = "MODEL: builtin, a directory, or a hub's owner/model"
    parser.add_argument("--engine", action="append", required=True, metavar="NAME=MODEL", help=model_help)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    # Ctrl-C is for the parent: it lets its requests end before it closes our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(leave=stopping.set)
    args.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engines = []
    for pair in args.engine:
        name, _, model = pair.partition("=")
        command = [sys.executable, "-m", "engine.serve", "--model", model]
        engines.append(Supervised(name, command, args.state_dir))
    threads = [threading.Thread(target=engine.run, name=engine.name) for engine in engines]
    for thread in threads:
        thread.start()
    stopping.wait()
    for engine in engines:
        engine.stop()
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
