"""An embedded model as the classifier: the trained one, or any instruct model, on one thread of its own.

The thread loads the model after the fork and alone computes with it: MLX's graphs are not safe to share, and
one core computes them. Requests queue up for it. A request whose turn is too far off hears so at once and is
decided otherwise.

It knows nothing of thresholds or of what holds when it fails: that is classifier.py's.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.job import Job
from routing.decision import ClassifierFailed, Overloaded, Turn
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken, OnCancel

MAX_WAITING = 64  # requests queued for the model; beyond it they are decided by rules at once
# Whose turn has not come by then is decided by rules: of 32 at once p95 is to stay under 300 ms, and what has
# begun takes 60 ms on a CPU, or 160 on a busy one.
PATIENCE_S = 0.12
LOADING_S = 10.0  # requests wait for a model that is being loaded, but not for one that is being downloaded
SMOLLM2 = "smollm2"  # the short name of the embedded chat model

log = logging.getLogger(__name__)


class LoadedModel(Protocol):
    """A loaded model. at_once: how many conversations it had best be given in one batch."""

    @property
    def at_once(self) -> int: ...

    def batch(self, conversations: list[list[Turn]]) -> list[dict[str, float]]:
        """For each conversation the probability of each label."""


class ClassifyJob(Job):
    """A conversation on its way to the model's thread, and its probabilities on their way back."""

    def __init__(self, turns: list[Turn]) -> None:
        super().__init__()
        self.turns = turns
        self.begun = False
        self.probabilities: dict[str, float] = {}


class MlxClassifier:
    """An embedded model. Its thread loads it, so that nothing of MLX exists before the fork."""

    def __init__(
        self,
        load_model: Callable[[], LoadedModel],
        source: str = "mlx",
        patience_s: float = PATIENCE_S,
        loading_s: float = LOADING_S,
    ) -> None:
        """load_model: called in the owner thread. source: what verdicts give as theirs.

        patience_s: how long a request waits for its turn. loading_s: for how long after the start requests
        wait for the model to be loaded.
        """
        self._load_model = load_model
        self.source = source
        self._patience_s = patience_s
        self._loaded_by = time.monotonic() + loading_s
        self._jobs: queue.Queue[ClassifyJob | None] = queue.Queue(MAX_WAITING)  # None ends the thread
        self._ready = threading.Event()  # or known never to be
        self._broken: str | None = None
        self._thread = threading.Thread(target=self._own, name="classifier", daemon=True)
        self._thread.start()

    def probabilities(
        self,
        turns: list[Turn],
        timeout_s: float,
        on_cancel: OnCancel,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> tuple[dict[str, float], None]:
        """(the probability of each label, None).

        on_attempt: unused, since no call is made. Raises ClassifierFailed, Overloaded when its turn is too
        far off, Cancelled.
        """
        return self._probabilities(turns, timeout_s, on_cancel, min(timeout_s, self._patience_s)), None

    def _probabilities(
        self, turns: list[Turn], timeout_s: float, on_cancel: OnCancel, patience_s: float
    ) -> dict[str, float]:
        if not self._ready.is_set() and time.monotonic() > self._loaded_by:
            raise ClassifierFailed("it is still loading")
        job = ClassifyJob(turns)
        on_cancel(job.abandon)
        self._enqueue(job)
        if (
            not job.done.wait(patience_s)
            and patience_s < timeout_s
            and self._ready.is_set()
            and not job.begun
        ):
            job.abandon()
            raise Overloaded(f"its turn has not come within {patience_s * 1000:g} ms")
        if not job.done.wait(timeout_s - patience_s):
            job.abandon()
            raise ClassifierFailed("no answer in time" if self._ready.is_set() else "it is still loading")
        job.raise_failure()
        return job.probabilities

    def _enqueue(self, job: ClassifyJob) -> None:
        """Raises Overloaded when too many wait, ClassifierFailed where there is no model."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            if self._broken:
                raise ClassifierFailed(self._broken) from None
            raise Overloaded(f"{MAX_WAITING} requests are waiting for it") from None
        if self._broken:
            raise ClassifierFailed(self._broken)

    def check(self, timeout_s: float, cancel_token: CancelToken) -> None:
        """Raises ClassifierFailed unless it decides a trial request in time.

        It makes no call, so the cancel_token stays unused.
        """
        self._probabilities([("user", "hello")], timeout_s, lambda cancel: None, patience_s=timeout_s)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait for the model to be loaded. Raises ClassifierFailed when it cannot be, or not in time."""
        if not self._ready.wait(timeout_s):
            raise ClassifierFailed(f"it has not been loaded within {timeout_s:g} s")
        if self._broken:
            raise ClassifierFailed(self._broken)

    def close(self, patience_s: float = 0.0) -> None:
        """Let go of the model once the requests so far are decided. To be called when no more will come.

        patience_s: how long to wait for that. A process that ends while MLX is being loaded is aborted by it.
        """
        if not self._broken:  # else nobody takes what is put there
            self._jobs.put(None)
        self._thread.join(patience_s)

    def _own(self) -> None:
        try:
            model = self._load_model()
        except Exception as error:  # the edge of the worker thread: requests go on with `on_failure`
            self._broken = f"the model could not be loaded: {error}"
            log.exception("Classifier not loaded: %s", error)
            self._fail_waiting(self._broken)
            self._ready.set()
            return
        self._ready.set()
        while True:
            batch = [self._jobs.get()]
            while len(batch) < model.at_once and not self._jobs.empty():
                batch.append(self._jobs.get_nowait())
            wanted = [job for job in batch if job is not None and not job.abandoned]
            if wanted:
                self._decide(model, wanted)
            if None in batch:
                return

    def _fail_waiting(self, message: str) -> None:
        """Answer those who wait for a model that will not come."""
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is not None:
                job.fail(ClassifierFailed(message))

    def _decide(self, model: LoadedModel, batch: list[ClassifyJob]) -> None:
        for job in batch:
            job.begun = True
        try:
            results = model.batch([job.turns for job in batch])
            for job, probabilities in zip(batch, results, strict=True):
                job.probabilities = probabilities
        except Exception as error:  # the edge of the worker thread, which one odd text must not end
            if len(batch) > 1:  # nor spoil the others' decisions
                for job in batch:
                    self._decide(model, [job])
                return
            log.exception("Classifier failed")
            batch[0].fail(ClassifierFailed(f"{type(error).__name__} in the model"))
            return
        for job in batch:
            job.finish()


def load_builtin() -> LoadedModel:
    """The trained model."""
    # Imported late: MLX must not exist before the fork, and finds its BLAS only if that is loaded first.
    from engine import blas, models_dir

    blas.ready_for_mlx()
    from engine.router_model import RouterModel

    return RouterModel.load(models_dir())


@dataclass(frozen=True)
class LoadInstruct:
    """How to load an instruct model. A value, by which a changed configuration knows it again.

    name: SMOLLM2, a folder, or a hub's owner/model. prompt: its instructions.
    """

    name: str
    prompt: str

    def __call__(self) -> LoadedModel:
        from engine import blas, models_dir, prepare

        blas.ready_for_mlx()
        from engine.label_model import LabelModel

        name = str(models_dir() / prepare.CHAT_MODEL) if self.name == SMOLLM2 else self.name
        return LabelModel.load(name, self.prompt)
