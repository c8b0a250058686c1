"""What the forecaster that ships must do whatever it is asked: checks over the series of its own panel, at the test origin.

A check changes what is known of at most ``CASES`` series, drawn by Hypothesis, and leaves all others as they are, for a series
without much of its own is forecast from its like. What a check needs and the panel lacks (a price, a promotion, a second store) makes
it one without cases.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from trainworks import behaviour
from trainworks.behaviour import Case, drawn, pick
from trainworks.supermegaretail.evaluation import another_process
from trainworks.supermegaretail.evaluation.checks import BEHAVIOUR
from trainworks.supermegaretail.evaluation.slices import is_promoted
from trainworks.supermegaretail.evaluation.tried import Tried
from trainworks.supermegaretail.features.design import design
from trainworks.supermegaretail.panel.panel import Panel, State
from trainworks.supermegaretail.quantiles import COLUMNS

CASES = 64
"""Most cases of a check."""

ROUNDING = 1e-4
"""Differences up to this share of a series' level say nothing: float32, summed in another order."""

DYING = {"day": 365, "week": 52, "month": 12}
"""Periods without a sale after which a product is dead."""

DEAD, OFF, MOVES, LOUD = 0.1, 1 / 3, 0.5, 0.5
"""Share of its former mean that a dead product keeps at most; share by which stores together may be off; share of the newest period's
change by which a mean moves at most; and by which share of the level that period is changed."""

LEAST_SOLD = 30
"""Units that all stores together must sell for their sum to say something."""

UNKNOWN = "\u2047 unknown"
"""A name that no source has."""


def behave(forecaster: Path, out: Path) -> None:
    """Write ``behaviour.json`` to *out*: each check of ``checks.BEHAVIOUR``, in its order.

    *forecaster* is the folder of export, or a bundle. The same files give the same numbers.
    """
    tried = Tried.load(forecaster)
    criterion = {"rounding": ROUNDING, "dead": DEAD, "off": OFF, "moves": MOVES}
    behaviour.write(_run(tried), BEHAVIOUR, criterion, out)


def _run(tried: Tried) -> Iterator[tuple[str, list[Case]]]:
    for name in BEHAVIOUR:
        yield name, CHECKS[name](tried)


def consistency(tried: Tried) -> list[Case]:
    """A row of inputs has one forecast, alone, among all, in another order, and in another process."""
    first = int(tried.sells.sum(0).argmax())  # a step at which most may sell: a week of days may begin with a closed one
    chosen = _drawn([series for series in tried.alive if tried.sells[series, first]])
    rows = design(tried.panel, [tried.origin], [first + 1], tried.forecaster.recipe)

    def of(series: list[int]) -> np.ndarray:
        part = replace(rows, **{name: getattr(rows, name)[series] for name in ("values", "series", "origin", "step", "target", "sells")})
        mean, quantiles = tried.forecaster.rows(part)
        return np.concatenate([mean[:, None], quantiles], 1)

    everything = list(range(len(rows.values)))
    backwards = tried.panel.take(np.array(everything[::-1]))
    ways = {
        "among all": of(everything)[chosen],
        "in another order": tried.numbers(backwards)[::-1][chosen, first],
        "in another process": another_process.forecast(tried.folder, tried.panel.starts[tried.origin])[chosen, first],
    }
    cases = []
    for place, series in enumerate(chosen):
        alone = of([series])[0]
        differences = {way: float(np.abs(numbers[place] - alone).max() / tried.level[series]) for way, numbers in ways.items()}
        way = max(differences, key=lambda way: differences[way])
        cases.append(_case(tried, series, f"alone and {way}", ROUNDING - differences[way], {"difference": differences[way]}))
    return cases


def renamed(tried: Tried) -> list[Case]:
    """What is not known by name is forecast by its sales and its like, whatever it is called."""
    chosen = _drawn(tried.alive)
    key = tried.panel.keys[-1]

    def under(name: str) -> np.ndarray:
        names = tried.panel.series[key].to_pylist()
        for place, series in enumerate(chosen):
            names[series] = f"{name} {place}"
        at = tried.panel.series.column_names.index(key)
        return tried.numbers(replace(tried.panel, series=tried.panel.series.set_column(at, key, pa.array(names))))

    one, other = under(UNKNOWN), under(f"0 {UNKNOWN}")
    return [_differs(tried, series, "under one unknown name and another", one[series], other[series]) for series in chosen]


def price_up(tried: Tried) -> list[Case]:
    """A dearer product never sells more."""
    if not tried.planned("price"):
        return []
    chosen = _drawn([series for series in tried.alive if np.isfinite(tried.panel.price[series]) and tried.panel.price[series] > 0])
    cases = []
    before, after = (tried.numbers(tried.priced(chosen, factor)) for factor in (1.0, 1.25))
    for series in chosen:
        rise = float((after[series] - before[series]).max() / tried.level[series])
        cases.append(_case(tried, series, "a price a quarter higher", ROUNDING - rise, _means(before[series], after[series])))
    return cases


def promotion(tried: Tried) -> list[Case]:
    """A product on offer never sells less; the kind of offer is drawn from those that there are."""
    columns = tried.planned("promotion")
    if not columns:
        return []
    kinds = [name for name in columns if name != "promotion"] or ["promotion"]
    chosen = _drawn(tried.alive)
    none = tried.numbers(tried.offered(chosen, None))
    cases = []
    for kind in kinds:
        offered = tried.numbers(tried.offered(chosen, kind))
        for series in chosen[kinds.index(kind) :: len(kinds)]:
            fall = float((none[series] - offered[series]).max() / tried.level[series])
            what = f"a promotion planned: {kind.removeprefix('promotion.')}" if len(kinds) > 1 else "a promotion planned"
            cases.append(_case(tried, series, what, ROUNDING - fall, _means(none[series], offered[series])))
    return cases


def promotion_gone(tried: Tried) -> list[Case]:
    """Without its promotion a promoted product is expected to sell less."""
    columns = tried.planned("promotion")
    if not columns:
        return []
    ahead = is_promoted(tried.panel)[:, tried.origin + 1 :] & tried.sells
    chosen = _drawn([series for series in tried.alive if ahead[series].any()])
    without = tried.numbers(tried.offered(chosen, None))
    cases = []
    for series in chosen:
        before, after = tried.usual[series][ahead[series]], without[series][ahead[series]]
        fall = float((before[:, 0] - after[:, 0]).min() / tried.level[series])
        cases.append(_case(tried, series, "its promotion taken out of the plan", fall - ROUNDING, _means(before, after)))
    return cases


def currency(tried: Tried) -> list[Case]:
    """Prices say the same in any currency."""
    prices = [name for name in ("price", "paid") if name in tried.panel.covariates]
    if not prices or not any(name.startswith("price") for name in tried.forecaster.recipe.columns):
        return []
    scaled = {name: tried.panel.covariates[name] * np.float32(7.5) for name in prices}
    after = tried.numbers(replace(tried.panel, covariates=tried.panel.covariates | scaled, price=tried.panel.price * 7.5))
    return [_differs(tried, series, "all prices times 7.5", tried.usual[series], after[series], 1e-3) for series in _drawn(tried.alive)]


def unit(tried: Tried) -> list[Case]:
    """Ten times as much sold, in single pieces instead of tens, is ten times as much expected."""
    after = tried.numbers(replace(tried.panel, demand=tried.panel.demand * 10))[:, :, :1] / 10
    return [
        _differs(tried, series, "all sales times ten", tried.usual[series][:, :1], after[series], 0.05) for series in _drawn(tried.alive)
    ]


def noise(tried: Tried) -> list[Case]:
    """One period's noise is not a new level."""
    chosen = _drawn([series for series in tried.alive if np.isfinite(tried.panel.demand[series, -1])])
    demand = tried.panel.demand.copy()
    change = np.maximum(np.round(LOUD * tried.level[chosen]), 1)
    demand[chosen, -1] += change
    state = tried.panel.state.copy()
    state[chosen, -1] = State.SOLD
    after = tried.numbers(replace(tried.panel, demand=demand, state=state))
    cases = []
    for place, series in enumerate(chosen):
        moved = float(np.abs(after[series, :, 0] - tried.usual[series, :, 0]).max())
        what = f"{change[place]:g} more sold in the newest {tried.panel.period}"
        cases.append(_case(tried, series, what, MOVES * change[place] - moved, _means(tried.usual[series], after[series])))
    return cases


def ordered(tried: Tried) -> list[Case]:
    """Quantiles are finite, none is negative, and none lies below a lower one: of every series, each a case."""
    cases = []
    for series, numbers in enumerate(tried.usual):
        steps = np.diff(numbers[:, 1:], axis=1).min()
        margin = float(min(steps, numbers.min())) if np.isfinite(numbers).all() else float("nan")
        cases.append(_case(tried, series, "as it is", margin, {"lowest": float(np.nan_to_num(numbers.min()))}))
    return cases


def unknown(tried: Tried) -> list[Case]:
    """What was never seen is forecast from what is like it, and is flagged."""
    chosen = _drawn(tried.alive, CASES // 2)
    usual = tried.usual[tried.alive][tried.sells[tried.alive], 0]
    low, high = usual.min(initial=np.inf), usual.max(initial=0)
    cases = []
    for key in tried.panel.keys:
        at = tried.panel.series.column_names.index(key)
        named = tried.panel.series.take(pa.array(chosen))
        new = named.set_column(at, key, pa.array([f"{UNKNOWN} {place}" for place in range(len(chosen))]))
        grown = _with(tried.panel, new, chosen)
        table = tried.forecaster.of(grown, tried.origin).slice(len(tried.panel.series) * tried.forecaster.horizon)
        pooled = table["pooled"].to_numpy(zero_copy_only=False).reshape(len(chosen), -1).all(1)
        numbers = np.stack([table[name].to_numpy() for name in ("mean", *COLUMNS)], 1).reshape(len(chosen), -1, 1 + len(COLUMNS))
        for place, series in enumerate(chosen):
            mean = numbers[place, tried.sells[series], 0]
            inside = float(min((mean - low / 2).min(), (2 * high - mean).min()))
            margin = inside if np.isfinite(numbers[place]).all() and pooled[place] else float("nan")
            cases.append(_case(tried, series, f"another {key} like it, unknown", margin, {"mean_after": float(np.nan_to_num(mean.mean()))}))
    return cases


def dead(tried: Tried) -> list[Case]:
    """What has not sold for a year is expected to sell next to nothing."""
    chosen = _drawn(tried.alive)
    demand, state = tried.panel.demand.copy(), tried.panel.state.copy()
    newest = slice(-DYING[tried.panel.period], None)
    was_demand = np.isfinite(demand[chosen, newest])
    demand[chosen, newest] = np.where(was_demand, 0.0, np.nan)
    state[chosen, newest] = np.where(was_demand, State.ZERO, state[chosen, newest])
    after = tried.numbers(replace(tried.panel, demand=demand, state=state))
    cases = []
    for series in chosen:
        before, now = tried.usual[series, :, 0].mean(), after[series, :, 0].mean()
        margin = float(max(DEAD * max(before, tried.level[series]), 0.1) - now)
        cases.append(_case(tried, series, "nothing sold for a year", margin, _means(tried.usual[series], after[series])))
    return cases


def coherent(tried: Tried) -> list[Case]:
    """Over stores and periods ahead, a product's means add up to about what was then sold."""
    if "store" not in tried.panel.keys or len(tried.panel.keys) < 2:
        return []
    key = next(key for key in tried.panel.keys if key != "store")
    names, product = np.unique(tried.panel.series[key].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    sold = tried.forecaster.panel.demand[:, tried.origin + 1 : tried.origin + 1 + tried.forecaster.horizon]
    expected = np.where(np.isfinite(sold), tried.usual[:, : sold.shape[1], 0], 0)
    both = [np.bincount(product, values.sum(1)) for values in (np.nan_to_num(sold), expected)]
    chosen = _drawn(np.flatnonzero((both[0] >= LEAST_SOLD) & (np.bincount(product) > 1)).tolist())
    return [
        Case(
            str(names[place]),
            "all stores together",
            float(OFF * both[0][place] - abs(both[1][place] - both[0][place])),
            {"sold": float(both[0][place]), "expected": float(both[1][place])},
            {"title": str(names[place])},
        )
        for place in chosen
    ]


CHECKS: dict[str, Callable[[Tried], list[Case]]] = {
    check.__name__: check
    for check in (consistency, renamed, price_up, promotion, promotion_gone, currency, unit, noise, ordered, unknown, dead, coherent)
}


def _drawn(series: list[int], most: int = CASES) -> list[int]:
    """At most so many of *series*, any as likely as any other."""
    return sorted(drawn(pick(series) if series else st.nothing(), min(most, len(series)), int)) if series else []


def _with(panel: Panel, new: pa.Table, like: list[int]) -> Panel:
    """*panel* with the series *new*, which never sold, planned as those *like* them."""
    grown = panel.take(np.array([*range(len(panel.series)), *like]))
    count = len(panel.series)
    grown.demand[count:], grown.state[count:] = np.nan, State.NOT_LISTED
    return replace(grown, series=pa.concat_tables([panel.series, new.cast(panel.series.schema)]).combine_chunks())


def _differs(tried: Tried, series: int, what: str, before: np.ndarray, after: np.ndarray, most: float = ROUNDING) -> Case:
    difference = float(np.abs(after - before).max() / max(tried.level[series], float(before.max())))
    return _case(tried, series, what, most - difference, {"difference": difference, **_means(before, after)})


def _means(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    return {"mean_before": float(before[:, 0].mean()), "mean_after": float(after[:, 0].mean())}


def _case(tried: Tried, series: int, what: str, margin: float, numbers: dict[str, float]) -> Case:
    name = tried.name(series)
    return Case(name, what, margin, numbers, {"title": name})
