"""The embedded models: in the tests' own process, and in a process of their own."""

import sys

import pytest

from engine import blas
from tests.support.engine import Running


@pytest.fixture(scope="session", autouse=True)
def blas_before_mlx():
    """MLX in this process computes with the real BLAS: without it these tests take ten times as long."""
    assert blas.load() or "mlx.core" not in sys.modules, (
        "a test module imports MLX while it is collected, before a BLAS is loaded: import it inside the test"
    )


@pytest.fixture(scope="package")
def real(tmp_path_factory):
    """The built-in chat model in its real process, under its real supervisor; for the whole folder."""
    running = Running(tmp_path_factory.mktemp("engines"))
    yield running
    running.stop()
