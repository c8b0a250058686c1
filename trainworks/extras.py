"""What of this project is not installed here, and how it is: no registry has it, so that an extra is named with where it comes from."""

MODULES = {
    "boto3": "cloud",
    "botocore": "cloud",
    "flask": "judge",
    "flytekit": "flyte",
    "mlflow": "cloud",
    "numpy": "serve",
    "onnxruntime": "serve",
    "optuna": "flyte",
    "PIL": "serve",
    "pyarrow": "serve",
    "pyspark": "spark",
    "tokenizers": "serve",
    **dict.fromkeys(("duckdb", "lightgbm", "skl2onnx", "onnxmltools", "statsforecast"), "retail"),
}
"""Module → the extra that brings it; any other comes with ``train``, and most with ``retail`` too."""


def install(extra: str) -> str:
    """How to install trainworks with *extra*."""
    return (
        f"install it with its extra {extra!r} from where it came: pip install '.[{extra}]' in a checkout, "
        f"pip install 'trainworks-….whl[{extra}]', or pip install 'trainworks[{extra}] @ git+https://…'"
    )


def missing(error: ModuleNotFoundError) -> str:
    """What a person reads of *error*: the module that is not there, and how to get it."""
    name = (error.name or "").partition(".")[0]
    if not name or name == "trainworks" or "install" in str(error):
        return str(error)
    return f"this needs {name}, which is not installed; trainworks brings it: {install(MODULES.get(name, 'train'))}"
