"""What Supermegaretail tells the hall."""

PIPELINE = "supermegaretail"
"""The name of the pipeline, as the manifest of its bundles has it."""

MODEL = ("forecaster.onnx", "features.json", "state.parquet")
"""The files of a bundle that are its model: two bundles with the same ones hold the same model."""

PACKAGES = (
    *("duckdb", "lightgbm", "statsforecast", "scikit-learn", "skl2onnx", "onnxmltools", "torch", "pytorch-lightning"),
    *("onnx", "onnxruntime", "numpy", "pyarrow", "pandas", "pyspark", "flytekit"),
)
"""Packages whose version can change a number of the report."""
