"""Days of 23, 24, 25 and 24½ hours, a week 53, a leap day: every sale counts once, in the period in which the store sold it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.supermegaretail.delivery_of import deliver
from trainworks.supermegaretail.cleaning.clean import clean
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.panel.build import build
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.panel.panel import Panel
from trainworks.supermegaretail.tables.acquire import acquire

FIRST, HOURS = datetime(2020, 1, 27, tzinfo=UTC), 24 * 448
"""Until 18 April 2021: a leap day, a week 53, and three or four changes of the clocks."""


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A line for every half hour, day and night; one unit each."""
    folder = tmp_path_factory.mktemp("calendar")
    lines = [f"{FIRST + timedelta(minutes=30 * half):%Y-%m-%d %H:%M:%S},1,P,1" for half in range(2 * HOURS)]
    source = deliver(folder / "source", sales_csv="\n".join(["date,store,product,quantity", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINWORKS_ARTIFACTS", str(folder / "artifacts"))
        return acquire(str(source), "")


def by_hand(zone: str, period: str) -> Counter:
    """First day of a period → half hours in it."""
    counted: Counter = Counter()
    for half in range(2 * HOURS):
        day = (FIRST + timedelta(minutes=30 * half)).astimezone(ZoneInfo(zone)).date()
        day = day - timedelta(days=day.weekday()) if period == "week" else day.replace(day=1) if period == "month" else day
        counted[str(day)] += 1
    return counted


@pytest.mark.parametrize(
    ("zone", "lengths"),
    [
        ("UTC", {48}),
        ("Europe/Berlin", {46, 48, 50}),
        ("Australia/Lord_Howe", {47, 48, 49}),  # whose clocks change by half an hour
    ],
)
def test_every_half_hour_counts_once_in_the_stores_own_calendar(slices, tmp_path, zone, lengths):
    """By the day, the week and the month, beside Python's own calendar; only the ends, which are not whole, are left out."""
    folders = []
    for number, rows in enumerate(slices):
        folders.append(tmp_path / f"lines-{number}")
        folders[-1].mkdir()
        clean(rows, CleanConfig(timezone=zone), folders[-1])
    for period, least in (("day", 446), ("week", 62), ("month", 13)):
        (tmp_path / period).mkdir()
        build(folders, PanelConfig(grain=f"store, product, {period}", covariates=""), tmp_path / period)
        panel = Panel.load(tmp_path / period)
        sold = dict(zip(panel.starts[: panel.known].astype(str).tolist(), panel.demand[0].tolist(), strict=True))
        counted = by_hand(zone, period)
        inner = sorted(counted)[1:-1] if period != "day" else sorted(counted)
        assert sold.keys() >= set(inner) and sold == {start: counted[start] for start in sold} and len(sold) >= least
        if period == "day":
            assert sold["2020-02-29"] == 48 and {sold[day] for day in inner[1:-1]} == lengths
        if period == "week":
            assert (np.diff(panel.starts).astype(int) == 7).all() and {"2020-12-28", "2021-01-04"} <= sold.keys()
            assert {sold[week] for week in inner} == {6 * 48 + length for length in lengths}
        if period == "month":
            assert sold["2020-02-01"] == 29 * 48 and sold["2021-02-01"] == 28 * 48
