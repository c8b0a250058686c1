"""Models to ONNX, and proof that each answers as the one it came from."""

import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainworks.errors import ParityError, last_words

OPSET = 18
LARGEST_BATCH = 4096
TOLERANCE = 1e-5
"""Largest difference in any number that an ONNX graph answers, and its torch model."""

PARITY_BATCHES = (1, 2, 3, 8)


def export(encoder, example, path: Path, input_name: str, output_name: str, longest: int | None = None) -> None:
    """Write the torch module *encoder* to *path*, with a dynamic batch and, if *longest* is given, rows of any length up to that.

    *example* is a tensor with a batch of two, shorter than *longest*: one row, or the longest, would be burnt in as a constant.
    """
    import torch

    encoder.eval()
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # its constant folding warns of what it leaves unfolded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter deprecates its own parts
        dynamic = {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}
        if longest:
            dynamic[1] = torch.export.Dim("length", min=2, max=longest)
        program = torch.onnx.export(
            encoder,
            (example,),
            dynamo=True,
            dynamic_shapes=(dynamic,),
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    for node in program.model.graph:
        node.metadata_props.clear()  # the exporter's stack traces, with the paths of this machine: another folder would be another file
    program.save(str(path), external_data=False)


def quantise(path: Path, to: Path) -> None:
    """Write the fp32 encoder *path* with 8-bit matrices to *to*; activations are quantised as they come.

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
    expected: np.ndarray,
    lengths: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    relative: bool = False,
) -> dict:
    """Compare the graph in *path* with *expected* (n, …) on *inputs*, name → (n, …), in batches of several sizes.

    *lengths* (n,) are the columns of every row that are read: each batch is then cut to the longest of its own, as serving cuts it.
    A *relative* difference is one over the expected number's size, or over 1 where that is less.
    Runs in a child process: a graph that crashes the runtime must not take the pipeline with it.

    Returns:
        {"max_abs" or "max_relative": largest difference, "batches": sizes tried, "tolerance": bound}

    Raises:
        ParityError: the difference exceeds the tolerance, or the runtime died.
    """
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example.npz"
        arrays: dict[str, Any] = {f"input {name}": values for name, values in inputs.items()}
        arrays |= {"expected": expected, "scale": np.maximum(np.abs(expected), 1) if relative else np.ones(1)}
        np.savez(example, **arrays | ({} if lengths is None else {"lengths": lengths}))
        child = subprocess.run([sys.executable, "-m", "trainworks.onnx", path, example], capture_output=True, text=True, check=False)
    if child.returncode:
        raise ParityError(f"{path.name}: onnxruntime ended with {child.returncode} on this graph: {last_words(child.stderr)}")
    by_batch = json.loads(child.stdout)
    worst = max(by_batch.values()) if np.isfinite(list(by_batch.values())).all() else float("nan")
    if not worst <= tolerance:
        raise ParityError(f"{path.name}: differs from torch by {worst:.2e}, allowed {tolerance:.0e}; by batch size {by_batch}")
    return {"max_relative" if relative else "max_abs": worst, "batches": list(PARITY_BATCHES), "tolerance": tolerance}


def _differences(path: str, example: str) -> dict[int, float]:
    """Batch size → largest difference."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with np.load(example) as arrays:
        inputs = {name.removeprefix("input "): arrays[name] for name in arrays if name.startswith("input ")}
        expected, scale, lengths = arrays["expected"], arrays["scale"], arrays.get("lengths")
    by_batch = {}
    for size in PARITY_BATCHES:
        answers = []
        for start in range(0, len(expected), size):
            rows = slice(start, start + size)
            columns = slice(None) if lengths is None else slice(lengths[rows].max())
            batch = {name: values[rows] if values.ndim == 1 else values[rows, columns] for name, values in inputs.items()}
            answers.append(session.run(None, batch)[0])
        by_batch[size] = float((np.abs(np.concatenate(answers) - expected) / scale).max())
    return by_batch


if __name__ == "__main__":
    print(json.dumps(_differences(*sys.argv[1:])))
