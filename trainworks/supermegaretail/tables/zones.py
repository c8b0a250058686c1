"""Time zones, by the names of the IANA database that DuckDB brings along."""

import difflib

import duckdb


def require_zone(timezone: str) -> None:
    """Refuse a *timezone* that is none.

    Raises:
        ValueError: with the nearest name that is one.
    """
    with duckdb.connect() as run:
        known = [name for (name,) in run.sql("SELECT name FROM pg_timezone_names()").fetchall()]
    if timezone not in known:
        near = difflib.get_close_matches(timezone, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"timezone = {timezone!r}: no such time zone, expected a name such as UTC or America/New_York{hint}")


def zone(timezone: str, source: str) -> str:
    """Where the stores of *source* are: the *timezone* that is stated, else that of the sample's stores, else UTC."""
    return timezone or ("America/New_York" if source == "sample" else "UTC")
