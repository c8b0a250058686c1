"""What PhotoStock tells the hall."""

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
