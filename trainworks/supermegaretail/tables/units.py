"""Units of sales: quantities by the thousandth of what its price is for, and quantities that nobody sells."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainworks.supermegaretail.database import database
from trainworks.supermegaretail.tables.typed import REJECTED

PARTS = "_parts"
"""Column of sales: into how many parts the unit of its product is cut."""

THOUSANDTH = 400
"""A product whose unit costs less than this part of what products usually cost is sold by the thousandth: fuel, of a gallon."""
LOTS = 100
"""The least usual quantity of such a product."""

BILLION = 1e9
"""Units of one line that nobody sells."""
FAR, MANY = 1e4, 1e5
"""A quantity so many times the usual one of its product, and above so many, is a mistake too."""

USUAL = f"""
WITH usual AS (
    SELECT product, median(quantity) AS quantity, median(coalesce(revenue / quantity, price)) AS price
    FROM sales WHERE {REJECTED} = '' AND quantity > 0 AND quantity < {BILLION} GROUP BY product
)
SELECT product, quantity,
    quantity >= {LOTS} AND price > 0 AND price * {THOUSANDTH} < (SELECT median(price) FROM usual WHERE price > 0) AS in_thousandths
FROM usual
"""
"""Of each product the usual quantity of a line, and whether it is in thousandths."""


def with_units(sales: pa.Table) -> pa.Table:
    """*sales* with the column ``PARTS``, and lines rejected whose quantity cannot be; both by all that is known of a product."""
    with database() as run:
        run.register("sales", sales)
        usual = run.sql(USUAL).to_arrow_table()
    place = pc.fill_null(pc.index_in(sales["product"], value_set=usual["product"]), len(usual)).to_numpy()
    parts = np.append(np.where(pc.fill_null(usual["in_thousandths"], False).to_numpy(), 1000.0, 1.0), 1.0)[place]
    most = np.append(np.maximum(MANY, FAR * usual["quantity"].to_numpy()), MANY)[place]
    quantity = np.abs(sales["quantity"].to_numpy())
    wrong = np.isfinite(quantity) & ((quantity >= BILLION) | (quantity > most))
    sales = sales.append_column(PARTS, pa.array(parts))
    if not wrong.any():
        return sales
    is_new = pc.and_(pa.array(wrong), pc.equal(sales[REJECTED], ""))
    rejected = pc.if_else(is_new, "a quantity that cannot be", sales[REJECTED])
    return sales.set_column(sales.column_names.index(REJECTED), REJECTED, rejected)
