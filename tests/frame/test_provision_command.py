"""`maplebridge provision`: servers that run already, told of by the environment alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from maplebridge import city
from maplebridge.cli import main
from maplebridge.deployment import NEEDED, profile_from_environment
from maplebridge.errors import InputError
from maplebridge.settings import Handover, Profile, load_settings


def told(profile: Profile, home: Path) -> dict[str, str]:
    return {
        "MAPLEBRIDGE_HOME": str(home),
        "MAPLEBRIDGE_KAFKA_BOOTSTRAP": profile.kafka_bootstrap,
        "MAPLEBRIDGE_REGISTRY_URL": profile.registry_url,
        "MAPLEBRIDGE_POSTGRES_HOST": profile.postgres_host,
        "MAPLEBRIDGE_POSTGRES_PORT": str(profile.postgres_port),
        "MAPLEBRIDGE_KEY_BROKER_URL": profile.key_broker_url,
        "MAPLEBRIDGE_ROOT_PASSPHRASE": profile.root_passphrase,
        "MAPLEBRIDGE_SECRETS": json.dumps({name: profile.secret(name) for name in NEEDED}),
    }


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["provision", *arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPLEBRIDGE_HOME", str(tmp_path))
    assert run() == InputError.exit_code
    complaint = capsys.readouterr().err
    assert "MAPLEBRIDGE_KAFKA_BOOTSTRAP" in complaint
    assert "docs/deployment.md" in complaint


def test_a_principal_without_a_secret_is_named(
    provisioned: Profile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    variables = told(provisioned, tmp_path)
    secrets = json.loads(variables["MAPLEBRIDGE_SECRETS"])
    del secrets["relay"]
    give(monkeypatch, {**variables, "MAPLEBRIDGE_SECRETS": json.dumps(secrets)})
    assert run() == InputError.exit_code
    complaint = capsys.readouterr().err
    assert "relay" in complaint
    assert secrets["combine"] not in complaint


def test_who_was_revoked_since_gets_nothing_from_the_environments_old_secret(
    provisioned: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = Handover(state="revoked")
    since = provisioned.model_copy(update={"home": tmp_path, "handovers": {"dept-grid": gone}})
    since.without_handed_over().save()
    give(monkeypatch, told(provisioned, tmp_path))
    again = profile_from_environment()
    assert again.revoked == {"dept-grid"}
    assert "dept-grid" not in again.secrets
    # and who was not keeps the signing key that is enrolled
    kept = {name: key for name, key in provisioned.signing_keys.items() if name != "dept-grid"}
    assert again.signing_keys == kept


def test_accounts_that_are_there_are_left_alone(
    provisioned: Profile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    give(monkeypatch, told(provisioned, tmp_path))
    assert run("--accounts-only", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kafka_users_made"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_provisioned_city_is_provisioned_again_and_its_profile_serves_commands(
    provisioned: Profile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    # the key broker's root and epochs and the audit log's signing key are files of that home
    for folder in ("key-broker", "audit"):
        shutil.copytree(provisioned.home / folder, home / folder)
    give(monkeypatch, told(provisioned, home))
    assert run("--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["key_broker_public_key"] == provisioned.key_broker_public_key
    assert answer["audit_public_key"] == provisioned.audit_public_key
    assert (home / "profile.json").stat().st_mode & 0o077 == 0
    assert city.running_profile(home).settings("query") == Profile.load(home).settings("query")


def test_a_service_takes_the_environment_of_its_own_principal(
    provisioned: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = {**provisioned.environment("relay"), "MAPLEBRIDGE_HOME": str(tmp_path)}
    give(monkeypatch, environment)
    settings = load_settings("relay")
    assert settings.principal == "relay"
    assert settings.home == tmp_path
    assert settings.secret.get_secret_value() == provisioned.secret("relay")
