"""PipelineDP's local backend, over rows in memory."""

import time

import pipeline_dp
import pyarrow.parquet

import turns

job = turns.job()
start = time.perf_counter()
columns = pyarrow.parquet.read_table(job["path"], filters=[("month", "=", job["month"])]).to_pydict()
rows = list(zip(columns["person"], columns["municipality"], columns["amount"]))
del columns
load_seconds = time.perf_counter() - start


def ask():
    # So little noise that what is kept can be compared.
    budget = pipeline_dp.NaiveBudgetAccountant(total_epsilon=1e6, total_delta=1e-9)
    engine = pipeline_dp.DPEngine(budget, pipeline_dp.LocalBackend())
    params = pipeline_dp.AggregateParams(
        metrics=[pipeline_dp.Metrics.COUNT, pipeline_dp.Metrics.SUM],
        noise_kind=pipeline_dp.NoiseKind.GAUSSIAN,
        max_partitions_contributed=job["max_groups"],
        max_contributions_per_partition=job["max_rows"],
        min_value=0,
        max_value=job["max_amount"],
    )
    extractors = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0],
        partition_extractor=lambda row: row[1],
        value_extractor=lambda row: row[2],
    )
    answer = engine.aggregate(rows, params, extractors, public_partitions=job["groups"])
    budget.compute_budgets()
    counts = [metrics.count for _, metrics in answer]
    return {"groups": len(counts), "kept": int(sum(counts))}


turns.serve("pipeline-dp", ask, load_seconds)
