"""From lines to rows, nothing of what comes after an origin is known at it."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.supermegaretail.panel.lines import weekly, weeks, write_lines
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.features.recipe import learn
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel

WEEKS, ORIGIN = 40, 29
FIRST = date(2024, 1, 4)


def drawn(seed: int) -> dict[str, list[dict]]:
    """Six products in four stores: rare sales, closed weeks, launches in the middle; promotions, prices, stock and weather."""
    rng = np.random.default_rng(seed)
    sold = {}
    for store in range(4):
        for product in range(6):
            units = rng.poisson(rng.lognormal(1, 1.2), WEEKS).tolist()
            gap = int(rng.integers(0, WEEKS))
            units[: gap if product == 5 else 0] = [None] * (gap if product == 5 else 0)
            sold[f"0{store}", f"p{product}"] = [None if store == 3 and 12 <= week < 14 else unit or None for week, unit in enumerate(units)]
    starts = [FIRST + timedelta(days=int(day)) for day in rng.integers(0, 7 * WEEKS + 28, 60)]
    return {
        "sales": weekly(sold, FIRST.isoformat()),
        "promotions": [
            {
                "product": f"p{k % 6}",
                "store": (None, "00", "01")[k % 3],
                "kind": "xy"[k % 2],
                "start": start,
                "end": start + timedelta(days=9),
            }
            for k, start in enumerate(starts)
        ],
        "prices": [
            {"product": f"p{product}", "store": None, "start": day, "price": float(np.round(rng.uniform(1, 3), 2))}
            for product in range(6)
            for day in weeks(FIRST.isoformat(), WEEKS + 4)
        ],
        "stock": [
            {"date": day, "product": "p1", "store": "01", "on_hand": float(rng.integers(0, 3))} for day in weeks(FIRST.isoformat(), WEEKS)
        ],
        "weather": [{"date": day, "store": "02", "degrees": float(rng.normal())} for day in weeks(FIRST.isoformat(), WEEKS)],
    }


def made(folder: Path, grain: str, tables: dict) -> Panel:
    """Their panel, with all series."""
    folder.mkdir()
    covariates = "promotion@plan + price@plan + stock@past(1) + weather@past(1)"
    build(write_lines(folder / "lines", **tables), PanelConfig(grain=grain, keep="", covariates=covariates), folder)
    return Panel.load(folder)


@pytest.mark.parametrize("grain", ["store, product, week", "product, week"])
@pytest.mark.parametrize("seed", [1, 2])
def test_lines_after_an_origin_change_no_bit_of_its_rows(tmp_path, grain, seed):
    """Without them, and with others in their place, series that were sold until then have the same features; plans stay."""
    tables, others = drawn(seed), drawn(seed + 100)
    newest = FIRST + timedelta(days=7 * ORIGIN)
    cut, changed = dict(tables), dict(tables)
    for table in ("sales", "stock", "weather"):
        cut[table] = [row for row in tables[table] if row["date"] <= newest]
        changed[table] = cut[table] + [row for row in others[table] if row["date"] > newest]
    panels = [made(tmp_path / str(number), grain, content) for number, content in enumerate((tables, cut, changed))]
    recipe = learn(
        panels[1],
        "lag(1, 2) + mean(4, 8) + ewm(0.2) + since_sale + age + peers(8) + past(1, 2)",
        "promotion@plan + price@plan + stock@past(1)",
        4,
    )
    rows = []
    for panel in panels:
        known = panel.until(ORIGIN, 4)
        sold = known.take(np.isfinite(known.demand).any(axis=1))
        rows.append((sold.series.to_pylist(), sold.sells[:, -4:].tolist(), design(sold, [ORIGIN], [1, 2, 3, 4], recipe)))
    assert rows[0][2].values.shape[0] >= 4 * 6
    for series, sells, matrix in rows[1:]:
        assert series == rows[0][0]
        assert sells == rows[0][1]
        assert np.array_equal(matrix.values, rows[0][2].values)
