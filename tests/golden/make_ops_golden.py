#!/usr/bin/env python3
"""Differentiates ops with PyTorch and writes what tests/core/ops_golden_test.cpp checks.

    python3 tests/golden/make_ops_golden.py        writes ops.txt beside this file

Each case holds the op's values y = f(a, b), the gradients g of sum(r * y^2), and the gradients of
sum(s * g), all in float64. The inputs a and b, r and s come from an integer formula both sides
compute. A line names the op; the next holds the shape, the seed and all numbers in that order.
"""
import pathlib

import torch

SHAPES = ((2, 3), (3, 2), (1, 4), (4, 1), (5, 1))
SEEDS = 4


def numbers(shape, seed):
    """Uniform in [-1, 1): a 32-bit hash of (position, seed)."""
    values = []
    for i in range(int(torch.tensor(shape).prod())):
        h = (i * 2654435761 + seed * 40503 + 12345) & 0xFFFFFFFF
        h ^= h >> 16
        h = (h * 2246822519) & 0xFFFFFFFF
        h ^= h >> 13
        values.append(h / 2**31 - 1)
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


OPS = {
    "sin": lambda a, b: torch.sin(3 * a),
    "cos": lambda a, b: torch.cos(3 * a),
    "erf": lambda a, b: torch.erf(2 * a),
    "sign": lambda a, b: torch.sign(a) * a * b,
    "pow 3": lambda a, b: a**3,
    "pow -1.5": lambda a, b: (a + 2) ** -1.5,
    "pow": lambda a, b: (a + 2) ** b,
    "clamp": lambda a, b: torch.clamp(a, -0.5, 0.25) * b,
    "scalars": lambda a, b: (1 - a) * (2.5 / (b + 3)) - (a + 1) / 3,
    "where": lambda a, b: torch.where(a < b, a * b, b**2),
    "maximum": lambda a, b: torch.maximum(a, b[:1]) * torch.minimum(a[:, :1], b),
    "item": lambda a, b: a[0] * b[-1],
    "sum": lambda a, b: torch.sum(a * b, 0),
    "mean": lambda a, b: torch.mean(a * b, 1),
    "max": lambda a, b: torch.amax(a * b, 0),
    "min": lambda a, b: torch.amin(a * b, 1),
    "min of all": lambda a, b: torch.min(a * b),
    "logsumexp": lambda a, b: torch.logsumexp(3 * a, 0),
    "var": lambda a, b: torch.var(a * b, 0, unbiased=False),
    "std": lambda a, b: torch.sqrt(torch.var(a, 1, unbiased=False) + 1),
    "norm": lambda a, b: torch.norm(a * b),
    "norm along": lambda a, b: torch.norm(a + 2, dim=0),
    "cumsum": lambda a, b: torch.cumsum(a * b, 0),
    "softmax": lambda a, b: torch.softmax(2 * a * b, 0),
    "log_softmax": lambda a, b: torch.log_softmax(2 * a * b, 0),
}


def main():
    lines, seed = [], 0
    for op, f in OPS.items():
        for shape in SHAPES * SEEDS:
            a = numbers(shape, seed).requires_grad_()
            b = numbers(shape, seed + 1).requires_grad_()
            y = f(a, b)
            loss = torch.sum(numbers(y.shape, seed + 2) * y**2) + 0 * torch.sum(a * b)
            g = torch.autograd.grad(loss, [a, b], create_graph=True)
            s = [numbers(shape, seed + 3), numbers(shape, seed + 4)]
            h = torch.autograd.grad(sum(torch.sum(x * t) for x, t in zip(s, g)), [a, b])
            results = torch.cat([x.detach().reshape(-1) for x in (y, *g, *h)])
            lines += [op, " ".join(map(str, (*shape, seed))) + "".join(
                " %.14g" % value for value in results.tolist())]
            seed += 10
    pathlib.Path(__file__).with_name("ops.txt").write_text("\n".join(lines) + "\n")


main()
