#!/usr/bin/env python3
"""Vectors for the conversion from rho to epsilon, made by Google's dp-accounting (0.6.0), which shares no code with crates/privacy.

rho-zCDP is (a, a rho)-RDP for every order a > 1. dp-accounting turns one order into an epsilon; scipy looks for the best order.

Run: pip install dp-accounting==0.6.0 && python3 tests/vectors/accountant.py   (rewrites accountant.json beside it)
"""

import json
from math import exp
from pathlib import Path

from dp_accounting.rdp import rdp_privacy_accountant
from scipy.optimize import minimize_scalar

RHO_UNIT = 2.0**-40
DELTA_UNIT = 1e-18


def epsilon(rho, delta):
    def at(log_order):
        order = 1 + exp(log_order)
        return rdp_privacy_accountant.compute_epsilon([order], [order * rho], delta)[0]

    return minimize_scalar(at, bounds=(-8, 24), method="bounded", options={"xatol": 1e-9, "maxiter": 2000}).fun


def main():
    cases = []
    for rho in (0.0001, 0.001, 0.005, 0.01, 0.01497, 0.05, 0.1, 0.5, 1, 4):
        for delta in (1e-12, 1e-9, 1e-6, 1e-5):
            rho_units, delta_units = round(rho / RHO_UNIT), round(delta / DELTA_UNIT)
            value = epsilon(rho_units * RHO_UNIT, delta_units * DELTA_UNIT)
            cases.append({"rho_units": rho_units, "delta_units": delta_units, "epsilon": value})
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = '{"made_by": "tests/vectors/accountant.py, dp-accounting 0.6.0", "cases": [\n' + lines + "\n]}\n"
    Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
