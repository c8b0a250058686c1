"""A bundle with one bit that is another is refused before any of its files is parsed."""

import pyarrow as pa
import pytest

from tests.bit_flips import flipped
from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks.errors import IntegrityError
from trainworks.supermegaretail.forecaster import Forecaster


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """What a service loads."""
    return toy_forecaster.write(toy_panel.panel(stores=1, known=20), tmp_path_factory.mktemp("tampered"))


@pytest.mark.parametrize("name", ["forecaster.onnx", "features.json", "state.parquet", "manifest.json"])
def test_a_bundle_with_a_flipped_bit_is_not_loaded(bundle, name, monkeypatch):
    """200 of 200 in each of its files and in the manifest itself; neither onnxruntime nor parquet nor the recipe sees any of them."""
    Forecaster.load(bundle)
    with monkeypatch.context() as patch:
        for parser in ("onnxruntime.InferenceSession", "trainworks.supermegaretail.forecaster.state.read"):
            patch.setattr(parser, lambda *_, **__: pytest.fail("parsed"))
        patch.setattr("trainworks.supermegaretail.forecaster.Recipe.from_json", lambda *_: pytest.fail("parsed"))
        for _ in flipped(bundle / name):
            with pytest.raises(IntegrityError):
                Forecaster.load(bundle)
    assert len(Forecaster.load(bundle).forecast()) == 4 * 4


@pytest.mark.parametrize("change", ["a file less", "a file more", "another bundle's file"])
def test_a_bundle_of_other_files_is_not_loaded_or_they_are_not_looked_at(tmp_path, change):
    """One that is missing or of another bundle is refused; one that no manifest names is not read."""
    folder = toy_forecaster.write(toy_panel.panel(stores=1, known=20), tmp_path / "bundle")
    if change == "a file more":
        (folder / "weights.pkl").write_bytes(b"\x80\x04\x95")
        assert isinstance(Forecaster.load(folder).forecast(), pa.Table)
        return
    if change == "a file less":
        (folder / "state.parquet").unlink()
    else:
        other = toy_forecaster.write(toy_panel.panel(stores=1, known=20, seed=1), tmp_path / "other")
        (folder / "state.parquet").write_bytes((other / "state.parquet").read_bytes())
    with pytest.raises(IntegrityError, match=r"state\.parquet"):
        Forecaster.load(folder)
