"""Clean: lines that count, and for every other a reason."""

from datetime import date

import pytest

from tests.supermegaretail.delivery_of import WEEKS, cleaned, deliver, weekly


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Stages' outputs go into the test's folder."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", str(tmp_path / "artifacts"))


def test_a_restated_file_replaces_what_it_restates(tmp_path):
    """Of a key that two files have, the later one's line counts; what it does not mention stays."""
    source = deliver(
        tmp_path / "source",
        **{"sales__2026-01_csv": weekly(weeks=WEEKS[:4]), "sales__2026-01 corrected_csv": weekly(weeks=WEEKS[:2], quantity="5")},
    )
    lines, ledger = cleaned(source)
    assert ledger["sales"]["rejected"] == {"said again by a later file": 40}
    assert sum(lines["sales"]["quantity"].to_pylist()) == 40 * 5 + 40 * 3


def lines_of(days: range, quantities: tuple[int, ...] = (1, 1, 2), store: str = "1") -> str:
    """Lines of a till that nothing tells apart."""
    rows = [f"2026-01-{day:02d},{store},P{product},{quantity}" for day in days for product in range(5) for quantity in quantities]
    return "\n".join(["date,store,product,quantity", *rows]) + "\n"


def test_lines_that_come_again_in_a_later_file_count_once(tmp_path):
    """A month under another name, corrected in a few lines: of the days that it has, the earlier file's are gone."""
    corrected = lines_of(range(5, 15)).replace("2026-01-05,1,P3,2", "2026-01-05,1,P3,7") + "2026-01-14,1,P1,9\n"
    source = deliver(tmp_path / "source", **{"sales__2026-01_csv": lines_of(range(1, 15)), "sales__2026-01 corrected_csv": corrected})
    lines, ledger = cleaned(source)
    assert ledger["sales"]["rejected"] == {"said again by a later file": 10 * 15}
    assert sum(lines["sales"]["quantity"].to_pylist()) == 14 * 5 * 4 + 5 + 9


def test_parts_of_one_delivery_are_all_counted(tmp_path):
    """Two tills of a store, or two stores, each in a file of its own, say nothing again."""
    parts = {
        "sales__part-0_csv": lines_of(range(1, 15)),
        "sales__part-1_csv": lines_of(range(1, 15), (1, 3, 3, 4)),
        "sales__part-2_csv": lines_of(range(1, 15), store="2"),
    }
    _, ledger = cleaned(deliver(tmp_path / "source", **parts))
    assert ledger["sales"]["kept"] == ledger["sales"]["read"] == 14 * 5 * 10


def test_a_return_beside_a_sale_is_no_conflict(tmp_path):
    """In a table of weeks, what was sold and what came back stand in a row each."""
    sales = weekly(products=2) + "2026-01-05,0001,P00,-1\n"
    lines, ledger = cleaned(deliver(tmp_path / "source", sales_csv=sales))
    assert not ledger["sales"]["rejected"] and ledger["sales"]["corrected"] == {"a return, which is no demand": 1}
    assert sorted(lines["sales"]["quantity"].to_pylist()) == [-1, *[3] * 10]


def test_lines_of_a_till_are_no_repeats(tmp_path):
    """Two customers bought the same; the same basket twice is a repeat, and what only the basket tells apart is not."""
    header = "date,store,product,quantity,basket\n"
    rows = [f"2026-01-05 10:{minute:02d}:00,1,P,1,B{basket}" for minute in range(30) for basket in range(2)]
    source = deliver(tmp_path / "source", sales_csv=header + "\n".join([*rows, rows[0]]) + "\n")
    lines, ledger = cleaned(source)
    assert ledger["sales"]["rejected"] == {"repeated": 1} and len(lines["sales"]) == 60


def test_days_of_lines_without_a_basket_may_be_equal(tmp_path):
    """Where many lines of a product, store and day differ, equal ones are sales too."""
    rows = [f"2026-01-{day:02d},1,P,{quantity}" for day in range(5, 15) for quantity in (1, 1, 2)]
    lines, _ = cleaned(deliver(tmp_path / "source", sales_csv="date,store,product,quantity\n" + "\n".join(rows) + "\n"))
    assert sum(lines["sales"]["quantity"].to_pylist()) == 40


@pytest.mark.parametrize(("column", "value"), [("category", "bread"), ("card", "yes")])
def test_a_column_that_tells_no_lines_apart_makes_no_repeats(tmp_path, column, value):
    """Two customers bought the same thing; that it is bread says nothing of who they were."""
    rows = [f"2026-01-{day:02d},1,P,{quantity},{value}" for day in range(5, 15) for quantity in (1, 1, 2)]
    lines, _ = cleaned(deliver(tmp_path / "source", sales_csv=f"date,store,product,quantity,{column}\n" + "\n".join(rows) + "\n"))
    assert sum(lines["sales"]["quantity"].to_pylist()) == 40


@pytest.mark.parametrize(
    ("timezone", "day", "moved"),
    [("UTC", 5, 0), ("America/New_York", 4, 1)],
)
def test_timestamps_become_the_days_of_the_store(tmp_path, timezone, day, moved):
    """Two in the morning in London is the evening before in New York; the ledger says how often, and that it never was."""
    source = deliver(tmp_path / "source", sales_csv="date,store,product,quantity\n2026-01-05 02:00:00,1,P,1\n2026-01-06 20:00:00,1,P,1\n")
    lines, ledger = cleaned(source, timezone=timezone)
    assert lines["sales"]["date"].to_pylist() == [date(2026, 1, day), date(2026, 1, 6)]
    assert ledger["sales"]["corrected"] == {"day in UTC, another in the store": moved}


def test_days_are_in_no_time_zone(tmp_path):
    """A day, or midnight in all rows, is the store's own."""
    lines, _ = cleaned(deliver(tmp_path / "source", sales_csv=weekly(weeks=("2026-01-05 00:00:00",))), timezone="America/New_York")
    assert set(lines["sales"]["date"].to_pylist()) == {date(2026, 1, 5)}


def test_fuel_by_the_thousandth_is_found_by_its_price(tmp_path):
    """Not by its name: its unit costs a fraction of what anything costs."""
    header = "date,store,product,quantity,revenue\n"
    rows = [f"2026-01-05,1,P{number},{1 + number % 3},{2.5 * (1 + number % 3)}" for number in range(50)]
    rows += [f"{week},1,petrol,{10000 + number},{25 + number / 400}" for number, week in enumerate(WEEKS[:4])]
    lines, ledger = cleaned(deliver(tmp_path / "source", sales_csv=header + "\n".join(rows) + "\n"))
    petrol = [row for row in lines["sales"].to_pylist() if row["product"] == "petrol"]
    assert ledger["sales"]["corrected"] == {"quantity in thousandths of a unit": 4}
    assert [row["quantity"] for row in petrol] == [10.0, 10.001, 10.002, 10.003] and petrol[0]["revenue"] == 25


def test_a_product_has_one_unit_in_all_months(tmp_path):
    """Though in one of them it sold once, and little; where most products are fuel, those that are none say what a unit costs."""
    header = "date,store,product,quantity,price\n"
    rows = [f"2026-01-05,1,P{number},2,{1.5 + number}" for number in range(5)]
    rows += [f"2026-01-{day:02d},1,petrol,{9000 + day},0.0024" for day in range(5, 30)] + ["2026-03-02,1,petrol,50,0.0024"]
    lines, ledger = cleaned(deliver(tmp_path / "source", sales_csv=header + "\n".join(rows) + "\n"))
    petrol = [row for row in lines["sales"].to_pylist() if row["product"] == "petrol"]
    assert ledger["sales"]["corrected"] == {"quantity in thousandths of a unit": 26}
    assert petrol[0]["quantity"] == 9.005 and petrol[-1]["quantity"] == 0.05 and petrol[-1]["price"] == pytest.approx(2.4)


def test_what_is_cheap_and_sold_in_hundreds_stays(tmp_path):
    """A nail costs a hundredth of what else there is, and is counted."""
    rows = [f"2026-01-05,1,P{number},2,{8 + number}" for number in range(5)] + ["2026-01-05,1,nail,300,30"]
    lines, ledger = cleaned(deliver(tmp_path / "source", sales_csv="date,store,product,quantity,revenue\n" + "\n".join(rows) + "\n"))
    assert lines["sales"]["quantity"].to_pylist()[-1] == 300 and not ledger["sales"]["corrected"]


CORRECTED = {
    "free": ("2026-01-05,1,P,2,0,", "no revenue for what was sold", {"revenue": None, "quantity": 2}),
    "price of zero": ("2026-01-05,1,P,2,,0", "price of zero or below", {"price": None}),
    "disagree": ("2026-01-05,1,P,2,6,5", "price that disagrees with revenue", {"price": 3.0, "revenue": 6}),
    "return": ("2026-01-05,1,P,-2,-6,3", "a return, which is no demand", {"quantity": -2}),
    "zero with revenue": ("2026-01-05,1,P,0,1,", "revenue of what was not sold", {"quantity": 0, "revenue": None}),
    "no number": ("2026-01-05,1,P,2,n/a,", "revenue is no number", {"revenue": None}),
}


@pytest.mark.parametrize(("line", "reason", "values"), CORRECTED.values(), ids=CORRECTED)
def test_what_can_be_mended_is_kept_with_a_reason(tmp_path, line, reason, values):
    """Demand counts though its price does not."""
    others = [f"2026-01-05,1,Q{number},1,3,3" for number in range(30)]
    source = deliver(tmp_path / "source", sales_csv="\n".join(["date,store,product,quantity,revenue,price", line, *others]) + "\n")
    lines, ledger = cleaned(source)
    row = lines["sales"].to_pylist()[0]
    assert ledger["sales"]["corrected"] == {reason: 1} and {name: row[name] for name in values} == values


def test_net_demand_is_less_what_came_back(tmp_path):
    """Taken from the newest sales before; gross demand is what was sold."""
    sales = "date,store,product,quantity\n2026-01-05,1,P,5\n2026-01-12,1,P,3\n2026-01-19,1,P,-4\n"
    source = deliver(tmp_path / "source", sales_csv=sales)
    assert cleaned(source)[0]["sales"]["quantity"].to_pylist() == [5, 3, -4]
    lines, ledger = cleaned(source, returns="net")
    assert lines["sales"]["quantity"].to_pylist() == [4, 0, -4]
    assert ledger["sales"]["corrected"] == {"a return, which is no demand": 1, "less what came back": 2}


def test_a_product_in_no_table_is_kept_and_counted(tmp_path):
    """New products are sold before somebody enters them."""
    source = deliver(tmp_path / "source", sales_csv=weekly(products=2), products_csv="product,brand\nP00,x\n")
    lines, ledger = cleaned(source)
    assert ledger["sales"]["corrected"] == {"product in no table of products": 5} and len(lines["sales"]) == 10


def test_plans_are_checked_too(tmp_path):
    """Prices of zero and spans that end before they start are no plan; overlaps are, repeats are not."""
    source = deliver(
        tmp_path / "source",
        sales_csv=weekly(),
        prices_csv="product,start,end,price\nP,2026-01-05,,0\nP,2026-01-12,2026-01-11,2\nP,2026-01-19,,2\nP,2026-01-19,,3\n",
        promotions_csv="product,start,end,kind,price\nP,2026-01-05,2026-01-11,x,-1\nP,2026-01-05,2026-01-11,x,-1\nP,2026-01-08,9999-12-31,x,2\n",
        stock_csv="date,store,product,on_hand\n2026-01-05,1,P,-3\n2026-01-12,1,P,4\n",
        calendar_csv="date,event,closed\n2026-04-05,Easter,yes\n2026-04-05,Easter,yes\n",
    )
    lines, ledger = cleaned(source)
    assert ledger["prices"]["rejected"] == {
        "end before start": 1,
        "price of zero or below": 1,
        "says something else than an earlier line of its file": 1,
    }
    assert ledger["promotions"]["rejected"] == {"repeated": 1} and lines["promotions"]["price"].to_pylist() == [None, 2]
    assert lines["promotions"]["end"].to_pylist() == [date(2026, 1, 11), date(9999, 12, 31)]
    assert lines["stock"]["on_hand"].to_pylist() == [0, 4] and ledger["calendar"]["rejected"] == {"repeated": 1}
