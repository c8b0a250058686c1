"""A small panel with a known law: demand falls with the price, and doubles on offer."""

import numpy as np
import pyarrow as pa

from trainworks.supermegaretail.panel.panel import Panel, State

LEVELS = 2.0, 5.0, 12.0, 30.0


def panel(stores=3, products=4, known=60, planned=4, seed=0) -> Panel:
    """*stores* × *products*, weekly from 2023-01-02: a promotion in each eighth week and a tenth of the planned ones."""
    rng = np.random.default_rng(seed)
    count, periods = stores * products, known + planned
    store, product = np.divmod(np.arange(count), products)
    promotion = (np.arange(periods) + np.arange(count)[:, None]) % 8 == 0
    price = np.repeat(2.0 + product[:, None], periods, 1) * np.where(promotion, 0.8, 1.0)
    level = np.array(LEVELS)[product % len(LEVELS)] * (1 + 0.2 * store)
    demand = rng.poisson(level[:, None] * np.where(promotion, 2.0, 1.0))[:, :known].astype(float)
    state = np.where(demand > 0, State.SOLD, State.ZERO).astype(np.uint8)
    return Panel(
        keys=("store", "product"),
        period="week",
        series=pa.table(
            {
                "store": [f"{s:04d}" for s in store],
                "product": [f"P{p}" for p in product],
                "category": [("dairy", "bread")[p % 2] for p in product],
            }
        ),
        starts=np.datetime64("2023-01-02", "D") + 7 * np.arange(periods),
        demand=demand,
        state=state,
        sells=np.ones((count, periods), bool),
        covariates={"promotion": promotion.astype(np.float32), "price": price.astype(np.float32)},
        price=2.0 + product,
    )


def forecasts(panel: Panel, origin: int, horizon: int = 4, model: str = "naive", factor: float = 1.0) -> pa.Table:
    """Rows of ``backtest.parquet``: the level of each series, times *factor*, at every quantile in proportion."""
    from trainworks.supermegaretail.quantiles import COLUMNS

    count = len(panel.series)
    level = np.nanmean(panel.demand[:, : origin + 1], 1) * factor
    start = np.tile(panel.starts[origin + 1 : origin + 1 + horizon], count)
    mean = np.repeat(level, horizon)
    shape = (0.3, 0.8, 1.0, 1.25, 1.8, 2.3)
    actual = panel.demand[:, origin + 1 : origin + 1 + horizon]
    return pa.table(
        {
            **{key: np.repeat(panel.series[key].to_numpy(zero_copy_only=False), horizon).tolist() for key in panel.keys},
            "origin": np.full(len(mean), panel.starts[origin]),
            "start": start,
            "model": [model] * len(mean),
            "mean": mean,
            **{name: mean * times for name, times in zip(COLUMNS, shape, strict=True)},
            "actual": actual.ravel(),
        }
    )
