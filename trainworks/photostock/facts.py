"""What PhotoStock tells the hall."""

PIPELINE = "photostock"
"""The name of the pipeline, as the manifest of its bundles has it."""

MODEL = ("image_encoder.onnx", "text_encoder.onnx")
"""The files of a bundle that are its model: two bundles with the same ones hold the same model."""

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
