"""Which MLflow ``MLFLOW_TRACKING_URI`` names, so that nothing prints its password or waits for it for minutes."""

import os
from urllib.parse import unquote, urlsplit, urlunsplit

RETRIES, SECONDS = 2, 10
"""How often and how long MLflow is asked before it counts as down; its own variables go before."""


def uri() -> str | None:
    """The address of a server or a database; None where the variable is not set.

    A user and password in it move to the variables that MLflow has for them: it prints the rest.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        return None
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": RETRIES, "MLFLOW_HTTP_REQUEST_TIMEOUT": SECONDS}.items():
        os.environ.setdefault(name, str(value))
    parts = urlsplit(named)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return named
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    os.environ["MLFLOW_TRACKING_URI"] = stripped = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return stripped
