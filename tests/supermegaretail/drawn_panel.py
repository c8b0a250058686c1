"""A panel drawn in code: weekly sales that follow promotions and prices, with gaps of every kind."""

import numpy as np
import pyarrow as pa

from trainworks.supermegaretail.panel.panel import Panel, State

FEATURES = (
    "lag(1, 2, 3, 4, 8) + mean(4, 8, 13) + std(13) + sold(13) + ewm(0.2) + base_ewm(0.2) + trend(8) + since_sale + age"
    " + season(26) + peers(8) + quantile(26) + calendar + past(1, 2)"
)
COVARIATES = "promotion@plan + price@plan + holiday@always + weather@past(1) + stock@past(2)"


def draw_panel(products: int = 6, stores: int = 3, known: int = 80, planned: int = 4, seed: int = 0) -> Panel:
    """Products × stores in weeks that start on Thursdays; the last series was never sold, and a few cells are not demand."""
    rng = np.random.default_rng(seed)
    series, periods = products * stores, known + planned
    level = rng.lognormal(2, 0.7, series)
    display = (rng.random((series, periods)) < 0.15).astype(np.float32)
    mailer = (rng.random((series, periods)) < 0.1).astype(np.float32)
    price = np.round(rng.uniform(1, 5, (series, 1)) * np.where(display > 0, 0.8, 1.0), 2).astype(np.float32)
    effect = 0.7 * display + 0.5 * mailer - 1.8 * np.log(price / price.mean(axis=1, keepdims=True))
    demand = rng.poisson(level[:, None] * np.exp(effect))[:, :known].astype(np.float64)
    state = np.where(demand > 0, State.SOLD, State.ZERO).astype(np.uint8)
    state[0, 30:33] = State.OUT_OF_STOCK
    state[1, :50] = State.NOT_LISTED
    state[:, 51] = State.CLOSED
    state[-1] = State.NOT_LISTED
    demand[state > State.ZERO] = np.nan
    sells = np.ones((series, periods), bool)
    sells[:, :known] = ~np.isin(state, (State.NOT_LISTED, State.CLOSED))
    starts = np.datetime64("2024-01-04") + 7 * np.arange(periods) * np.timedelta64(1, "D")
    easter = np.isin(np.arange(periods), (12, 67)).astype(np.float32)
    weather = np.concatenate([rng.normal(12, 6, known), np.full(planned, np.nan)]).astype(np.float32)
    return Panel(
        keys=("store", "product"),
        period="week",
        series=pa.table(
            {
                "store": [f"{store:03d}" for store in range(stores) for _ in range(products)],
                "product": [f"{product:04d}" for _ in range(stores) for product in range(products)],
                "category": [("milk", "bread")[product % 2] for _ in range(stores) for product in range(products)],
                "size": np.tile(np.arange(products, dtype=np.float64), stores),
            }
        ),
        starts=starts,
        demand=demand,
        state=state,
        sells=sells,
        covariates={
            "promotion": np.maximum(display, mailer),
            "promotion.display": display,
            "promotion.mailer": mailer,
            "price": price,
            "holiday": np.tile(easter, (series, 1)),
            "holiday.Easter": np.tile(easter, (series, 1)),
            "weather": np.tile(weather, (series, 1)),
            "stock": np.where(np.arange(periods) < known, rng.integers(1, 90, (series, periods)), np.nan).astype(np.float32),
        },
        price=price.mean(axis=1).astype(np.float64),
    )
