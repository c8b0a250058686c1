"""Trainworks: a company's data in, a model that production can use out."""

import os

__version__ = "0.1.0"

# onnxruntime 1.29 and later report to their makers from a thread, for which a process that was forked would wait at its end forever.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
