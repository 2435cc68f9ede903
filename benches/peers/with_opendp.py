"""OpenDP with Polars: bounds a person's rows of a group, chosen at random, then the groups."""

import warnings

import opendp.prelude as dp
import polars as pl

import turns

warnings.filterwarnings("ignore")
dp.enable_features("contrib")
job = turns.job()
keys = pl.LazyFrame({"municipality": job["groups"]})


def ask():
    context = dp.Context.compositor(
        data=pl.scan_parquet(job["path"]),
        privacy_unit=dp.unit_of(identifier="person", contributions=1),
        # So little noise that what is kept can be compared.
        privacy_loss=dp.loss_of(rho=1e6),
        split_evenly_over=1,
        margins=[dp.polars.Margin(by=[], max_length=10**9)],
    )
    answer = (
        context.query()
        .filter(pl.col("month") == job["month"])
        .truncate_per_group(job["max_rows"], by=["municipality"])
        # 0.16 keeps one group less than it is told, and its "sample" fails with the Polars that it wants: a field stands twice in a struct.
        .truncate_num_groups(job["max_groups"] + 1, by=["municipality"], keep="first")
        .group_by("municipality")
        .agg(dp.len(), pl.col("amount").fill_null(0).dp.sum((0, job["max_amount"])))
        .with_keys(keys)
        .release()
        .collect()
    )
    return {"groups": len(answer), "kept": int(answer["len"].sum())}


turns.serve("opendp", ask)
