"""Graphs in services whose processes are forked after they were loaded."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

FORKED = """
import os, sys
import numpy as np
from pathlib import Path
from trainworks.sessions import Session

session = Session(Path(sys.argv[1]))
first = session.run({"x": np.ones((1, 512), np.float32)})[0]
Path(sys.argv[1]).unlink()
if (child := os.fork()) == 0:
    if sys.argv[2] == "uses":
        same = np.array_equal(session.run({"x": np.ones((1, 512), np.float32)})[0], first)
        print("the same" if same else "another", flush=True)
    sys.exit(0)
print(os.waitpid(child, 0)[1])
"""


@pytest.fixture
def graph(tmp_path):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [512, 512], np.linspace(-1, 1, 512 * 512, dtype=np.float32).tobytes(), raw=True)
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 512]) for name in "xy"]
    made = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "toy", shapes[:1], shapes[1:], [weights])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "toy.onnx")
    return tmp_path / "toy.onnx"


@pytest.mark.parametrize(("does", "says"), [("uses", "the same\n0\n"), ("ends", "0\n")])
def test_a_worker_that_was_forked_after_load_answers_and_ends(graph, does, says):
    """With its parent's session it would wait at its end for threads that it does not have; the file may be gone, as one from S3 is."""
    done = subprocess.run([sys.executable, "-c", FORKED, graph, does], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == says, done.stderr
