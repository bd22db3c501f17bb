"""From what happens in a running Headstart to the owner's phone."""

import itertools
import threading

import pytest
import yaml

from alerts import conditions
from tests.support.in_process import serving
from tests.support.scripted import scripted_config
from tests.support.waiting import await_that

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}  # 0.003 USD in the cloud
_COUNTS = itertools.count()
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def config(upstreams, phone):
    return {**scripted_config(**upstreams), "alerts": {"url": phone.url, "kind": "webhook"}}


def told(headstart, phone):
    """What has been told so far, once the thread has looked again: it does before it tells of a mistake."""
    for _ in range(2):
        name = f"Nowhere/{next(_COUNTS)}"
        edit(headstart, f"timezone: {name}")
        await_that(lambda name=name: any(name in one.body.decode() for one in phone.received), "it is told")
    return [one.json for one in phone.received if "Nowhere/" not in one.body.decode()]


def ask(headstart, key="hush-mum", **body):
    return headstart.post(
        "/v1/chat/completions", {**CHAT, **body}, headers={"Authorization": f"Bearer {key}"}
    )


def edit(headstart, config):
    (headstart.folder / "config.yaml").write_text(
        config if isinstance(config, str) else yaml.safe_dump(config)
    )
    headstart.application.extensions["headstart"].reloader.request_reload()


def test_a_key_s_budget_is_told_at_each_level_once(tmp_path, config, phone, cloud, judge):
    judge.streams("COMPLEX")
    cloud.streams("forty", "-two", usage=USAGE)
    keys = {"mum": "hush-mum", "kids": {"key": "hush-kids", "daily_usd": 0.00375}}
    with serving(tmp_path, {**config, "server": {"api_keys": keys}}) as headstart:
        told(headstart, phone)
        phone.reset()
        for count in (1, 2):
            ask(headstart, "hush-kids")
            phone.wait_for(count)
        ask(headstart, "hush-kids")
        ask(headstart, "hush-mum")

        first, second = told(headstart, phone)

    assert (first["event"], first["key"], first["spent_usd"]) == ("budget_80", "kids", 0.003)
    assert (second["event"], second["key"], second["spent_usd"]) == ("budget_100", "kids", 0.006)
    assert "hush" not in str(phone.received)


def test_a_rejected_configuration_is_told_once_for_each_mistake(tmp_path, config, phone, judge):
    def rejections():
        return headstart.log_text().count("Config rejected")

    with serving(tmp_path, config) as headstart:
        for count, faulty in enumerate(("timezone: Here", "timezone: Here", "timezone: There"), 1):
            edit(headstart, faulty)
            await_that(lambda count=count: rejections() == count, "it is refused")

        first, second = told(headstart, phone)

    assert (first["event"], second["event"]) == ("config_rejected", "config_rejected")
    assert first["message"].startswith("config.yaml:1: timezone: 'Here' is no IANA time zone")
    assert "'There'" in second["message"]


def test_a_provider_s_refused_key_is_told_once(tmp_path, config, phone, cloud, judge):
    cloud.refuses(401)
    with serving(tmp_path, config) as headstart:
        for _ in range(2):
            assert ask(headstart, model="xai").status_code == 200

        [alert] = told(headstart, phone)

    assert (alert["event"], alert["provider"]) == ("key_refused", "cloud")


def test_a_route_that_lives_on_a_fallback_is_told(tmp_path, config, phone, primary, judge, monkeypatch):
    monkeypatch.setattr(conditions, "FALLBACK_S", 0.3)
    primary.refuses(500)
    with serving(tmp_path, config) as headstart:
        await_that(lambda: ask(headstart).ok and phone.received, "it is told")

        [alert] = told(headstart, phone)

    assert (alert["event"], alert["route"]) == ("fallback", "primary")
    assert (alert["provider"], alert["answering"]) == ("main", "backup")


def test_what_was_told_is_known_after_a_reload_and_the_new_address_is_used(
    tmp_path, config, phone, cloud, judge
):
    cloud.refuses(401)
    with serving(tmp_path, config) as headstart:
        ask(headstart, model="xai")
        phone.wait_for(1)
        config["alerts"] = {"url": phone.url.replace("a1b2", "c3d4"), "kind": "webhook"}
        edit(headstart, config)
        await_that(lambda: "Config reloaded" in headstart.log_text(), "it is reloaded")

        alerts = told(headstart, phone)

    assert [alert["event"] for alert in alerts] == ["key_refused"]
    assert [one.path for one in phone.received] == ["/headstart-a1b2", "/headstart-c3d4", "/headstart-c3d4"]
    assert "a1b2" not in headstart.log_text()


def test_who_wants_no_alerts_has_no_thread_and_no_recorder(tmp_path, upstreams, judge):
    with serving(tmp_path, scripted_config(**upstreams)) as headstart:
        ask(headstart)

        assert list(headstart.services.alerts.recorder()) == []
        assert "alerts" not in [thread.name for thread in threading.enumerate()]


def test_answers_do_not_wait_for_a_phone_that_keeps_silent(tmp_path, config, phone, cloud, judge):
    cloud.refuses(401)
    phone.answering.clear()
    with serving(tmp_path, config) as headstart:
        ask(headstart, model="xai")
        phone.wait_for(1)  # it has been asked, and says nothing

        assert [ask(headstart).status_code for _ in range(3)] == [200, 200, 200]
        phone.answering.set()


def test_answers_at_home_for_a_key_without_cloud_are_no_fallback(tmp_path, config, phone, judge, monkeypatch):
    monkeypatch.setattr(conditions, "FALLBACK_S", 0.0)
    judge.streams("COMPLEX")
    config["server"] = {"api_keys": {"kids": {"key": "hush-kids", "cloud": False}}}
    with serving(tmp_path, config) as headstart:
        for _ in range(2):
            assert ask(headstart, "hush-kids").headers["X-Provider"] == "main"

        assert told(headstart, phone) == []
