"""What was mended in the owner's settings is said."""

import pytest

from settings import loader
from settings.repairs import repairs


def said(tmp_path, text="{}", **variables):
    (tmp_path / "headstart.yaml").write_text(text)
    return repairs(loader.load(tmp_path / "headstart.yaml", variables))


@pytest.mark.parametrize(
    "url, sentence",
    [
        ("http://box:11434", "home: HOME_URL http://box:11434 has no /v1; using http://box:11434/v1"),
        (
            "192.168.1.10:8000",
            "home: HOME_URL 192.168.1.10:8000 has no http:// and has no /v1; using http://192.168.1.10:8000/v1",
        ),
        (
            "http://box:8000/v1/",
            "home: HOME_URL http://box:8000/v1/ ends in a slash; using http://box:8000/v1",
        ),
    ],
)
def test_a_mended_address_is_told_with_its_variable(tmp_path, url, sentence):
    assert said(tmp_path, HOME_URL=url) == [sentence]


def test_a_good_address_needs_no_word(tmp_path):
    assert said(tmp_path, HOME_URL="http://box:8000/v1", XAI_API_KEY="key") == []


def test_an_address_of_the_file_is_told_without_its_password(tmp_path):
    text = "providers: {mine: {kind: openai, base_url: 'http://me:hush@box:8000'}}"

    assert said(tmp_path, text) == [
        "mine: base_url http://***@box:8000 has no /v1; using http://***@box:8000/v1"
    ]
