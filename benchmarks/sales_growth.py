"""Memory and CPU of Supermegaretail's stages as a drawn retailer grows 1, 4 and 16 times; each measured in a process of its own.

python -m benchmarks.sales_growth                                     # all: some twenty minutes of two cores and 4 GB of memory
python -m benchmarks.sales_growth panel forecast --times 1 4          # some of them, on less
python -m benchmarks.sales_growth panel panel_on_spark --times 100 --keep "series(10000)" --by_month
                                                                      # 10^8 lines, of which the most sold series are kept

The retailer grows by stores: 10,000 series and 1.04 million lines of a till each time, 52 weeks, 500 products.
With --by_month each month's lines are delivered, acquired and cleaned alone, for `acquire` holds all that it is given in memory.
What it draws and makes lies in --folder, where it is found again: 25 MB a million lines, by month 4 MB.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Only the children import the heavy packages: a child's peak begins with the size of its parent.

STORES, PRODUCTS, WEEKS, LINES = 20, 500, 52, 2
"""Of the retailer taken once; lines of a product in a store and week, on average."""

FIRST_DAY = "2025-01-06"

STAGES = ("acquire", "clean", "panel", "features", "backtest", "fit", "export", "gather", "forecast")
ON_SPARK = "panel_on_spark"
"""Takes minutes; after ``panel``, whose cells it must have."""


def main() -> None:
    """Draw, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stages", nargs="*", default=[*STAGES], help=f"of {', '.join([*STAGES, ON_SPARK])}")
    parser.add_argument("--times", nargs="*", type=int, default=[1, 4, 16], help="how often the retailer is taken")
    parser.add_argument("--keep", default="", help="series that the panel keeps, as the knob; all by default")
    parser.add_argument("--by_month", action="store_true", help="acquire and clean each month's delivery alone")
    parser.add_argument("--folder", type=Path, help="where what is drawn and made lies; a temporary folder by default")
    chosen = parser.parse_args()
    print("| stage | times | lines | CPU seconds | peak MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for times in chosen.times:
            folder = (chosen.folder or Path(temporary)) / f"times-{times}"
            _prepare(folder, times, chosen.by_month)
            for stage in chosen.stages:
                if chosen.by_month and stage in ("acquire", "clean"):
                    continue
                used = _child(stage, folder, keep=chosen.keep)
                _show(stage, times, used)
            if not chosen.folder:
                shutil.rmtree(folder)


def _prepare(folder: Path, times: int, by_month: bool) -> None:
    if (folder / "drawn").exists():
        return
    (folder / "lines").mkdir(parents=True, exist_ok=True)
    if not by_month:
        _child("draw", folder / "source", times=times)
    else:
        for month in range(1, 13):
            if (done := folder / f"month-{month}").exists():
                continue
            source = folder / "source"
            _child("draw", source, times=times, months=[month])
            _show(f"acquire, month {month}", times, _child("acquire", folder))
            _show(f"clean, month {month}", times, _child("clean", folder))
            for made in (source, folder / "artifacts"):
                shutil.rmtree(made)
            done.touch()
    (folder / "drawn").touch()


def _show(stage: str, times: int, used: resource.struct_rusage) -> None:
    lines = times * STORES * PRODUCTS * WEEKS * LINES
    print(f"| {stage} | {times} | {lines:,} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f} |", flush=True)


def _child(stage: str, folder: Path, **arguments: object) -> resource.struct_rusage:
    """Call the function *stage* in a new process and give the resources it used, those of what it started included in its time."""
    code = (
        "import json, logging, sys\nfrom pathlib import Path\nfrom benchmarks import sales_growth as here\n"
        f"logging.disable(logging.WARNING)\nhere.{stage}(Path(sys.argv[1]), **json.loads(sys.argv[2]))"
    )
    environment = {**os.environ, "TRAINWORKS_ARTIFACTS": str(folder / "artifacts")}
    house = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, str(folder), json.dumps(arguments)], cwd=house, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{stage} ended with {os.waitstatus_to_exitcode(status)}")
    return used


def draw(folder: Path, times: int, months: Sequence[int] = range(1, 13), **_: object) -> None:
    """The tables as a retailer delivers them: a file of sales a month, and what stands beside sales."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    (folder / "sales").mkdir(parents=True)
    draws = np.random.default_rng(0)
    stores, products = (
        pa.array([f"{kind}{n:05d}" for n in range(1, count + 1)]) for kind, count in (("S", STORES * times), ("P", PRODUCTS))
    )
    popular = draws.lognormal(0, 1, PRODUCTS)
    price = np.round(draws.uniform(1, 9, PRODUCTS), 2)
    days = np.datetime64(FIRST_DAY) + np.arange(WEEKS * 7)
    weeks = np.datetime64(FIRST_DAY) + 7 * np.arange(WEEKS + 8)
    promoted = draws.random((PRODUCTS, len(weeks))) < 1 / 20
    of_day = popular[:, None] * (1 + np.repeat(promoted[:, :WEEKS], 7, axis=1))  # (products, days): twice as much on promotion
    month_of = (days.astype("datetime64[M]").astype(int) % 12) + 1
    total = times * STORES * PRODUCTS * WEEKS * LINES
    for month in months:
        draws = np.random.default_rng(month)
        weight = np.where(month_of == month, of_day, 0)
        count = round(total * weight.sum() / of_day.sum())
        cell = np.searchsorted(np.cumsum(weight.ravel()), draws.random(count) * weight.sum(), side="right").astype(np.int32)
        product, day = np.divmod(cell, len(days))
        moment = days[day].astype("datetime64[s]") + draws.integers(7 * 3600, 21 * 3600, count).astype(np.int32)
        quantity = draws.geometric(0.7, count)
        sold = {
            "date": pa.array(moment),
            "store": stores.take(pa.array(draws.integers(0, len(stores), count, np.int32))),
            "product": products.take(pa.array(product)),
            "quantity": quantity,
            "price": price[product],
        }
        parquet.write_table(pa.table(sold), folder / "sales" / f"{month:02d}.parquet", compression="zstd")
    if months[0] == 1:  # what stands beside sales comes with the first delivery
        at, week = np.nonzero(promoted)
        names = products.take(pa.array(at))
        start = pa.array(weeks[week])
        parquet.write_table(pa.table({"product": names, "start": start, "end": pa.array(weeks[week] + 6)}), folder / "promotions.parquet")
        parquet.write_table(
            pa.table({"product": products, "start": np.repeat(days[:1], PRODUCTS), "price": price}), folder / "prices.parquet"
        )
        parquet.write_table(
            pa.table({"product": products, "category": [f"C{n % 25}" for n in range(PRODUCTS)]}), folder / "products.parquet"
        )


def acquire(folder: Path, **_: object) -> None:
    """All files of the source at once."""
    from trainworks.supermegaretail.tables.acquire import acquire

    slices = acquire(str(folder / "source"), "")
    (folder / "slices.json").write_text(json.dumps([str(slice_) for slice_ in slices]))


def clean(folder: Path, **_: object) -> None:
    """Every slice, one after another, as pods of their own would."""
    from trainworks.supermegaretail.cleaning.clean import clean
    from trainworks.supermegaretail.cleaning.knobs import CleanConfig

    for slice_ in json.loads((folder / "slices.json").read_text()):
        out = folder / "lines" / f"{len(list((folder / 'lines').iterdir())):03d}"
        out.mkdir()
        clean(Path(slice_), CleanConfig(), out)


def panel(folder: Path, keep: str, engine: str = "duckdb") -> None:
    """Series of products in stores by week."""
    from trainworks.supermegaretail.panel.build import build
    from trainworks.supermegaretail.panel.knobs import PanelConfig

    out = _empty(folder / f"panel-{engine}")
    build(sorted((folder / "lines").iterdir()), PanelConfig(keep=keep, covariates="promotion@plan + price@plan", panel_on=engine), out)


def panel_on_spark(folder: Path, keep: str) -> None:
    """The same by Spark on this machine; what it sold must be the same in every cell."""
    import numpy as np

    from benchmarks.panel import _end_java
    from trainworks.supermegaretail.panel.panel import Panel

    panel(folder, keep, "spark")
    _end_java()
    ours, theirs = (Panel.load(folder / f"panel-{engine}") for engine in ("duckdb", "spark"))
    assert ours.series.equals(theirs.series)
    np.testing.assert_array_equal(ours.demand, theirs.demand)


def features(folder: Path, **_: object) -> None:
    """The rows that a model learns from, and their recipe."""
    from benchmarks.forecasting import usual
    from trainworks.supermegaretail.backtest.learning import learnable, recipe_for
    from trainworks.supermegaretail.models.language import models
    from trainworks.supermegaretail.panel.panel import Panel

    whole = Panel.load(folder / "panel-duckdb")
    learnable(whole, recipe_for(whole, [models("boosting")[0].build()], usual()), usual())


def backtest(folder: Path, **_: object) -> None:
    """Boosting from one origin."""
    from benchmarks.forecasting import usual
    from trainworks.supermegaretail.backtest.backtest import backtest

    backtest(folder / "panel-duckdb", "boosting", WEEKS - 9, usual(), "choose", _empty(folder / "part"))


def fit(folder: Path, **_: object) -> None:
    """Boosting, as it ships."""
    from benchmarks.forecasting import usual
    from trainworks.supermegaretail.backtest.shipped import ship

    ship(folder / "panel-duckdb", "boosting", usual(), "choose", _empty(folder / "model"))


def export(folder: Path, **_: object) -> None:
    """Its files, with their state."""
    from trainworks.storage import manifest
    from trainworks.supermegaretail.delivery.export import export

    out = _empty(folder / "forecaster")
    export(folder / "model", folder / "panel-duckdb", out)
    manifest.write(out)


def gather(folder: Path, **_: object) -> None:
    """What the shards of the series must know of each other."""
    from trainworks.supermegaretail.delivery.forecasts import gather

    gather(str(folder / "forecaster"), folder / "panel-duckdb", str(folder / "forecasts"), _empty(folder / "gathered"))


def forecast(folder: Path, **_: object) -> None:
    """The first shard from the newest week."""
    from trainworks.supermegaretail.delivery.forecasts import forecast

    forecast(0, folder / "panel-duckdb", folder / "gathered", _empty(folder / "part"))


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
