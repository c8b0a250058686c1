"""Models to ONNX, and proof that each graph answers as the model it came from."""

import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trainworks.errors import ParityError, last_words

OPSET = 18
LARGEST_BATCH = 4096
PARITY_BATCHES = (1, 2, 3, 8)
WEIGHTS = "weights"
"""The file that a graph without weights says they are in; there is none."""


def export(model, inputs: Mapping, outputs: Sequence[str], path: Path, longest: int | None = None) -> None:
    """Write the torch module *model* with its weights to *path*; the arguments are those of :func:`trace`."""
    with tempfile.TemporaryDirectory() as temporary:
        trace(model, inputs, outputs, Path(temporary) / "graph", longest)
        fill(Path(temporary) / "graph", model, path)


def trace(model, inputs: Mapping, outputs: Sequence[str], path: Path, longest: int | None = None) -> None:
    """Write the graph of the torch module *model*, with its *outputs* named in order and without weights, to *path*. Its batch is dynamic.

    *inputs* are a tensor for each argument of *model*, by the name that it gets. All have a batch of two: one row would be burnt
    in as a constant. If *longest* is given, their second axis, equal in all and shorter than *longest*, may have any length up to that.
    Tracing takes far longer than :func:`fill`, and is the same for all weights.
    """
    import onnx_ir
    import torch

    model.eval()
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # the graph is the same, and what works in place takes the exporter three times as long
    with _quiet(), torch.no_grad():  # tracing what gradients would need takes a quarter longer
        dynamic = {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}
        if longest:
            dynamic[1] = torch.export.Dim("length", min=2, max=longest)
        program = torch.onnx.export(
            model,
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=(dynamic,) * len(inputs),
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            optimize=False,  # it would mix the weights
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    weights = _weights(model)
    for name, value in program.model.graph.initializers.items():
        if name in weights:
            held, shape = value.const_value, value.shape
            assert held is not None and shape is not None, "an initializer has both"
            value.const_value = onnx_ir.ExternalTensor(WEIGHTS, 0, held.nbytes, held.dtype, shape=shape, name=name)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the exporter's stack traces, with the paths of this machine: another folder would be another file
    onnx_ir.save(program.model, path)


def fill(graph: Path, model, path: Path) -> None:
    """Write the *graph* that :func:`trace` made of a torch module with the weights of *model*, one of the same architecture, to *path*."""
    import onnx_ir
    import torch

    model.eval()
    whole, weights = onnx_ir.load(graph), _weights(model)
    for name, value in whole.graph.initializers.items():
        if isinstance(value.const_value, onnx_ir.ExternalTensor):
            value.const_value = onnx_ir.tensor(weights[name].detach().numpy(), name=name)
    program = torch.onnx.ONNXProgram(whole, None)
    with _quiet():
        program.optimize()
    program.save(str(path), external_data=False)


def _weights(model) -> dict:
    """Parameters and buffers by name, also those that no checkpoint holds."""
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own parts: deprecations, and constants that it leaves unfolded."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def quantise(path: Path, to: Path) -> None:
    """Write the fp32 graph *path* with 8-bit matrices to *to*; activations are quantised as they come.

    Convolutions stay fp32: on CPU their dynamic 8-bit kernels are several times slower.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(path, to, ["MatMul", "Gemm", "Gather"], weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop onnxruntime's advice to pre-process, which suits static quantisation."""
    return "pre-processing before quantization" not in record.getMessage()


def check_parity(
    path: Path,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    *,
    absolute: float,
    relative: float = 0.0,
    lengths: np.ndarray | None = None,
    batches: Sequence[int] = PARITY_BATCHES,
) -> dict:
    """Compare what the graph in *path* gives for *inputs*, by name (n, …), with *expected*, by name (n, …), in *batches* of several sizes.

    A value may differ by *absolute* and, beside that, by *relative* of what is expected. *lengths* (n,) are the columns of every
    row that are read, in all inputs: each batch is then cut to the longest of its own, as serving cuts it. The graph runs in a
    child process: one that crashes the runtime must not take the pipeline with it.

    Returns:
        {"max_abs": largest difference, "max_share": of what it may be, "batches": sizes tried, "tolerance": *absolute*,
        "relative_tolerance": *relative*}

    Raises:
        ParityError: a value differs by more than that, an output has another shape, or the runtime died.
    """
    answers = _answers(path, inputs, list(expected), lengths, batches)
    largest = []
    for output, right in expected.items():
        if answers[output].shape[1:] != right.shape:
            raise ParityError(f"{path.name}: {output} has the shape {answers[output].shape[1:]}, expected that of its model, {right.shape}")
        difference, allowed = np.abs(answers[output] - right), absolute + relative * np.abs(right)
        worst = np.unravel_index((difference - allowed).argmax(), difference.shape)  # of numbers and NaN, argmax is the NaN
        if not difference[worst] <= allowed[worst[1:]]:
            by_batch = {size: float(each.max()) for size, each in zip(batches, difference, strict=True)}
            raise ParityError(
                f"{path.name}: {output} differs from its model by {difference[worst]:.2e}, allowed {allowed[worst[1:]]:.2g}; "
                f"largest difference by batch size {by_batch}"
            )
        largest.append((float(difference.max()), float((difference / np.maximum(allowed, 1e-300)).max())))
    whole, share = (max(values) for values in zip(*largest, strict=True))
    return {"max_abs": whole, "max_share": share, "batches": list(batches), "tolerance": absolute, "relative_tolerance": relative}


def _answers(
    path: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], lengths: np.ndarray | None, batches: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each of *outputs* (batch sizes, n, …): what the graph gives for *inputs* in a child process."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, values in inputs.items():
            np.save(folder / f"input-{name}.npy", values)
        if lengths is not None:
            np.save(folder / "lengths.npy", lengths)
        np.save(folder / "batches.npy", np.array(batches))
        child = subprocess.run(
            [sys.executable, "-m", "trainworks.onnx", path, folder, *outputs], capture_output=True, text=True, check=False
        )
        if child.returncode:
            raise ParityError(f"{path.name}: onnxruntime ended with {child.returncode} on this graph: {last_words(child.stderr)}")
        return {output: np.load(folder / f"output-{output}.npy") for output in outputs}


def _run(path: str, folder: Path, outputs: Sequence[str]) -> None:
    """The child process of `_answers`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {each.name: np.load(folder / f"input-{each.name}.npy") for each in session.get_inputs()}
    lengths = np.load(folder / "lengths.npy") if (folder / "lengths.npy").exists() else None
    count = len(next(iter(inputs.values())))
    answers: list[list[np.ndarray]] = []
    for size in np.load(folder / "batches.npy").tolist():
        batches = [slice(start, start + size) for start in range(0, count, size)]
        parts = [session.run(outputs, _batch(inputs, rows, lengths)) for rows in batches]
        answers.append([np.concatenate(part) for part in zip(*parts, strict=True)])
    for output, by_size in zip(outputs, zip(*answers, strict=True), strict=True):
        np.save(folder / f"output-{output}.npy", np.stack(by_size))


def _batch(inputs: Mapping[str, np.ndarray], rows: slice, lengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Those *rows* of each of *inputs*, cut to the longest of them."""
    if lengths is None:
        return {name: values[rows] for name, values in inputs.items()}
    return {name: values[rows, : lengths[rows].max()] for name, values in inputs.items()}


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
