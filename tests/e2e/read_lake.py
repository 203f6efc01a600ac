"""Opens Silver and Gold with engines of other people's making and prints what they see, as one JSON object.

    read_lake.py facts SILVER GOLD     rows, columns, pruning, history and whether all readers agree
    read_lake.py rewrite SILVER        what another engine's maintenance does: reorder every file, then vacuum at once

Does not judge: the test that calls it compares the facts with what it wrote. Reads tables only through public interfaces.
"""

import json
import pathlib
import sys

import duckdb
import polars
import pyarrow.compute as compute
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from deltalake import DeltaTable

APP_ID = "sluicebox.silver"


def rows_of(table):
    """Rows as a sorted list of texts: readers may order rows differently and dress a type differently."""
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in table.to_pylist())


def columns_of(table):
    return {field.name: str(field.type) for field in table.schema().to_arrow()}


def rows_at_first(path):
    """Rows of version 0, or none if the log does not reach back to it."""
    first = pathlib.Path(path, "_delta_log", f"{0:020}.json")
    return DeltaTable(path, version=0).to_pyarrow_table().num_rows if first.exists() else None


def silver_facts(path):
    table = DeltaTable(path)
    arrow = table.to_pyarrow_table()
    frame = polars.read_delta(path)
    files = table.file_uris()
    by_duckdb = duckdb.sql("select count(*), count(distinct _key) from arrow").fetchall()[0]
    buckets = sorted(set(arrow["_bucket"].to_pylist()))
    one = buckets[0] if buckets else 0
    return {
        "version": table.version(),
        "buckets_setting": table.metadata().configuration.get("sluicebox.buckets"),
        "partition_columns": table.metadata().partition_columns,
        "columns": columns_of(table),
        "files": len(files),
        "rows": {
            "deltalake": arrow.num_rows,
            "polars": frame.height,
            "duckdb": by_duckdb[0],
            "statistics": sum(table.get_add_actions(flatten=True)["num_records"].to_pylist()),
        },
        "keys": by_duckdb[1],
        "keys_listed": sorted(set(arrow["_key"].to_pylist())),
        "buckets": buckets,
        "bucket_pruning": {
            "files": len(table.file_uris(partition_filters=[("_bucket", "=", str(one))])),
            "rows": polars.scan_delta(path).filter(polars.col("_bucket") == one).collect().height,
            "expected_rows": compute.sum(compute.equal(arrow["_bucket"], one)).as_py(),
        },
        "operations": [entry["operation"] for entry in reversed(table.history())],
        "first_version_rows": rows_at_first(path),
    }


def gold_facts(layer, name):
    path = str(layer / name)
    table = DeltaTable(path)
    arrow = table.to_pyarrow_table()
    exported = parquet.read_table(layer / f"{name}.parquet")
    by_duckdb = duckdb.read_parquet(str(layer / f"{name}.parquet")).to_arrow_table()
    return {
        "version": table.version(),
        "silver_version": table.transaction_version(APP_ID),
        "columns": columns_of(table),
        "rows": {
            "deltalake": arrow.num_rows,
            "polars": polars.read_delta(path).height,
            "duckdb": by_duckdb.num_rows,
            "csv": arrow_csv.read_csv(layer / f"{name}.csv", parse_options=arrow_csv.ParseOptions(newlines_in_values=True)).num_rows,
        },
        "parquet_equals_table": rows_of(arrow) == rows_of(exported),
        "duckdb_equals_table": rows_of(arrow) == rows_of(by_duckdb),
        "content": arrow.to_pylist(),
    }


def facts(silver, gold):
    layer = pathlib.Path(gold)
    names = sorted(entry.parent.name for entry in layer.glob("*/_delta_log"))
    return {"silver": silver_facts(silver), "gold": {name: gold_facts(layer, name) for name in names}}


def rewrite(silver):
    table = DeltaTable(silver)
    metrics = table.optimize.z_order(["_source"])
    deleted = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    return {"version": table.version(), "rewritten": metrics["numFilesAdded"], "deleted": len(deleted)}


if __name__ == "__main__":
    command, arguments = {"facts": (facts, 2), "rewrite": (rewrite, 1)}.get(sys.argv[1], (None, 0)), sys.argv[2:]
    run, count = command
    if run is None or len(arguments) != count:
        sys.exit(__doc__)
    print(json.dumps(run(*arguments), default=str))
