#!/usr/bin/env python3
"""Vectors for the exact discrete Gaussian sampler, made by an independent implementation in rational numbers.

It follows Canonne, Kamath and Steinke 2020 (algorithms 1 to 3) on fractions.Fraction, with only the standard library, and reads its random bytes
from SHA-256 in counter mode of a label: block i is SHA-256(label || i as 8 bytes little endian). It shares no code with crates/privacy, only the
written rule for how bytes become uniform integers.

Run: python3 tests/vectors/discrete_gaussian.py   (rewrites discrete_gaussian.json beside it)
"""

import hashlib
import json
from fractions import Fraction
from math import isqrt
from pathlib import Path

SAMPLES = 64
VARIANCES = [1, 4, 256, 534, 535, 10**6, 2**40, 2**56]


class Bytes:
    """A stream of bytes that anybody can compute again."""

    def __init__(self, label):
        self.label = label.encode()
        self.block = 0
        self.waiting = b""
        self.used = 0

    def take(self, count):
        while len(self.waiting) < count:
            self.waiting += hashlib.sha256(self.label + self.block.to_bytes(8, "little")).digest()
            self.block += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.used += count
        return taken


def uniform(n, stream):
    """An integer in range(n): the fewest whole bytes, little endian, surplus high bits dropped, again if it is not below n."""
    bits = (n - 1).bit_length()
    while True:
        number = int.from_bytes(stream.take(-(-bits // 8)), "little") % 2**bits
        if number < n:
            return number


def bernoulli(p, n, stream):
    """True with probability p, a multiple of 1/n."""
    assert 0 <= p <= 1 and (p * n).denominator == 1
    return Fraction(uniform(n, stream), n) < p


def exp_minus(gamma, n, stream):
    """True with probability exp(-gamma), gamma a multiple of 1/n (algorithm 1)."""
    while gamma >= 1:
        if not exp_minus_small(Fraction(1), 1, stream):
            return False
        gamma -= 1
    return exp_minus_small(gamma, n, stream)


def exp_minus_small(gamma, n, stream):
    """Algorithm 1 for gamma in [0, 1]. A trial of probability gamma / k is one of 1 / k and then one of gamma."""
    if gamma == 0:
        return True
    k = 1
    while bernoulli(Fraction(1, k), k, stream) and bernoulli(gamma, n, stream):
        k += 1
    return k % 2 == 1


def laplace(t, stream):
    """P[x] proportional to exp(-|x| / t) (algorithm 2 with s = 1)."""
    while True:
        u = uniform(t, stream)
        if not exp_minus_small(Fraction(u, t), t, stream):
            continue
        v = 0
        while exp_minus_small(Fraction(1), 1, stream):
            v += 1
        magnitude = u + t * v
        negative = uniform(2, stream) == 1
        if negative and magnitude == 0:
            continue
        return -magnitude if negative else magnitude


def gaussian(sigma2, stream):
    """P[x] proportional to exp(-x^2 / (2 sigma2)) (algorithm 3)."""
    t = isqrt(sigma2) + 1
    while True:
        y = laplace(t, stream)
        gamma = (abs(y) - Fraction(sigma2, t)) ** 2 / (2 * sigma2)
        if exp_minus(gamma, 2 * sigma2 * t * t, stream):
            return y


def main():
    cases = []
    for s2 in VARIANCES:
        label = f"commun/vectors/discrete_gaussian/{s2}"
        stream = Bytes(label)
        samples = [gaussian(s2, stream) for _ in range(SAMPLES)]
        cases.append({"s2": s2, "label": label, "samples": samples, "bytes_used": stream.used})
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = '{"made_by": "tests/vectors/discrete_gaussian.py", "cases": [\n' + lines + "\n]}\n"
    Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
