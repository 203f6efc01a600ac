"""Computes the films' Gold tables from Silver with DuckDB, and says whether Gold holds the same.

    gold_by_duckdb.py SILVER GOLD      one JSON object: for each table its rows, and the rows that differ

An independent computation: it shares no code with the aggregate plugins, only the meaning of their columns. Does not judge.
"""

import json
import pathlib
import sys

import duckdb
from deltalake import DeltaTable

# Half up, to two decimals, in whole numbers: a mean of tenths must not depend on how a float is summed.
MEAN = "round(sum(cast(round(imdb_rating * 10) as bigint)) / 10.0::decimal(38, 10) / count(imdb_rating) + 1e-9, 2)"

TABLES = {
    "genres": f"""
        select genre, count(*) films, {MEAN} mean_rating, median(imdb_rating) median_rating,
               coalesce(sum(imdb_votes), 0) votes, count(worldwide_gross_usd) films_with_gross,
               coalesce(sum(worldwide_gross_usd), 0) worldwide_gross_usd
        from (select unnest(genres) genre, * from silver) group by genre order by genre""",
    "directors": f"""
        select row_number() over (order by votes desc, director) as rank, * from (
            select director, count(*) films, coalesce(sum(imdb_votes), 0) votes, {MEAN} mean_rating,
                   min(year) first_year, max(year) last_year, coalesce(sum(worldwide_gross_usd), 0) worldwide_gross_usd
            from (select unnest(directors) director, * from silver) group by director having count(*) >= 3)
        order by rank limit 25""",
    "decades": f"""
        with known as (select *, budget_usd is not null and worldwide_gross_usd is not null both_known from silver where year is not null)
        select year - year % 10 as decade, count(*) films, {MEAN} mean_rating, coalesce(sum(imdb_votes), 0) votes,
               count(*) filter (both_known) films_with_return,
               coalesce(sum(budget_usd) filter (both_known), 0) budget_usd,
               coalesce(sum(worldwide_gross_usd) filter (both_known), 0) worldwide_gross_usd,
               round(sum(worldwide_gross_usd) filter (both_known) / nullif(sum(budget_usd) filter (both_known), 0) + 1e-9, 2) return_on_budget
        from known group by decade order by decade""",
}


def same(ours, theirs):
    if isinstance(ours, str) or ours is None or theirs is None:
        return ours == theirs
    return abs(float(ours) - float(theirs)) < 1e-6


def main(silver_path, gold_path):
    silver = DeltaTable(silver_path).to_pyarrow_table()
    duckdb.register("silver", silver)
    report = {"silver_rows": silver.num_rows, "tables": {}}
    for name, query in TABLES.items():
        expected = duckdb.sql(query)
        columns = ", ".join(expected.columns)
        gold = duckdb.sql(f"select {columns} from read_parquet('{pathlib.Path(gold_path) / name}.parquet')").fetchall()
        expected = expected.fetchall()
        different = [
            {"gold": ours, "duckdb": theirs}
            for ours, theirs in zip(gold, expected)
            if not all(same(a, b) for a, b in zip(ours, theirs))
        ]
        report["tables"][name] = {"gold_rows": len(gold), "duckdb_rows": len(expected), "different": different}
    print(json.dumps(report, default=str))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
