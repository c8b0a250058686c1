"""``state.parquet``: the panel that a forecaster ships with, in one file, one row for each series.

Columns are the keys and attributes of the series, ``value of a unit``, and lists with an item for each period: ``demand``, ``state`` and
``sells``, and the covariates as ``covariate.NAME``. The file's metadata, ``panel``, has keys, period and starts.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from trainworks.errors import IntegrityError
from trainworks.supermegaretail.panel.panel import Panel

FILE = "state.parquet"
COVARIATE, WORTH = "covariate.", "value of a unit"

_CELLS = {"demand": np.float64, "state": np.uint8, "sells": bool}


def write(panel: Panel, path: Path) -> None:
    """Write *panel* to *path*."""
    table = panel.series.append_column(WORTH, pa.array(panel.price))
    cells = {name: getattr(panel, name) for name in _CELLS}
    for name, values in (cells | {f"{COVARIATE}{name}": values for name, values in panel.covariates.items()}).items():
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), max(values.shape[1], 1)))
    facts = {"keys": panel.keys, "period": panel.period, "starts": [str(start) for start in panel.starts]}
    parquet.write_table(table.replace_schema_metadata({"panel": json.dumps(facts)}), path, compression="zstd")


def read(path: Path) -> Panel:
    """The panel of the file at *path*.

    Raises:
        IntegrityError: it is no such file.
    """
    table = parquet.read_table(path)
    try:
        facts = json.loads((table.schema.metadata or {})[b"panel"])
        keys, period, starts = tuple(facts["keys"]), facts["period"], np.array(facts["starts"], "datetime64[D]")
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path}: not the state of a forecaster ({type(error).__name__}: {error})") from error
    covariates = [name for name in table.column_names if name.startswith(COVARIATE)]
    return Panel(
        keys=keys,
        period=period,
        series=table.select([name for name in table.column_names if name not in (*_CELLS, WORTH, *covariates)]),
        starts=starts,
        price=table[WORTH].to_numpy().astype(np.float64),
        covariates={name.removeprefix(COVARIATE): _matrix(table[name]).astype(np.float32) for name in covariates},
        **{name: _matrix(table[name]).astype(kind) for name, kind in _CELLS.items()},
    )


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of one length as (S, T)."""
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)
