"""A secret in a URI is refused before the URI can reach a log, a report or a manifest; the refusal does not repeat it."""

import pytest

from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.model import weights
from trainworks.photostock.search import Encoders
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.release import releases
from trainworks.storage import credentials, s3, store

CANARY = "c4n4ry"
URIS = [
    f"s3://AKIA:{CANARY}@bucket/photos",
    f"s3://AKIA:{CANARY}/with/slashes+{CANARY}=@bucket/photos",
    f"s3://{CANARY}@bucket/photos",
    f"s3://bucket/photos?X-Amz-Credential=AKIA&X-Amz-Signature={CANARY}",
    f"https://user:{CANARY}@example.org/catalogue.csv",
    f"https://example.org/model.pt?X-Amz-Signature={CANARY}",
    f"https://example.org/model.pt?version=1&sig={CANARY}",
    f"https://example.org/model.pt?access_token={CANARY}",
    f"ftp://user:{CANARY}@example.org/",
]
TAKERS = {
    "source": catalogue.check,
    "weights": lambda uri: weights.digest(TrainConfig(weights=uri).weights),
    "release_to": releases.check_target,
    "serving": Encoders.load,
}


@pytest.mark.parametrize(("name", "uri"), [(name, uri) for name in TAKERS for uri in URIS if name != "serving" or uri.startswith("s3:")])
def test_a_uri_with_a_secret_is_refused_without_repeating_it(name, uri, caplog, capfd):
    """Wherever a person gives a URI; of a service, which takes only folders and S3, those of S3."""
    with pytest.raises(ValueError, match="expected a URI without credentials") as refused:
        TAKERS[name](uri)
    output = "".join(map(str, (refused.value, refused.value.__cause__, refused.value.__context__, caplog.text, *capfd.readouterr())))
    assert CANARY not in output and "AWS_ACCESS_KEY_ID" in output


@pytest.mark.parametrize("variable", ["TRAINWORKS_ARTIFACTS", "AWS_ENDPOINT_URL"])
def test_a_variable_with_a_secret_in_its_uri_is_refused_too(variable, monkeypatch):
    """Both are repeated in messages."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://bucket/artifacts")
    monkeypatch.setenv(variable, f"s3://key:{CANARY}@bucket" if variable == "TRAINWORKS_ARTIFACTS" else f"http://key:{CANARY}@localhost:1")
    with pytest.raises(ValueError, match="without credentials") as refused:
        store.check()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "sample",
        "my/photos",
        "a@b/catalogue.csv",
        "s3://bucket/photos",
        "s3://bucket/2026-11-23/photo@2x",
        "s3://bucket/what?.csv",
        "https://example.org:8080/a",
        "ViT-B-32",
        "",
    ],
)
def test_an_ordinary_name_or_uri_passes(uri):
    """An @ in a path is no user."""
    credentials.refuse("source", uri)


def test_every_request_to_s3_is_guarded():
    """Also by those whom no first step has checked, such as `python -m trainworks compare`."""
    for call in (s3.read, s3.stat, lambda uri: list(s3.listing(uri)), s3.delete):
        with pytest.raises(ValueError, match="without credentials"):
            call(URIS[0])
