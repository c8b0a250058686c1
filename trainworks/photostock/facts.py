"""What PhotoStock tells the hall."""

PIPELINE = "photostock"
"""The name of the pipeline, as the manifest of its bundles has it."""

PACKAGES = (
    "torch",
    "open_clip_torch",
    "pytorch-lightning",
    "transformers",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "pillow",
    "flytekit",
)
"""Packages whose version can change a number of the report."""
