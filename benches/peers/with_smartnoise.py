"""SmartNoise-SQL over SQLite, which it fills from a data frame. It bounds a person's rows, not the groups: as many rows as ours may have groups."""

import logging
import time

import pandas as pd
import snsql

import turns

logging.disable(logging.CRITICAL)
job = turns.job()
start = time.perf_counter()
# `month` is a word of its SQL and cannot be a column's name in a condition.
frame = pd.read_parquet(job["path"], columns=["person", "municipality", "amount"], filters=[("month", "=", job["month"])])
columns = {
    "person": {"type": "int", "private_id": True},
    "municipality": {"type": "string"},
    "amount": {"type": "int", "lower": 0, "upper": job["max_amount"]},
}
table = {"max_ids": job["max_groups"], "sample_max_ids": True, "censor_dims": False, "rows": len(frame)} | columns
# So little noise that what is kept can be compared.
reader = snsql.from_df(frame, privacy=snsql.Privacy(epsilon=1e6, delta=1e-9), metadata={"": {"spending": {"payment": table}}})
load_seconds = time.perf_counter() - start
sql = "SELECT municipality, COUNT(*) AS n, SUM(amount) AS total FROM spending.payment GROUP BY municipality"


def ask():
    answer = reader.execute(sql)[1:]
    return {"groups": len(answer), "kept": int(sum(n for _, n, _ in answer))}


turns.serve("smartnoise-sql", ask, load_seconds)
