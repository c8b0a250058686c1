"""From which periods a backtest forecasts."""

from trainworks.errors import DataError

LEAST_ORIGINS = 2
"""One chooses, one tests."""

LEAST_HISTORY = 2
"""Periods with sales that a forecast needs at the least."""


def origins(known: int, horizon: int, step: int, count: int) -> list[int]:
    """*count* origins, oldest first, *step* periods apart: an origin is the last period that is known, counted from 0.

    The newest lies *horizon* periods before the end of the *known* periods of sales and is the test; the others choose the model.

    Raises:
        ValueError: a knob below 1, or a single origin, which would choose and test at once.
        DataError: a history that is too short for them.
    """
    for name, value, least in (("horizon", horizon, 1), ("step", step, 1), ("origins", count, LEAST_ORIGINS)):
        if value < least:
            raise ValueError(f"{name} = {value}: must be at least {least}")
    if horizon >= known:
        raise DataError(f"horizon = {horizon} periods, but only {known} periods have sales: take a shorter horizon")
    test = known - 1 - horizon
    oldest = test - (count - 1) * step
    # A model that is fitted at an origin learns from targets up to there, forecast from earlier origins.
    least = LEAST_HISTORY + horizon - 1
    if oldest < least:
        fitting = max(0, (test - least) // step + 1)
        advice = f"take origins = {fitting}" if fitting > 1 else "take a shorter horizon or a finer grain"
        raise DataError(
            f"{count} origins of {horizon} periods, {step} apart, need {least + 1 + (count - 1) * step + horizon} periods of sales, "
            f"but only {known} have some: {advice}"
        )
    return list(range(oldest, test + 1, step))


def within(history: int, step: int, count: int) -> int:
    """How many of *count* origins, *step* periods apart, lie in the *history* that is learned at the newest of them: two at the least.

    Older ones would choose a model by what has passed.
    """
    return max(LEAST_ORIGINS, min(count, -(-history // step)))
