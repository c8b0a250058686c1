"""`trainworks cluster check` against a control plane that lacks something: each lack is a sentence with what to do."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.tasks.fake_admin import FakeAdmin
from tests.tasks.flyte.admin_rules import HELM
from trainworks.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore")  # flytekit's own


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run the command against *admin*: what it printed. *images* and *more* arguments as given."""
    for name in ("FLYTE_PLATFORM_URL", "FLYTE_DEFAULT_PROJECT", "FLYTE_DEFAULT_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://flyte/artifacts")
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(admin: FakeAdmin, *more: str, images: tuple[str, ...] = ("cpu", "gpu"), registry: str = "localhost:30000") -> str:
        settings = {
            "admin": {"endpoint": f"dns:///{admin.endpoint}", "insecure": True},
            "images": {name: f"{registry}/{name}:1" for name in images},
        }
        file = tmp_path / "flyte.config.yaml"
        file.write_text(yaml.safe_dump(settings))
        try:
            assert main(["cluster", "check", "--config", str(file), *more]) == 1
        finally:
            admin.close()
        return " ".join(capsys.readouterr().out.split())

    return run


def closed() -> FakeAdmin:
    """One that is down."""
    admin = FakeAdmin()
    admin.close()
    admin.close = lambda: None  # type: ignore[method-assign]
    return admin


@pytest.mark.parametrize(
    ("admin", "more", "says"),
    [
        (closed, [], r"127.0.0.1:\d+ does not answer .*: is it up, and reachable from here\? See admin.endpoint in .*flyte.config.yaml"),
        (lambda: FakeAdmin(version="v1.10.6"), [], "is Flyte v1.10.6: expected 1.13 or newer"),
        (
            FakeAdmin,
            ["--project", "nobody"],
            "no project 'nobody', there are flytesnacks: name one by --project, or flytectl",
        ),
        (FakeAdmin, ["--domain", "staging"], "no domain 'staging', there are development, production: name one by --domain"),
        (
            lambda: FakeAdmin(HELM),
            [],
            r"Requested (CPU|MEMORY) default \[\w+\] is greater than current limit .*: raise the limits .*, or register with "
            "TRAINWORKS_SIZE=laptop",
        ),
    ],
)
def test_what_a_cluster_lacks_is_a_sentence(admin: Callable[[], FakeAdmin], more, says, check):
    """With what to do."""
    assert re.search(says, check(admin(), *more))


@pytest.mark.parametrize(
    ("images", "registry", "says"),
    [
        (("cpu",), "localhost:30000", "names no image 'gpu'; see images in flyte.config.yaml"),
        (("cpu", "gpu"), "registry.example.com", "images.cpu = registry.example.com/cpu:1 is an example; push the image"),
    ],
)
def test_images_must_have_names_of_ones_own(images, registry, says, check):
    """Both, and none of an example."""
    assert says in check(FakeAdmin(), images=images, registry=registry)


def test_an_artifact_root_is_needed(check, monkeypatch):
    """That every pod can write to."""
    monkeypatch.delenv("TRAINWORKS_ARTIFACTS")
    assert "TRAINWORKS_ARTIFACTS = '': expected s3://bucket/prefix, which every pod of the cluster can write to" in check(FakeAdmin())


def test_a_configuration_must_be_there(capsys):
    """Or which ones there are is said."""
    assert main(["cluster", "check", "--config", str(Path("nowhere.yaml"))]) != 0
    said = capsys.readouterr()
    assert "nowhere.yaml: no such file; flyte.config.yaml is for a sandbox" in said.out + said.err
