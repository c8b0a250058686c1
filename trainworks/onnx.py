"""Encoders to ONNX, and proof that each answers as the model it came from."""

import json
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from trainworks.errors import ParityError, last_words

OPSET = 18
LARGEST_BATCH = 4096
TOLERANCE = 1e-5
"""Largest difference, in any component of a unit vector, between an ONNX encoder and its torch model."""

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


def check_parity(path: Path, inputs: np.ndarray, expected: np.ndarray, lengths: np.ndarray | None = None) -> dict:
    """Compare the encoder in *path* with *expected* (n, D) on *inputs* (n, …), in batches of several sizes.

    *lengths* (n,) are the columns of every row that are read: each batch is then cut to the longest of its own, as serving cuts it.
    Runs in a child process: a graph that crashes the runtime must not take the pipeline with it.

    Returns:
        {"max_abs": largest difference, "batches": sizes tried, "tolerance": bound}

    Raises:
        ParityError: the difference exceeds the tolerance, or the runtime died.
    """
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example.npz"
        lengths = np.full(len(inputs), inputs.shape[1]) if lengths is None else lengths
        np.savez(example, inputs=inputs, expected=expected, lengths=lengths)
        child = subprocess.run([sys.executable, "-m", "trainworks.onnx", path, example], capture_output=True, text=True, check=False)
    if child.returncode:
        raise ParityError(f"{path.name}: onnxruntime ended with {child.returncode} on this graph: {last_words(child.stderr)}")
    found = json.loads(child.stdout)
    if not found["max_abs"] <= TOLERANCE:
        raise ParityError(
            f"{path.name}: differs from torch by {found['max_abs']:.2e}, allowed {TOLERANCE:.0e}; by batch size {found['by_batch']}"
        )
    return {"max_abs": found["max_abs"], "batches": list(PARITY_BATCHES), "tolerance": TOLERANCE}


def _differences(path: str, example: str) -> dict:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    with np.load(example) as arrays:
        inputs, expected, lengths = arrays["inputs"], arrays["expected"], arrays["lengths"]
    by_batch = {}
    for size in PARITY_BATCHES:
        batches = [slice(start, start + size) for start in range(0, len(inputs), size)]
        got = np.concatenate([session.run(None, {name: inputs[rows, : lengths[rows].max()]})[0] for rows in batches])
        by_batch[size] = float(np.abs(got - expected).max())
    worst = max(by_batch.values()) if np.isfinite(list(by_batch.values())).all() else float("nan")
    return {"max_abs": worst, "by_batch": by_batch}


if __name__ == "__main__":
    print(json.dumps(_differences(*sys.argv[1:])))
