"""A graph answers as the model it came from: several inputs and outputs, any batch, and whatever kills the runtime."""

import numpy as np
import pytest
import torch

from trainworks import onnx
from trainworks.errors import ParityError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the exporter's own


class Weighted(torch.nn.Module):
    """Values (n, k) by a weight (n, 1): their mean (n, 1) and what they add up to (n,)."""

    def forward(self, values, weights):
        weighted = values * weights
        return weighted.mean(1, keepdim=True), weighted.sum(1)


INPUTS = {"values": np.arange(15, dtype=np.float32).reshape(5, 3), "weights": np.full((5, 1), 100, np.float32)}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """`Weighted` as a file."""
    path = tmp_path_factory.mktemp("graph") / "weighted.onnx"
    example = {name: torch.from_numpy(values[:2]) for name, values in INPUTS.items()}
    onnx.export(Weighted(), example, ["mean", "sum"], path)
    return path


@pytest.fixture
def expected():
    """What `Weighted` answers to INPUTS."""
    mean, total = Weighted()(*map(torch.from_numpy, INPUTS.values()))
    return {"mean": mean.numpy(), "sum": total.numpy()}


def test_all_outputs_of_all_inputs_are_compared(graph, expected):
    """In batches that divide the rows and in batches that do not."""
    parity = onnx.check_parity(graph, INPUTS, expected, absolute=1e-3)
    assert parity["max_abs"] == pytest.approx(0, abs=1e-3) and parity["max_share"] == pytest.approx(parity["max_abs"] / 1e-3)
    assert (parity["batches"], parity["tolerance"], parity["relative_tolerance"]) == ([1, 2, 3, 8], 1e-3, 0.0)
    expected["sum"] = expected["sum"] + np.float32([0, 0, 0, 0, 1])
    with pytest.raises(ParityError, match=r"weighted.onnx: sum differs from its model by 1\.00e\+00, allowed 0\.001; .* {1: 1"):
        onnx.check_parity(graph, INPUTS, expected, absolute=1e-3)


def test_a_relative_tolerance_grows_with_the_value(graph, expected):
    """A thousandth of 3900 is allowed where 3 are wrong, and is not where 300 are expected."""
    expected["sum"] = expected["sum"] + np.float32([0, 0, 0, 0, 3])
    assert onnx.check_parity(graph, INPUTS, expected, absolute=1e-3, relative=1e-3)["max_abs"] == pytest.approx(3, abs=0.01)
    expected["sum"] = expected["sum"] + np.float32([3, 0, 0, 0, 0])
    with pytest.raises(ParityError, match=r"sum differs from its model by 3\.00e\+00, allowed 0\.3"):
        onnx.check_parity(graph, INPUTS, expected, absolute=1e-3, relative=1e-3)


def test_what_is_no_number_or_has_another_shape_differs(graph, expected):
    """NaN is within no tolerance, and rows are not compared with columns."""
    with pytest.raises(ParityError, match=r"mean has the shape \(5, 1\), expected that of its model, \(5,\)"):
        onnx.check_parity(graph, INPUTS, expected | {"mean": expected["mean"][:, 0]}, absolute=1e9)
    with pytest.raises(ParityError, match=r"sum differs from its model by nan"):
        onnx.check_parity(graph, INPUTS, expected | {"sum": expected["sum"] * np.float32("nan")}, absolute=1e9)


def test_a_graph_that_reads_what_is_cut_off_is_a_parity_error(tmp_path):
    """A graph that takes rows of any length, but whose answer depends on the padding, must not be cut."""

    class Mean(torch.nn.Module):
        def forward(self, ids):
            return ids.float().mean(1, keepdim=True)

    ids = torch.tensor([[3, 4, 0, 0, 0, 0], [5, 6, 7, 0, 0, 0]])
    onnx.export(Mean(), {"ids": ids[:, :3]}, ["means"], tmp_path / "mean.onnx", longest=6)
    inputs, expected = {"ids": ids.numpy()}, {"means": Mean()(ids).numpy()}
    onnx.check_parity(tmp_path / "mean.onnx", inputs, expected, absolute=1e-5)
    with pytest.raises(ParityError, match=r"mean.onnx: means differs from its model by 3\.00e\+00"):
        onnx.check_parity(tmp_path / "mean.onnx", inputs, expected, absolute=1e-5, lengths=np.array([2, 3]))


def test_one_graph_serves_all_weights_of_an_architecture(tmp_path):
    """Parameters and buffers are those of the model that fills it; the graph itself is small, and holds none."""

    class Scaled(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.linear = torch.nn.Linear(64, 64)
            self.norm = torch.nn.BatchNorm1d(64)
            self.register_buffer("scale", torch.tensor([scale]), persistent=False)

        def forward(self, values):
            return self.norm(self.linear(values)) * self.scale

    values = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    onnx.trace(Scaled(1.0), {"values": values[:2]}, ["scaled"], tmp_path / "scaled.graph")
    assert (tmp_path / "scaled.graph").stat().st_size < 64 * 64
    for scale in (2.0, 3.0):
        model = Scaled(scale).eval()
        onnx.fill(tmp_path / "scaled.graph", model, tmp_path / "scaled.onnx")
        onnx.check_parity(tmp_path / "scaled.onnx", {"values": values.numpy()}, {"scaled": model(values).detach().numpy()}, absolute=1e-5)


def test_a_graph_that_kills_the_runtime_is_a_parity_error(tmp_path):
    """The child process dies, the pipeline does not; the error is the runtime's own, whole."""
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(ParityError, match=r"broken.onnx: onnxruntime ended with 1 on this graph: onnxruntime\..*InvalidProtobuf"):
        onnx.check_parity(tmp_path / "broken.onnx", {"x": np.zeros((1, 3))}, {"y": np.zeros((1, 3))}, absolute=1e-5)


def test_an_output_that_the_graph_lacks_is_a_parity_error(graph):
    """By name."""
    with pytest.raises(ParityError, match="median"):
        onnx.check_parity(graph, INPUTS, {"median": np.zeros(5)}, absolute=1e-5)
