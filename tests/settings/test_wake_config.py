"""`wake` on a provider: what it may say."""

import pytest

from errors import ConfigError
from settings.model import Wake
from tests.support.config_texts import OWN, load, with_provider

HOME = '  home: {{kind: openai, base_url: "http://127.0.0.1:3/v1", model: m, wake: {wake}}}\n'


def test_only_the_hardware_address_is_needed(tmp_path):
    # Unquoted, YAML takes such an address for a number to the base of 60.
    config = load(tmp_path, with_provider(HOME.format(wake="{mac: 52:54:00:12:34:56}")))

    assert config.providers["home"].wake == Wake("52:54:00:12:34:56", "255.255.255.255", 9)
    assert config.providers["near"].wake is None


@pytest.mark.parametrize(
    ("wake", "told"),
    [
        ("{}", "config.yaml:9: providers.home.wake.mac: is required"),
        ("{mac: home}", "config.yaml:9: providers.home.wake.mac: 'home' is no hardware address"),
        (
            "{mac: 'a1:b2:c3:d4:e5'}",
            "config.yaml:9: providers.home.wake.mac: 'a1:b2:c3:d4:e5' is no hardware",
        ),
        (
            "{mac: 'a1:b2:c3:d4:e5:f6', broadcast: home.lan}",
            "config.yaml:9: providers.home.wake.broadcast: 'home.lan' is no IPv4 address such as",
        ),
        (
            "{mac: 'a1:b2:c3:d4:e5:f6', brodcast: 192.168.1.255}",
            "config.yaml:9: providers.home.wake.brodcast: unknown key, did you mean broadcast?",
        ),
    ],
)
def test_a_mistake_names_its_line_and_key(tmp_path, wake, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, with_provider(HOME.format(wake=wake)))

    assert told in str(mistake.value)


def test_an_embedded_model_cannot_be_woken(tmp_path):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, with_provider(f"{OWN}, wake: {{mac: 'a1:b2:c3:d4:e5:f6'}}}}\n"))

    assert "providers.own.wake: an embedded model runs on this machine" in str(mistake.value)
