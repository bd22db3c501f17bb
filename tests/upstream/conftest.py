import pytest

from tests.support.fake_upstream import FakeUpstream


@pytest.fixture(scope="module")
def listening():
    upstream = FakeUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def fake(listening):
    """A scripted provider, as new for each test."""
    yield listening
    listening.reset()
