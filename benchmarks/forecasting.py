"""Forecasts: 1,000 products of a grocery chain, four weeks ahead from two origins, by what one would use instead.

A side gets the panel, and gives six quantiles for the four weeks after each origin: features, fit and forecast are in its cost, on one
thread. All are told the same of the future: promotions, planned prices, holidays. The note has the loss (pinball, mean of the six
quantiles) of both. MLForecast has the same lags, windows and trees as our boosting, a model per quantile as LightGBM gives no
distribution, and recurs, since its direct mode does not read the plan after the first week. AutoETS reads no plan, as our smoothing.
Without ``make completejourney`` before, and quickly, it is the embedded sample.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Facts, Row, alternate, cached_folder, child, median, ratios, timed, version
from benchmarks.panel import FULL, clean

HORIZON, ORIGINS, SEED = 4, 2, 1
PAIRS = (
    ("boosting", "mlforecast", ("mlforecast", "lightgbm"), ">= 3"),
    ("exponential_smoothing", "autoets", ("statsforecast",), ">= 50"),
    ("lstm", "neuralforecast", ("neuralforecast",), ""),
)
"""Our model, the function of its peer, the peer's packages, the target."""


def rows(quick: bool) -> Iterator[Row]:
    """On the full source where it was made."""
    panel = panel_folder(quick)
    for model, peer, packages, target in PAIRS:
        sides = (partial(child, ours, panel=panel, model=model), partial(child, globals()[peer], peer=True, panel=panel))
        own, theirs = alternate(1 if quick else 2, *sides)
        note = f"loss {own[0]['loss']:.3f}, theirs {theirs[0]['loss']:.3f}"
        shown = {"ours": f"{median(own):.1f} s", "theirs": f"{median(theirs):.1f} s", "note": note}
        yield Row(model, ", ".join(map(version, packages)), ratios(theirs, own), target, **shown)


def panel_folder(quick: bool) -> str:
    """The panel of the full source where it was made, else of the sample."""
    full = FULL.is_dir() and not quick
    lines = cached_folder(f"lines-{'full' if full else 'sample'}", lambda out: clean(str(FULL) if full else "sample", out))
    return str(cached_folder(f"panel-{'full' if full else 'sample'}", partial(build, lines)))


def build(lines: Path, out: Path) -> None:
    """The panel of *lines*: a chain's products by week."""
    from trainworks.supermegaretail.panel.build import build
    from trainworks.supermegaretail.panel.knobs import PanelConfig

    build(sorted(lines.iterdir()), PanelConfig(grain="product, week", keep="series(1000)"), out)


def usual() -> Any:
    """What a model is told by default."""
    from trainworks.supermegaretail.features.knobs import FeaturesConfig
    from trainworks.supermegaretail.models.knobs import Inputs
    from trainworks.supermegaretail.panel.knobs import PanelConfig

    return Inputs(FeaturesConfig().features, PanelConfig().covariates, FeaturesConfig().monotone, HORIZON, SEED)


def ours(panel: str, model: str) -> Facts:
    """A part of the backtest per origin, as the pipeline makes it, with its choice of a head."""
    from trainworks.supermegaretail.backtest.backtest import forecast
    from trainworks.supermegaretail.panel.panel import Panel
    from trainworks.supermegaretail.quantiles import COLUMNS

    whole, inputs = Panel.load(Path(panel)), usual()
    facts, parts = timed(lambda: [forecast(whole, model, origin, inputs, "choose") for origin in _origins(whole)])
    losses = [_pinball(part.rows["actual"].to_numpy(), np.column_stack([part.rows[name].to_numpy() for name in COLUMNS])) for part in parts]
    return {**facts, "loss": float(np.mean(losses))}


def mlforecast(panel: str) -> Facts:
    """LightGBM with the same lags and windows of the newest sales, and all that is planned."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean, RollingStd
    from mlforecast.target_transforms import LocalStandardScaler

    from trainworks.supermegaretail.quantiles import QUANTILES

    trees: dict[str, Any] = {"n_estimators": 100, "learning_rate": 0.08, "num_leaves": 31, "min_child_samples": 50, "colsample_bytree": 0.7}
    models = {f"q{level}": LGBMRegressor(objective="quantile", alpha=level, n_jobs=1, verbose=-1, **trees) for level in QUANTILES}

    def forecast(known: Any, plan: Any) -> Any:
        windows = [RollingMean(4), RollingMean(8), RollingMean(13), RollingStd(13), ExponentiallyWeightedMean(0.2)]
        forecaster = MLForecast(
            models, freq="7D", lags=[1, 2, 3, 4, 8], lag_transforms={1: windows}, target_transforms=[LocalStandardScaler()], num_threads=1
        )
        forecaster.fit(known, static_features=[])
        return forecaster.predict(HORIZON, X_df=plan)[list(models)]

    return _peer(panel, forecast)


def autoets(panel: str) -> Facts:
    """Its intervals are pairs of quantiles."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    def forecast(known: Any, plan: Any) -> Any:
        forecaster = StatsForecast([AutoETS(season_length=1)], freq="7D", n_jobs=1)
        table = forecaster.forecast(HORIZON, known[["unique_id", "ds", "y"]], level=[50, 90, 97, 98])
        ends = ("lo-97", "lo-50", "", "hi-50", "hi-90", "hi-98")
        return table[[f"AutoETS-{end}" if end else "AutoETS" for end in ends]]

    return _peer(panel, forecast)


def neuralforecast(panel: str) -> Facts:
    """Its LSTM, told the plan, with a quantile loss."""
    import logging

    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import LSTM

    from trainworks.supermegaretail.quantiles import QUANTILES

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def forecast(known: Any, plan: Any) -> Any:
        model = LSTM(
            h=HORIZON,
            input_size=16,
            encoder_hidden_size=64,
            loss=MQLoss(quantiles=list(QUANTILES)),
            futr_exog_list=[name for name in plan.columns if name not in ("unique_id", "ds")],
            scaler_type="robust",
            max_steps=500,
            random_seed=SEED,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
        )
        forecaster = NeuralForecast([model], freq="7D")
        forecaster.fit(known)
        return forecaster.predict(futr_df=plan).drop(columns=["unique_id", "ds"])

    return _peer(panel, forecast)


def _peer(panel: str, forecast: Callable[[Any, Any], Any]) -> Facts:
    """The cost and loss of *forecast*, which makes quantiles (series × horizon, 6), in order, of sales and the plan as tables of pandas."""
    import pandas as pd

    from trainworks.supermegaretail.panel.panel import Panel

    whole = Panel.load(Path(panel))
    series, periods = whole.sells.shape
    columns = {name: values.ravel() for name, values in whole.covariates.items() if name != "paid"}
    names = np.repeat([f"{number:05d}" for number in range(series)], periods)
    table = pd.DataFrame({"unique_id": names, "ds": np.tile(whole.starts, series).astype("datetime64[ns]"), **columns})
    table = table.groupby("unique_id").ffill().assign(unique_id=names).fillna(0.0)
    table["y"] = np.nan_to_num(np.pad(whole.demand, ((0, 0), (0, periods - whole.known)))).ravel()
    number = np.tile(np.arange(periods), series)

    def work() -> list[np.ndarray]:
        made = []
        for origin in _origins(whole):
            plan = table[(number > origin) & (number <= origin + HORIZON)].drop(columns="y")
            made.append(np.sort(np.maximum(forecast(table[number <= origin], plan).to_numpy(), 0), axis=1))
        return made

    facts, made = timed(work)
    actual = [whole.demand[:, origin + 1 : origin + 1 + HORIZON].ravel() for origin in _origins(whole)]
    return {**facts, "loss": float(np.mean([_pinball(*pair) for pair in zip(actual, made, strict=True)]))}


def _origins(whole: Any) -> list[int]:
    """The newest, whose horizon was sold."""
    return [whole.known - 1 - HORIZON * number for number in range(ORIGINS, 0, -1)]


def _pinball(actual: np.ndarray, quantiles: np.ndarray) -> float:
    """The mean over the cells that are demand, and the quantiles."""
    from trainworks.supermegaretail.models import heads

    known = np.isfinite(actual)
    return float(heads.pinball(actual[known], quantiles[known]).mean())
