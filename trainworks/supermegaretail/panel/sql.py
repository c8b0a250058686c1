"""The SQL of the panel, one text for DuckDB and Spark.

Days are whole numbers. ``days`` (day, period) and ``periods`` (period, first_day, last_day) come from :mod:`.periods`, planned periods too;
``series`` has the keys of those that are kept. What is valid for a span of days is put into periods before it meets series, so that no
line of sales is ever multiplied.
"""

SALES = ("product", "store", "day", "quantity", "revenue", "price")
PROMOTIONS = ("product", "store", "first_day", "last_day", "kind", "price", "discount")
PRICES = ("product", "store", "first_day", "last_day", "price")
STOCK = ("product", "store", "day", "on_hand")

STORE_DAYS = "SELECT coalesce(store, '') AS store, day, count(*) AS lines FROM sales GROUP BY coalesce(store, ''), day"

SOLD = """
SELECT d.period, s.product, coalesce(s.store, '') AS store,
    sum(CASE WHEN s.quantity > 0 THEN s.quantity ELSE 0 END) AS quantity,
    sum(CASE WHEN s.quantity > 0 THEN coalesce(s.revenue, s.price * s.quantity) END) AS revenue,
    sum(CASE WHEN s.quantity > 0 AND coalesce(s.revenue, s.price) IS NOT NULL THEN s.quantity END) AS priced,
    count(*) AS lines
FROM sales s JOIN days d ON d.day = s.day
WHERE coalesce(s.store, '') NOT IN (SELECT store FROM refused)
GROUP BY d.period, s.product, coalesce(s.store, '')
"""
"""What was sold of a product in a store and period; returns are lines, and no demand."""

STORES = """
SELECT store, period, sum(quantity) AS quantity, sum(lines) AS lines FROM sold GROUP BY store, period
"""


def pairs(keys: dict[str, str], planned: list[str], launched: str, ahead: int) -> str:
    """Products in stores with their *keys* (name → ``product``, ``store``, or SQL of an attribute), and the period of their first line.

    They were sold, or are to be: a row of a *planned* table lies in the periods *ahead*, or the product is *launched* then.
    """
    ends = {"promotions": f"coalesce(last_day, first_day) >= {ahead}", "prices": f"first_day >= {ahead}"}
    alone = [f"SELECT product, store FROM {table} WHERE store IS NOT NULL AND {ends[table]}" for table in planned]
    everywhere = [f"SELECT product FROM {table} WHERE store IS NULL AND {ends[table]}" for table in planned]
    if launched:
        everywhere.append(f"SELECT product FROM products WHERE launched >= {launched}")
    named = ["SELECT product, store, min(period) AS since FROM sold GROUP BY product, store"]
    named += [f"SELECT product, store, CAST(NULL AS BIGINT) AS since FROM ({one}) plan" for one in alone]
    named += [
        f"SELECT product, store, CAST(NULL AS BIGINT) AS since FROM ({one}) plan CROSS JOIN (SELECT DISTINCT store FROM sold) stores_sold "
        "WHERE product NOT IN (SELECT product FROM sold)"
        for one in everywhere
    ]
    columns = "".join(f", coalesce(CAST({expression} AS STRING), '') AS key_{place}" for place, expression in enumerate(keys.values()))
    joins = ""
    for table, key in (("products", "product"), ("stores", "store")):
        attributes = [expression.split(".")[1] for expression in keys.values() if expression.startswith(f"{table}_1.")]
        if attributes:
            firsts = ", ".join(f"min({name}) AS {name}" for name in attributes)
            joins += f" LEFT JOIN (SELECT {key}, {firsts} FROM {table} GROUP BY {key}) {table}_1 ON {table}_1.{key} = pair.{key}"
    return f"""
    SELECT pair.product, pair.store, pair.since{columns} FROM (
        SELECT product, store, min(since) AS since FROM ({" UNION ALL ".join(named)}) each_pair
        WHERE store NOT IN (SELECT store FROM refused) GROUP BY product, store
    ) pair{joins}
    """


def totals(count: int, chosen_until: int) -> str:
    """Units of each combination of *count* keys in the periods up to *chosen_until*, whether it was ever sold, and its first period."""
    keys = ", ".join(f"p.key_{place}" for place in range(count))
    return f"""
    SELECT {keys}, coalesce(sum(CASE WHEN s.period <= {chosen_until} THEN s.quantity END), 0.0) AS quantity, min(s.period) AS since
    FROM pairs p LEFT JOIN sold s ON s.product = p.product AND s.store = p.store GROUP BY {keys}
    """


def members(count: int) -> str:
    """Products in stores with the number of the series that they are part of."""
    same = " AND ".join(f"s.key_{place} = p.key_{place}" for place in range(count))
    return f"SELECT s.series, p.product, p.store, p.since FROM pairs p JOIN series s ON {same}"


CELLS = """
SELECT m.series, s.period, sum(s.quantity) AS quantity, sum(s.revenue) AS revenue, sum(s.priced) AS priced
FROM sold s JOIN members m ON m.product = s.product AND m.store = s.store GROUP BY m.series, s.period
"""

MEMBERS_SINCE = "SELECT series, since, count(*) AS members FROM members WHERE since IS NOT NULL GROUP BY series, since"


def in_periods(name: str, keys: str) -> str:
    """Common table expressions from *name* (*keys*, first_day, last_day) to ``by_period`` (keys, period, covered days)."""
    own = ", ".join(f"x.{key.strip()}" for key in keys.split(","))
    return f"""
    placed AS (
        SELECT {own}, x.first_day, x.last_day, a.period AS first_period, b.period AS last_period
        FROM {name} x JOIN days a ON a.day = x.first_day JOIN days b ON b.day = x.last_day WHERE x.first_day <= x.last_day
    ),
    by_period AS (
        SELECT {keys}, first_period AS period, last_day - first_day + 1 AS covered FROM placed WHERE first_period = last_period
        UNION ALL
        SELECT {own}, t.period,
            CASE WHEN x.last_day < t.last_day THEN x.last_day ELSE t.last_day END
            - CASE WHEN x.first_day > t.first_day THEN x.first_day ELSE t.first_day END + 1 AS covered
        FROM placed x JOIN periods t ON t.period BETWEEN x.first_period AND x.last_period WHERE x.first_period < x.last_period
    )"""


def promoted(first: int, last: int, without_end: str) -> str:
    """Days on which each kind of promotion ran, by product, store (NULL: all) and period; overlaps and repeats count once.

    Args:
        first: the first day of the panel
        last: the last planned one
        without_end: what a row without an end lasts: period, week or day
    """
    end = {"period": "coalesce(t.last_day, x.first_day)", "week": "x.first_day + 6", "day": "x.first_day"}[without_end]
    return f"""
    WITH dated AS (
        SELECT x.product, x.store, coalesce(x.kind, '') AS kind, x.first_day, coalesce(x.last_day, {end}) AS last_day
        FROM promotions x LEFT JOIN days d ON d.day = x.first_day LEFT JOIN periods t ON t.period = d.period
        WHERE x.product IN (SELECT product FROM members)
    ),
    spans AS (
        SELECT DISTINCT product, store, kind, greatest(first_day, {first}) AS first_day, least(last_day, {last}) AS last_day
        FROM dated WHERE first_day <= {last} AND last_day >= {first}
    ),
    apart AS (
        SELECT product, store, kind, last_day, greatest(first_day, coalesce(1 + max(last_day) OVER (
            PARTITION BY product, store, kind ORDER BY first_day, last_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), first_day)) AS first_day FROM spans
    ),
    {in_periods("apart", "product, store, kind")}
    SELECT product, store, kind, period, CAST(sum(covered) AS DOUBLE) AS covered FROM by_period GROUP BY product, store, kind, period
    """


def promotion_cells(known_to_sell: str) -> str:
    """Of each series and period its members on promotion, by kind, and with kind NULL by any; part of a period is part of a member.

    *known_to_sell* is SQL over ``m.since`` and ``t.period``.
    """
    return f"""
    WITH joined AS (
        SELECT m.series, m.product, m.store, x.kind, x.period, x.covered FROM promoted x
        JOIN members m ON m.product = x.product AND m.store = x.store WHERE x.store IS NOT NULL
        UNION ALL
        SELECT m.series, m.product, m.store, x.kind, x.period, x.covered FROM promoted x
        JOIN members m ON m.product = x.product WHERE x.store IS NULL
    ),
    shares AS (
        SELECT m.series, m.product, m.store, m.kind, m.period, least(1.0, sum(m.covered) / max(t.last_day - t.first_day + 1)) AS share
        FROM joined m JOIN periods t ON t.period = m.period GROUP BY m.series, m.product, m.store, m.kind, m.period
    ),
    of_member AS (
        SELECT m.series, t.kind, t.period, t.share, m.product, m.store FROM shares t
        JOIN members m ON m.series = t.series AND m.product = t.product AND m.store = t.store WHERE {known_to_sell}
    )
    SELECT series, period, kind, sum(share) AS share FROM of_member GROUP BY series, period, kind
    UNION ALL
    SELECT series, period, CAST(NULL AS STRING) AS kind, sum(share) AS share FROM (
        SELECT series, period, product, store, max(share) AS share FROM of_member GROUP BY series, period, product, store
    ) any_kind GROUP BY series, period
    """


def deals(first: int, last: int) -> str:
    """The lowest promotion price and the greatest discount of each series and period."""
    return f"""
    WITH spans AS (
        SELECT product, store, price, discount, greatest(first_day, {first}) AS first_day,
            least(coalesce(last_day, first_day), {last}) AS last_day
        FROM promotions WHERE first_day <= {last} AND coalesce(last_day, first_day) >= {first}
            AND (price > 0 OR discount IS NOT NULL) AND product IN (SELECT product FROM members)
    ),
    {in_periods("spans", "product, store, price, discount")}
    SELECT m.series, x.period, min(CASE WHEN x.price > 0 THEN x.price END) AS price, max(x.discount) AS discount
    FROM by_period x JOIN members m ON m.product = x.product AND (x.store IS NULL OR x.store = m.store) GROUP BY m.series, x.period
    """


def price_cells(first: int, last: int, known_to_sell: str) -> str:
    """The planned price of each series and period, the mean over its days and members; a store's own price stands above all stores'."""
    return f"""
    WITH until_next AS (
        SELECT product, store, price, first_day, least(coalesce(last_day, {last}), coalesce(
            lead(first_day) OVER (PARTITION BY product, store ORDER BY first_day) - 1, {last}), {last}) AS last_day
        FROM prices WHERE price > 0 AND product IN (SELECT product FROM members)
    ),
    spans AS (
        SELECT product, store, price, greatest(first_day, {first}) AS first_day, last_day
        FROM until_next WHERE first_day <= {last} AND last_day >= {first}
    ),
    {in_periods("spans", "product, store, price")},
    priced AS (
        SELECT product, store, period, sum(price * covered) / sum(covered) AS price FROM by_period GROUP BY product, store, period
    ),
    both_kinds AS (
        SELECT m.series, m.product, m.store, m.since, x.period, x.price AS own, CAST(NULL AS DOUBLE) AS general
        FROM priced x JOIN members m ON m.product = x.product AND m.store = x.store WHERE x.store IS NOT NULL
        UNION ALL
        SELECT m.series, m.product, m.store, m.since, x.period, CAST(NULL AS DOUBLE) AS own, x.price AS general
        FROM priced x JOIN members m ON m.product = x.product WHERE x.store IS NULL
    ),
    of_member AS (
        SELECT series, product, store, max(since) AS since, period, coalesce(max(own), max(general)) AS price
        FROM both_kinds GROUP BY series, product, store, period
    )
    SELECT m.series, m.period, avg(m.price) AS price FROM of_member m JOIN periods t ON t.period = m.period
    WHERE {known_to_sell} GROUP BY m.series, m.period
    """


STOCK_CELLS = """
SELECT m.series, d.period, avg(x.on_hand) AS stock, max(x.on_hand) AS most FROM stock x
JOIN days d ON d.day = x.day JOIN members m ON m.product = x.product AND (x.store IS NULL OR x.store = m.store)
WHERE x.on_hand IS NOT NULL GROUP BY m.series, d.period
"""


SHUT = "lower(CAST(c.closed AS STRING)) IN ('true', 't', 'yes', 'y', '1', '1.0', 'closed')"

CLOSED_DAYS = f"SELECT DISTINCT c.day FROM calendar c WHERE {SHUT}"


def calendar_cells(places: list[str]) -> str:
    """Days of each event, and closed ones, by *places* (store, region …) and period."""
    by = "".join(f", c.{place}" for place in places)
    return f"""
    SELECT d.period, c.event, count(DISTINCT c.day) AS days, count(DISTINCT CASE WHEN {SHUT} THEN c.day END) AS closed{by}
    FROM calendar c JOIN days d ON d.day = c.day GROUP BY d.period, c.event{by}
    """


def table_cells(table: str, keys: list[str], columns: list[str], quote: str) -> str:
    """The mean of each numeric column of a *table* of its own, by its *keys* and period: ``key_0`` …, ``mean_0`` …; names in *quote*."""
    of = [f"CAST(x.{quote}{key}{quote} AS STRING)" for key in keys]
    by = "".join(f", {key}" for key in of)
    named = "".join(f", {key} AS key_{place}" for place, key in enumerate(of))
    means = ", ".join(f"avg(CAST(x.{quote}{column}{quote} AS DOUBLE)) AS mean_{place}" for place, column in enumerate(columns))
    return f"SELECT d.period{named}, {means} FROM {table} x JOIN days d ON d.day = x.day GROUP BY d.period{by}"
