#!/usr/bin/env python3
"""Thresholds for names of open group keys, by an independent implementation in rational numbers.

For noise N_Z(0, s2), L0 groups a person and a delta it finds the least integer t with
    1 - (1 - P[N_Z(0, s2) >= t - 1])^L0 <= delta
on fractions.Fraction, with only the standard library. exp is bracketed by partial sums of its series (the terms of exp(-x) alternate), each
weight by itself, without a recurrence. It shares no code with crates/privacy. Every case asserts that the bracket of the failure's chance at t lies
within delta, and that at t - 1 it lies beyond: no rounding decides.

Run: python3 tests/vectors/threshold.py   (rewrites threshold.json beside it)
"""

import json
from fractions import Fraction
from math import ceil
from pathlib import Path

# Numbers are kept as whole multiples of 10^-DIGITS, rounded outwards.
DIGITS = 70
UNIT = 10**DIGITS


def bracket(value):
    """A rational number between two multiples of 1/UNIT."""
    scaled = value * UNIT
    low = scaled.numerator // scaled.denominator
    return Fraction(low, UNIT), Fraction(low + 1, UNIT)


def exp_minus(x):
    """exp(-x) for a rational x >= 0, bracketed: exp(-x / 2^k)^(2^k), with x / 2^k <= 1."""
    halvings = 0
    while x > 2**halvings:
        halvings += 1
    small = x / 2**halvings
    low = high = term = Fraction(1)
    step = 0
    while term > Fraction(2, UNIT):
        step += 1
        term = bracket(term * small / step)[1]
        if step % 2 == 1:
            low = high - term
        else:
            high = low + term
    # Partial sums of an alternating, shrinking series lie on both sides; rounding a term up moves each by less than its number of steps.
    slack = Fraction(2 * step, UNIT)
    low, high = max(low - slack, Fraction(0)), min(high + slack, Fraction(1))
    for _ in range(halvings):
        low, high = bracket(low * low)[0], min(bracket(high * high)[1], Fraction(1))
    return low, high


def tails(s2):
    """P[N >= k] bracketed, for k = 0, 1, ... as far as anything is left."""
    weights = []
    while not weights or weights[-1][1] > Fraction(10) ** -45:
        weights.append(exp_minus(Fraction(len(weights) ** 2, 2 * s2)))
    # All that is left out, on one side: at most a geometric series with the ratio of the last two weights.
    ratio = weights[-1][1] / max(weights[-2][0], Fraction(1, UNIT))
    rest = weights[-1][1] * ratio / (1 - ratio)
    low = high = Fraction(0)
    suffix = []
    for weight_low, weight_high in reversed(weights):
        low, high = low + weight_low, high + weight_high
        suffix.append((low, high + rest))
    suffix.reverse()
    total = (2 * suffix[0][0] - weights[0][1], 2 * suffix[0][1] - weights[0][0])
    return [(low / total[1], high / total[0]) for low, high in suffix]


def failure(tail, groups):
    """1 - (1 - tail)^groups, bracketed."""
    def power(base, exponent, side):
        result = Fraction(1)
        while exponent:
            if exponent & 1:
                result = bracket(result * base)[side]
            base = bracket(base * base)[side]
            exponent >>= 1
        return result

    low, high = tail
    return 1 - power(1 - low, groups, 1), 1 - power(1 - high, groups, 0)


def threshold(s2, groups, delta):
    chances = tails(s2)
    for k, tail in enumerate(chances):
        low, high = failure(tail, groups)
        if high <= delta:
            assert k == 0 or failure(chances[k - 1], groups)[0] > delta, "the bracket is too wide to decide"
            return k + 1
        assert low > delta, "the bracket is too wide to decide"
    raise AssertionError("the tail was cut off too early")


# rho in units of 2^-40, L0, delta in units of 10^-18. rho = .05 exactly is 2^40 / 20, which is no whole number of units: it is given as a variance.
VARIANCES = [(10, 1, 10**9), (50, 5, 10**9)]
RHOS = [
    (2**40, 1, 10**9),
    (2**40 // 20, 1, 10**9),
    (2**40 // 20, 5, 10**9),
    (8_230_000_000, 1, 10**9),
    (8_230_000_000, 3, 10**9),
    (2**30, 1, 10**9),
    (2**30, 4, 10**12),
    (2**31, 100, 10**6),
    (2**42, 1, 10**15),
    (2**42, 7, 1),
    (2**40, 4_294_967_295, 10**9),
]


def main():
    cases = []
    for s2, groups, delta in VARIANCES:
        cases.append({"s2": s2, "groups": groups, "delta_units": delta})
    for rho, groups, delta in RHOS:
        s2 = ceil(Fraction(groups * 2**40, 2 * rho))
        if s2 > 4000:
            continue
        cases.append({"rho_units": rho, "s2": s2, "groups": groups, "delta_units": delta})
    # What a continuous Gaussian or an exclusive comparison would get wrong shows best where the noise is small.
    for s2 in (1, 2, 3, 5, 8):
        for groups in (1, 2, 50):
            for delta in (1, 10**9, 10**15):
                cases.append({"s2": s2, "groups": groups, "delta_units": delta})
    for case in cases:
        case["threshold"] = threshold(case["s2"], case["groups"], Fraction(case["delta_units"], 10**18))
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"made_by": "tests/vectors/threshold.py", "cases": cases}, indent=1) + "\n")


main()
