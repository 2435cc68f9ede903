#!/usr/bin/env python3
"""Vectors for the post-processing of answers, made in rational numbers, which share no code with crates/privacy.

moments: random people with random rows; their bounded counts, centred sums and centred squares as the plan defines them, and the mean and the
variances of the rows, each person's rows weighing min(Linf, n) / n, straight from the rows.
trees: noisy counts of a binary tree and the least-squares tree, by solving the normal equations.
projections: noisy cells, and the whole numbers that are nowhere below 0 and add up to the rounded total, by Michelot's algorithm and largest remainder.

Run: python3 tests/vectors/answer.py   (rewrites answer.json beside it)
"""

import json
import random
import statistics
from fractions import Fraction
from math import floor
from pathlib import Path

SEED = 20110101


def truncate(x):
    return int(x)  # of a Fraction: towards zero


def moments(rng, lo, hi, linf, people):
    persons = []
    for _ in range(people):
        rows = rng.choice([0, 1, 1, 2, 3, linf, 4 * linf] if people > 1 else [linf])
        persons.append([rng.randint(lo, hi) for _ in range(rows)])
    middle = Fraction(lo + hi, 2)
    width = hi - lo
    count = centred = squares = 0
    weight = total = around = Fraction(0)
    for xs in persons:
        n = len(xs)
        if n == 0:
            continue
        b = min(linf, n)
        count += b
        centred += truncate(Fraction(2**20 * b * sum(2 * x - (lo + hi) for x in xs), n))
        squares += truncate(Fraction(2**20 * b * sum(2 * (2 * x - (lo + hi)) ** 2 - width**2 for x in xs), n))
        weight += b
        total += Fraction(b * sum(xs), n)
        around += sum(Fraction(b, n) * (x - middle) ** 2 for x in xs)
    mean = total / weight
    variance = around / weight - (mean - middle) ** 2
    if all(len(xs) <= linf for xs in persons):
        rows = [Fraction(x) for xs in persons for x in xs]
        assert mean == statistics.mean(rows) and variance == statistics.pvariance(rows)
    sample = variance * weight / (weight - 1) if weight > 1 else None
    return {
        "lo": lo,
        "hi": hi,
        "count": count,
        "centred": centred,
        "squares": squares,
        "mean": float(mean),
        "variance": float(variance),
        "sample": None if sample is None else float(sample),
    }


def solve(matrix, right):
    """Gaussian elimination in rational numbers."""
    n = len(right)
    rows = [[Fraction(x) for x in row] + [Fraction(y)] for row, y in zip(matrix, right)]
    for i in range(n):
        pivot = next(r for r in range(i, n) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(n):
            if r != i and rows[r][i] != 0:
                factor = rows[r][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    return [row[n] for row in rows]


def tree(rng, log2):
    leaves = 2**log2
    noisy = [rng.randint(-60, 400) for _ in range(2 * leaves - 1)]
    below = []
    for node in range(2 * leaves - 1):
        held = [node]
        while held[0] < leaves - 1:
            held = [child for parent in held for child in (2 * parent + 1, 2 * parent + 2)]
        below.append([leaf - (leaves - 1) for leaf in held])
    counts = [[1 if leaf in held else 0 for leaf in range(leaves)] for held in below]
    normal = [[sum(row[i] * row[j] for row in counts) for j in range(leaves)] for i in range(leaves)]
    right = [sum(row[i] * y for row, y in zip(counts, noisy)) for i in range(leaves)]
    fitted = solve(normal, right)
    return {"noisy": noisy, "fitted": [float(sum(fitted[leaf] for leaf in held)) for held in below]}


def projection(rng, cells, per_unit):
    steps = [rng.choice([rng.randint(-40, 40), rng.randint(0, 900), 0]) for _ in range(cells)]
    total = Fraction(max(0, sum(steps)), per_unit)
    active = set(range(cells)) if total > 0 else set()
    values = {}
    while active:
        shift = (sum(Fraction(steps[i], per_unit) for i in active) - total) / len(active)
        values = {i: Fraction(steps[i], per_unit) - shift for i in active}
        negative = {i for i in active if values[i] < 0}
        if not negative:
            break
        active -= negative
    whole = [floor(values.get(i, 0)) if i in active else 0 for i in range(cells)]
    left = floor(total + Fraction(1, 2)) - sum(whole)
    remainders = sorted(active, key=lambda i: (-(values[i] - floor(values[i])), i))
    for i in remainders[:left]:
        whole[i] += 1
    return {"steps": steps, "per_unit": per_unit, "whole": whole}


def main():
    rng = random.Random(SEED)
    cases = [
        moments(rng, lo, hi, linf, people)
        for lo, hi, linf in [(0, 1, 1), (-50, 50, 3), (0, 1000, 1), (10**6, 10**6 + 7, 5), (-(10**9), 10**9, 2), (0, 99, 40)]
        for people in (1, 2, 5, 60)
    ]
    cases = [case for case in cases if case["count"] > 0]
    vectors = {
        "moments": cases,
        "trees": [tree(rng, log2) for log2 in (0, 1, 2, 3, 4, 5)],
        "projections": [projection(rng, cells, per_unit) for cells in (1, 2, 7, 40) for per_unit in (1, 4, 64) for _ in range(3)],
    }
    parts = []
    for name, items in vectors.items():
        lines = ",\n".join(json.dumps(item) for item in items)
        parts.append(f'"{name}": [\n{lines}\n]')
    text = '{"made_by": "tests/vectors/answer.py, fractions",\n' + ",\n".join(parts) + "}\n"
    Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
