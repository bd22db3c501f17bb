"""What an owner edited in shipped files is moved to the owner's own, and the next pull is clean."""

import shutil
import subprocess

import pytest
import yaml

from deploy.carry_over import carry_over
from settings import loader
from tests.support.server import ROOT

OLD = """\
server: {host: 127.0.0.1, port: 8002}
providers:
  local: {kind: mlx, model: builtin}
  xai: {kind: openai, base_url: https://api.x.ai/v1, model: grok-old, api_key: "${KEY}", max_queued: 3}
routes:
  primary: {chain: [local], system_prompt: prompts/primary.md}
"""


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=o", "-c", "user.email=o@example", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commit(folder, **texts):
    for name, text in texts.items():
        path = folder / {"config": "config.yaml", "primary": "prompts/primary.md"}.get(
            name, "prompts/meta_markers.yaml"
        )
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "shipped")


@pytest.fixture
def clone(tmp_path):
    """An owner's clone of a repository that ships a configuration, a prompt and markers."""
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    git(upstream, "init", "-q", "-b", "main")
    (upstream / ".gitignore").write_text("/headstart.yaml\n/my-prompts/\n/carried-over/\n")
    markers = "task_headers: [X-Task]\nmarkers:\n  - {name: a, user: {start: hello}}\n"
    commit(upstream, config=OLD, primary="be brief\n", markers=markers)
    git(tmp_path, "clone", "-q", str(upstream), "owner")
    return tmp_path / "owner"


def edit(clone):
    (clone / "config.yaml").write_text(
        OLD.replace("8002", "9000").replace("grok-old", "grok-mine").replace("[local]", "[xai, local]")
    )
    (clone / "prompts" / "primary.md").write_text("be kind\n")
    markers = clone / "prompts" / "meta_markers.yaml"
    markers.write_text(markers.read_text() + "  - {name: mine, user: {start: moin}}\n")


def ship(clone):
    """Upstream changes every shipped file."""
    upstream = clone.parent / "upstream"
    markers = "task_headers: [X-Task]\nmarkers:\n  - {name: a, user: {start: hi}}\n"
    commit(
        upstream,
        config=OLD.replace("grok-old", "grok-new").replace("8002", "8003"),
        primary="be brief, please\n",
        markers=markers,
    )


def own_settings(clone):
    return yaml.safe_load((clone / "headstart.yaml").read_text())


MINE = {
    "server": {"port": 9000},
    "providers": {"xai": {"model": "grok-mine"}},
    "routes": {"primary": {"chain": ["xai", "local"]}},
}


def check_carried(clone):
    assert own_settings(clone) == MINE
    assert (clone / "my-prompts" / "primary.md").read_text() == "be kind\n"
    own = yaml.safe_load((clone / "my-prompts" / "meta_markers.yaml").read_text())
    assert own == {"markers": [{"name": "mine", "user": {"start": "moin"}}]}
    assert git(clone, "status", "--porcelain") == ""


def test_edits_are_moved_and_the_next_pull_is_clean(clone):
    edit(clone)

    told = carry_over(clone, {})

    check_carried(clone)
    assert told == (
        "Carried over: your edits of config.yaml, prompts/meta_markers.yaml, prompts/primary.md stand in "
        "headstart.yaml, my-prompts/ now; the files as they were are in carried-over/"
    )
    ship(clone)
    git(clone, "pull", "-q", "--ff-only")
    assert carry_over(clone, {}) is None
    assert own_settings(clone) == MINE


def test_an_update_that_met_a_conflict_is_carried_over(clone):
    edit(clone)
    ship(clone)
    git(clone, "stash")
    git(clone, "pull", "-q", "--ff-only")
    with pytest.raises(subprocess.CalledProcessError):
        git(clone, "stash", "pop")

    carry_over(clone, {})

    check_carried(clone)
    assert "grok-new" in (clone / "config.yaml").read_text()


def test_edits_that_were_committed_are_carried_over_from_a_merge_in_conflict(clone):
    """There the owner has the side "ours", what comes in is shipped, and a new prompt is no edit."""
    edit(clone)
    git(clone, "commit", "-qam", "mine")
    ship(clone)
    (clone.parent / "upstream" / "prompts" / "new.md").write_text("new\n")
    commit(clone.parent / "upstream")
    git(clone, "config", "user.name", "o")
    git(clone, "config", "user.email", "o@example")
    with pytest.raises(subprocess.CalledProcessError):
        git(clone, "pull", "-q", "--no-rebase")

    told = carry_over(clone, {})

    assert told.endswith("; `git commit --no-edit` completes the update")
    assert own_settings(clone) == MINE
    assert (clone / "my-prompts" / "primary.md").read_text() == "be kind\n"
    assert not (clone / "my-prompts" / "new.md").exists()
    assert "grok-new" in (clone / "config.yaml").read_text()
    git(clone, "commit", "--no-edit")
    assert git(clone, "diff", "HEAD", "origin/main") == ""
    assert carry_over(clone, {}) is None


def test_a_conflict_where_there_is_an_owners_file_already_is_put_beside_it(clone):
    edit(clone)
    (clone / "headstart.yaml").write_text("server: {port: 1}\n")
    ship(clone)
    git(clone, "stash")
    git(clone, "pull", "-q", "--ff-only")
    with pytest.raises(subprocess.CalledProcessError):
        git(clone, "stash", "pop")

    assert "stand in carried-over/headstart.yaml, my-prompts/ now" in carry_over(clone, {})

    assert own_settings(clone) == {"server": {"port": 1}}
    assert yaml.safe_load((clone / "carried-over" / "headstart.yaml").read_text()) == MINE
    assert git(clone, "status", "--porcelain") == ""


def test_what_was_taken_out_stays_out(clone):
    (clone / "config.yaml").write_text(OLD.replace(", system_prompt: prompts/primary.md", ""))
    (clone / "prompts" / "meta_markers.yaml").write_text("task_headers: [X-Task]\nmarkers: []\n")

    carry_over(clone, {})

    assert own_settings(clone) == {"routes": {"primary": {"system_prompt": None}}}
    own = yaml.safe_load((clone / "my-prompts" / "meta_markers.yaml").read_text())
    assert own == {"without": ["a"]}


def test_an_edit_that_is_no_utf_8_stays_where_it_is(clone):
    (clone / "prompts" / "primary.md").write_bytes(b"K\xf6ln\n")

    assert carry_over(clone, {}) is None
    assert (clone / "prompts" / "primary.md").read_bytes() == b"K\xf6ln\n"


def test_an_edited_file_of_an_older_version_is_compared_with_that_version(clone):
    edit(clone)
    mine = (clone / "config.yaml").read_text()
    git(clone, "checkout", "-q", "HEAD", "--", ".")
    ship(clone)
    git(clone, "pull", "-q", "--ff-only")
    (clone / "config.yaml").write_text(mine)

    carry_over(clone, {})

    assert own_settings(clone) == MINE


def test_a_provider_that_lost_a_key_is_taken_whole(clone):
    (clone / "config.yaml").write_text(OLD.replace(", max_queued: 3", ""))

    carry_over(clone, {})

    assert own_settings(clone)["providers"]["xai"] == {
        "kind": "openai",
        "base_url": "https://api.x.ai/v1",
        "model": "grok-old",
        "api_key": "${KEY}",
    }


def test_an_owners_file_that_is_there_already_stays(clone):
    (clone / "headstart.yaml").write_text("server: {port: 1}\n")
    edit(clone)
    git(clone, "checkout", "-q", "HEAD", "--", "prompts")

    told = carry_over(clone, {})

    assert told == "config.yaml is edited, which stops the next update: move the change into headstart.yaml"
    assert (clone / "headstart.yaml").read_text() == "server: {port: 1}\n"
    assert "grok-mine" in (clone / "config.yaml").read_text()


def test_everything_goes_into_the_data_folder_where_there_is_one(clone, tmp_path):
    edit(clone)

    carry_over(clone, {"HEADSTART_DATA": str(tmp_path / "data")})

    assert yaml.safe_load((tmp_path / "data" / "headstart.yaml").read_text()) == MINE
    assert (tmp_path / "data" / "my-prompts" / "primary.md").read_text() == "be kind\n"
    assert (tmp_path / "data" / "carried-over" / "prompts" / "primary.md").is_file()


@pytest.mark.parametrize("environ", [{}, {"HEADSTART_CONFIG": "mine.yaml"}], ids=["clean", "another file"])
def test_where_nothing_is_to_be_moved_nothing_happens(clone, environ):
    if environ:
        edit(clone)

    assert carry_over(clone, environ) is None
    assert not (clone / "headstart.yaml").exists()


def test_without_git_an_edited_file_goes_on_as_it_is(clone):
    edit(clone)
    shutil.rmtree(clone / ".git")

    assert carry_over(clone, {}) is None
    assert "grok-mine" in (clone / "config.yaml").read_text()


def test_an_edited_configuration_of_today_behaves_as_edited_afterwards(tmp_path):
    """The file that was shipped before there was an owner's file, with an edit, over today's."""
    versions = git(ROOT, "log", "--format=%H", "--", "config.yaml").split()
    if len(versions) < 2:
        pytest.skip("a clone without its history")
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "-q", "--shared", str(ROOT), str(checkout))
    before = next(
        text for commit in versions if "\n  home:" not in (text := git(ROOT, "show", f"{commit}:config.yaml"))
    )
    (checkout / "config.yaml").write_text(before.replace("port: 8002", "port: 9000"))

    assert carry_over(checkout, {}).startswith("Carried over: your edits of config.yaml ")

    assert own_settings(checkout) == {"server": {"port": 9000}}
    config = loader.load(checkout / "headstart.yaml", {"VLLM_URL": "http://10.0.0.1:1/v1", "VLLM_MODEL": "m"})
    assert (config.server.port, config.chain_of("primary")) == (9000, ["vllm"])
