import pytest

from tests.support.fake_phone import FakePhone


@pytest.fixture(scope="module")
def one_phone():
    made = FakePhone()
    yield made
    made.close()


@pytest.fixture
def phone(one_phone):
    one_phone.reset()
    return one_phone
