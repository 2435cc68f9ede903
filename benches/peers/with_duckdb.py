"""DuckDB: any SQL over views of Parquet files."""

import duckdb

import turns

job = turns.job()
connection = duckdb.connect()
connection.execute(f"SET threads = {job['threads']}")
for name, path in job["views"].items():
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")


def ask():
    rows = connection.execute(job["sql"]).fetchall()
    if job.get("cells"):
        return {"rows": [[str(value) for value in row] for row in rows]}
    return {"groups": len(rows), "kept": int(sum(row[1] for row in rows))}


turns.serve("duckdb", ask)
