"""Panel: a year of a grocery chain, 1.5 million lines and 23 million promotion rows, to 1,000 products by 52 weeks.

Ours is the stage as it runs, on DuckDB and on Spark: the same SQL, the same panel, promotions by kind, prices, holidays and states of
cells included. The pandas script beside it does a part of that, as a first script would: read, drop repeated promotions, sum a week's
units, count the stores that promote a product. Its units are compared with ours, cell by cell. All read the same cleaned lines, with two
threads; Spark runs on this machine alone, its JVM's start included. Without ``make completejourney`` before, and quickly, it is the
embedded sample.
"""

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import HOUSE, Facts, Row, cached_folder, child, timed, version

FULL = HOUSE / "data" / "completejourney"


def rows(quick: bool) -> Iterator[Row]:
    """On the full source where it was made."""
    full = FULL.is_dir() and not quick
    lines = str(cached_folder(f"lines-{'full' if full else 'sample'}", lambda out: clean(str(FULL) if full else "sample", out)))
    name = "1.5 million lines, 23 million promotions" if full else "the sample"
    sides = {engine: child(build, threads=2, lines=lines, engine=engine) for engine in ("duckdb", "spark")}
    ours = sides["duckdb"]
    sides["pandas"] = child(pandas, threads=2, lines=lines, products=ours["products"], weeks=ours["weeks"])
    for side, facts in sides.items():
        assert facts["units"] == ours["units"], f"{side} has other units than DuckDB"
    shown = {"ours": f"{ours['cpu']:.1f} s"}
    for peer, target, note in (("pandas", ">= 2", "naively, a part of it"), ("spark", ">= 10", "the same SQL on local[2]")):
        theirs, called = sides[peer], version("pandas" if peer == "pandas" else "pyspark")
        yield Row(name, f"{called}, {note}", [theirs["cpu"] / ours["cpu"]], target, **shown, theirs=f"{theirs['cpu']:.1f} s")
        most = max(theirs["peak"], theirs.get("java", 0))
        memory = {"ours": f"{ours['peak'] / 1e9:.2f} GB", "theirs": f"{most / 1e9:.2f} GB"}
        yield Row(f"{name}: peak memory", called, [most / ours["peak"]], "", of="memory", **memory)


def clean(source: str, out: Path) -> None:
    """A folder of lines for each slice of *source*, as the stages before the panel leave them."""
    from trainworks.supermegaretail.cleaning.clean import clean
    from trainworks.supermegaretail.cleaning.knobs import CleanConfig
    from trainworks.supermegaretail.tables.acquire import acquire
    from trainworks.supermegaretail.tables.zones import zone

    for number, folder in enumerate(acquire(source, "")):
        lines = out / f"{number:03d}"
        lines.mkdir()
        clean(folder, CleanConfig(timezone=zone("America/New_York", source)), lines)


def build(lines: str, engine: str) -> Facts:
    """Our stage, on that *engine*."""
    import tempfile

    from trainworks.supermegaretail.panel.build import build
    from trainworks.supermegaretail.panel.knobs import PanelConfig
    from trainworks.supermegaretail.panel.panel import Panel

    config = PanelConfig(grain="product, week", keep="series(1000)", panel_on=engine)
    with tempfile.TemporaryDirectory() as out:

        def work() -> None:
            build(sorted(Path(lines).iterdir()), config, Path(out))
            _end_java()

        facts, _ = timed(work)
        panel = Panel.load(Path(out))
        products, weeks = panel.series["product"].to_pylist(), panel.starts[: panel.known].astype(str).tolist()
        java = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return {
            **facts,
            "java": java,
            "products": products,
            "weeks": weeks,
            "units": _digest(np.nan_to_num(panel.demand[:, : panel.known])),
        }


def _end_java() -> None:
    """Wait until Spark's JVM has ended, so that its time counts as a child's."""
    from pyspark import SparkContext

    if gateway := SparkContext._gateway:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def pandas(lines: str, products: list[str], weeks: list[str]) -> Facts:
    """The script that one writes first."""
    import pandas as pd

    def read(table: str) -> pd.DataFrame:
        return pd.concat([pd.read_parquet(path) for path in sorted(Path(lines).glob(f"*/{table}.parquet"))])

    def work() -> pd.DataFrame:
        sales = read("sales")
        begins = pd.Timestamp(weeks[0])
        sales = sales[sales["quantity"] > 0]
        sales["week"] = (pd.to_datetime(sales["date"]) - begins).dt.days // 7
        units = sales.groupby(["product", "week"])["quantity"].sum()
        promotions = read("promotions").drop_duplicates(["product", "store", "start", "end", "kind"])
        promotions["week"] = (pd.to_datetime(promotions["start"]) - begins).dt.days // 7
        promoted = promotions.groupby(["product", "week"])["store"].nunique().rename("stores")
        return units.to_frame().join(promoted, how="left")

    facts, table = timed(work)
    units = table["quantity"].unstack(fill_value=0.0).reindex(index=products, columns=range(len(weeks)), fill_value=0.0)
    return {**facts, "units": _digest(units.to_numpy())}


def _digest(units: np.ndarray) -> str:
    """Of how much was sold of each product in each week."""
    return hashlib.sha256(np.ascontiguousarray(units, np.float64).round(6).tobytes()).hexdigest()
