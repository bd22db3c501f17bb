"""The owner's file over the shipped one: what differs is enough, and what is shipped stays as it is."""

import pytest

from errors import ConfigError
from settings import loader
from settings.environment import CLOUD_KEYS
from tests.support.server import ROOT

CLOUDS = ("XAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")
HOME = {"HOME_URL": "http://192.168.1.10:8000/v1", "HOME_MODEL": "qwen"}


def owner(folder, text, **environ):
    """The configuration with the owner's file, in a data folder of its own."""
    (folder / "headstart.yaml").write_text(text)
    return loader.load(environ={"HEADSTART_DATA": str(folder), **environ})


def everywhere(chain):
    return dict.fromkeys(("primary", "meta", "cloud", "enrich"), chain)


def chains(config):
    return {name: config.chain_of(name) for name in config.routes}


def test_without_a_file_and_variables_the_demo_model_answers_everything(tmp_path):
    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path)})

    assert chains(config) == everywhere(["local"])
    assert config.engines == {"local": "builtin"}


def test_a_home_server_alone_answers_everything_and_the_demo_model_is_gone(tmp_path):
    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path), **HOME})

    assert chains(config) == everywhere(["home"])
    assert (config.engines, config.dormant["local"]) == ({}, "it is not needed")


@pytest.mark.parametrize(
    "key, cloud, context, tools",
    [
        ("XAI_API_KEY", "xai", "xai", ["web_search", "x_search"]),
        ("ANTHROPIC_API_KEY", "anthropic", "anthropic_search", ["web_search"]),
        ("OPENAI_API_KEY", "openai", "openai", ["web_search"]),
        ("OPENROUTER_API_KEY", "openrouter", "openrouter_search", ["web_search"]),
    ],
)
def test_home_and_one_key_are_a_configuration(tmp_path, key, cloud, context, tools):
    assert CLOUD_KEYS[cloud] == key

    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path), **HOME, key: "k"})

    assert chains(config) == {
        "primary": ["home", cloud],
        "meta": ["home"],
        "cloud": [cloud, "home"],
        "enrich": ["home", cloud],
    }
    assert (config.routes["enrich"].context, config.routes["enrich"].tools) == (context, tools)
    assert config.providers["home"].is_home and not config.providers[cloud].is_home


def test_the_older_names_of_the_home_server_go_on_and_take_a_key(tmp_path):
    old = {"VLLM_URL": "http://10.0.0.1:8000/v1", "VLLM_MODEL": "qwen", "VLLM_API_KEY": "k"}

    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path), **old})

    assert config.chain_of("primary") == ["vllm"]
    assert config.providers["vllm"].api_key == "k"


def test_the_owners_search_engine_goes_before_a_cloud_that_searches(tmp_path):
    environ = {"XAI_API_KEY": "k", "SEARXNG_URL": "http://10.0.0.1:8080", **HOME}

    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path), **environ})

    assert config.routes["enrich"].context == "searxng"


def test_the_cloud_answers_alone_where_there_is_no_home(tmp_path):
    config = loader.load(environ={"HEADSTART_DATA": str(tmp_path), "XAI_API_KEY": "k"})

    assert chains(config) == everywhere(["xai"])


def test_one_provider_alone_is_a_valid_file(tmp_path):
    config = owner(tmp_path, "providers: {box: {kind: openai, base_url: 'http://10.0.0.1:1/v1', model: m}}")

    assert chains(config) == everywhere(["box"])
    assert config.routes["primary"].system_prompt == "prompts/primary.md"


def test_a_file_says_only_what_differs(tmp_path):
    config = owner(tmp_path, "server: {port: 9000}\nroutes: {cloud: {slow_ms: 7}}\n", **HOME)

    assert (config.server.port, config.server.threads) == (9000, 64)
    assert config.routes["cloud"].slow_ms == 7
    assert config.routes["cloud"].system_prompt == "prompts/xai.md"


def test_a_shipped_provider_is_changed_by_what_is_said_of_it(tmp_path):
    config = owner(tmp_path, "providers: {xai: {model: grok-9}}", XAI_API_KEY="k")

    xai = config.providers["xai"]
    assert (xai.model, xai.base_url, xai.params.drop) == (
        "grok-9",
        "https://api.x.ai/v1",
        ["presence_penalty", "frequency_penalty", "stop"],
    )


def test_a_provider_with_a_kind_stands_for_itself_but_stays_at_home_or_away(tmp_path):
    config = owner(
        tmp_path,
        "providers: {xai: {kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m}}",
        **HOME,
    )

    assert config.providers["xai"].params.drop == []
    assert chains(config)["cloud"] == ["xai", "home"]


def test_the_owner_may_put_the_demo_model_into_a_chain(tmp_path):
    config = owner(tmp_path, "routes: {primary: {chain: [home, local]}}", **HOME)

    assert config.chain_of("primary") == ["home", "local"]
    assert config.engines == {"local": "builtin"}


def test_a_provider_of_the_owners_without_its_key_stands_in_the_chain_with_the_reason(tmp_path):
    config = owner(tmp_path, "providers: {xai: {model: grok-9}}", **HOME)

    assert config.chain_of("cloud") == ["xai", "home"]
    assert config.providers["xai"].disabled == "XAI_API_KEY is not set"


@pytest.mark.parametrize(
    "text",
    [
        "decisions: {COMPLEX: xai}\nroutes: {xai: {slow_ms: 9}}\n",
        "routes: {cloud: {slow_ms: 9}}\nmodels: [{exact: m, route: xai}]\n",
    ],
)
def test_xai_is_another_name_of_the_route_cloud(tmp_path, text):
    config = owner(tmp_path, text, **HOME)

    assert (config.decisions["COMPLEX"], config.routes["cloud"].slow_ms) == ("cloud", 9)
    assert "xai" not in config.routes
    assert [rule.route for rule in config.models] in ([], ["cloud"])


def test_a_route_xai_beside_a_route_cloud_is_a_route_of_its_own(tmp_path):
    config = owner(tmp_path, "routes: {cloud: {slow_ms: 9}, xai: {chain: [home]}}", **HOME)

    assert (config.aliases, config.chain_of("xai")) == ({}, ["home"])


def test_the_shipped_file_copied_and_edited_means_what_it_says(tmp_path):
    text = (ROOT / "config.yaml").read_text().replace("port: 8002", "port: 9000")

    copied, shipped = owner(tmp_path, text, **HOME), loader.load(ROOT / "config.yaml", HOME)

    assert copied.server.port == 9000
    assert (copied.routes, copied.providers) == (shipped.routes, shipped.providers)


def test_an_empty_file_changes_nothing(tmp_path):
    assert owner(tmp_path, "# nothing yet\n").server.port == 8002


def test_all_mistakes_are_told_at_once(tmp_path):
    (tmp_path / ".env").write_text("GOOD=1\n\nthis is no assignment\n")
    text = (
        "server: {prot: 1, threads: many}\n"
        "providers:\n"
        "  box: {kind: openia, base_url: 'http://10.0.0.1:1/v1', model: m}\n"
        "  other: {kind: openai, base_url: 'not a url', model: m}\n"
        "routes: {primary: {chain: [box, othr]}}\n"
    )

    with pytest.raises(ConfigError) as error:
        owner(tmp_path, text)

    assert [str(mistake) for mistake in error.value.mistakes] == [
        ".env:3: text: this line is no NAME=value",
        "headstart.yaml:1: server.prot: unknown key, did you mean port?",
        "headstart.yaml:1: server.threads: expected a whole number, found 'many'",
        "headstart.yaml:3: providers.box.kind: 'openia' is none of openai, anthropic, mlx, searxng",
        "headstart.yaml:4: providers.other.base_url: 'not a url' is no http(s) URL",
        "headstart.yaml:5: routes.primary.chain[1]: there is no provider 'othr', did you mean other?",
    ]


def told(tmp_path, text):
    with pytest.raises(ConfigError) as error:
        owner(tmp_path, text)
    return [str(mistake) for mistake in error.value.mistakes]


def test_what_only_follows_from_a_mistake_is_not_told(tmp_path):
    assert told(tmp_path, "providers:\n  home:\n    base_url:http://box:1/v1\n") == [
        "headstart.yaml:3: providers.home: expected a mapping, found '***'; "
        "a blank is missing after base_url:"
    ]
    assert told(tmp_path, "providers:\nhome:\n  vision: false\n") == [
        "headstart.yaml:1: providers: expected a mapping, found nothing",
        "headstart.yaml:2: home: unknown key; if it belongs to 'providers', indent it by 2 blanks more",
    ]


def test_a_shipped_provider_is_suggested_whoever_is_set_up(tmp_path):
    assert told(tmp_path, "providers: {hmoe: {vision: false}}\nroutes: {primary: {chain: [xia]}}\n") == [
        "headstart.yaml:1: providers.hmoe.kind: is required, did you mean home?",
        "headstart.yaml:2: routes.primary.chain[0]: there is no provider 'xia', did you mean xai?",
    ]


def test_a_misspelt_variable_of_env_is_told(tmp_path):
    (tmp_path / ".env").write_text(
        "# keys\nANTROPIC_API_KEY=k\nHOMEURL=http://box:1\nOPENAI_API_KEYS=theirs\nMINE=1\nTZ=UTC\n"
    )

    assert owner(tmp_path, "virtual_model: ${MINE}\n", OPENAI_API_KEY="k").hints == (
        ".env:2: ANTROPIC_API_KEY is not used, did you mean ANTHROPIC_API_KEY?",
        ".env:3: HOMEURL is not used, did you mean HOME_URL?",
    )


@pytest.mark.parametrize("line", ['"NAME=hush', "9NAME=hush", "NAME: hush", "NAME", "=hush", "MY NAME=hush"])
def test_a_line_of_env_that_names_nothing_is_told_without_its_text(tmp_path, line):
    (tmp_path / ".env").write_text(f"GOOD=1\n{line}\n")

    assert told(tmp_path, "") == [".env:2: text: this line is no NAME=value"]


def test_a_file_in_place_of_the_data_folder_is_told(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"^environment: HEADSTART_DATA: .*/file is no folder$"):
        loader.load(environ={"HEADSTART_DATA": str(tmp_path / "file")})


def test_a_faulty_variable_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"^environment: HOME_URL: 'nonsense here' is no http\(s\) URL$"):
        owner(tmp_path, "", HOME_URL="nonsense here", HOME_MODEL="m")


def test_a_faulty_variable_of_the_env_file_has_its_line_there(tmp_path):
    (tmp_path / ".env").write_text("# mine\n\nHOME_MODEL=m\nexport HOME_URL=::1\n")

    with pytest.raises(ConfigError, match=r"^\.env:4: HOME_URL: '::1' is no http\(s\) URL$"):
        owner(tmp_path, "")


def test_keys_that_cannot_be_read_are_not_missing_as_well(tmp_path):
    with pytest.raises(ConfigError) as error:
        owner(tmp_path, 'server: {host: 0.0.0.0, api_keys: {kids: "${KIDS}"}}\n')

    assert [one.key_path for one in error.value.mistakes] == ["server.api_keys"]


def test_what_is_written_lies_in_the_data_folder(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("server: {port: 9000}\n")
    named = {"HEADSTART_CONFIG": str(tmp_path / "conf" / "mine.yaml")}

    beside = loader.load(environ=named)
    apart = loader.load(environ={**named, "HEADSTART_DATA": str(tmp_path / "data")})

    assert beside.written("app.log") == tmp_path / "conf" / "app.log"
    assert apart.written("app.log") == tmp_path / "data" / "app.log"


def test_a_prompt_of_the_owners_takes_the_place_of_ours_by_name(tmp_path):
    (tmp_path / "my-prompts").mkdir()
    (tmp_path / "my-prompts" / "primary.md").write_text("be kind")

    config = owner(tmp_path, "")

    assert config.resolve("prompts/primary.md").read_text() == "be kind"
    assert config.resolve("prompts/meta.md") == ROOT / "prompts" / "meta.md"
