import openai
import pytest

from tests.support.fake_upstream import HANG_GUARD_S


@pytest.fixture
def sdk(headstart):
    """OpenAI's own client library; a file about another library has its own."""
    with openai.OpenAI(
        base_url=f"{headstart.url}/v1", api_key="any", max_retries=0, timeout=HANG_GUARD_S
    ) as client:
        yield client
