"""The embedded models in the tests' own process."""

import sys

import pytest

from engine import blas


@pytest.fixture(scope="session", autouse=True)
def blas_before_mlx():
    """MLX in this process computes with the real BLAS: without it these tests take ten times as long."""
    assert blas.load() or "mlx.core" not in sys.modules, (
        "a test module imports MLX while it is collected, before a BLAS is loaded: import it inside the test"
    )
