#!/usr/bin/env python3
"""Differentiates ops with PyTorch and writes what tests/core/ops_golden_test.cpp checks.

    python3 tests/golden/make_ops_golden.py        writes ops.txt beside this file

Each case holds the op's values y = f(a, b), the gradients g of sum(r * y^2), and the gradients of
sum(s * g), all in float64. The inputs a and b, r and s come from an integer formula both sides
compute. A line names the op; the next holds the shape, the seed and all numbers in that order.
"""
import math
import pathlib

import torch
import torch.nn.functional as F

from formula import numbers

SHAPES = ((2, 3), (3, 2), (1, 4), (4, 1), (5, 1))
SEEDS = 4

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
    "gelu": lambda a, b: F.gelu(2 * a),
    "silu": lambda a, b: F.silu(2 * a),
    "log1p": lambda a, b: torch.log1p(a + 2),
    "expm1": lambda a, b: torch.expm1(a),
    "p_norm 1": lambda a, b: torch.linalg.vector_norm(a * b, 1, dim=0),
    "p_norm 3": lambda a, b: torch.linalg.vector_norm(a + 2, 3, dim=1),
    "p_norm inf": lambda a, b: torch.linalg.vector_norm(a * b, math.inf, dim=0),
    "slice": lambda a, b: a[:, ::2] * b[:, ::2],
    "flip": lambda a, b: a * torch.flip(b, [0]),
    "index_select": lambda a, b: torch.index_select(a * b, 0, torch.tensor([0, len(a) - 1, 0])),
    "gather": lambda a, b: torch.gather(a * b, 1, places(a, 2)),
    "scatter_add": lambda a, b: (2 * a).scatter_add(1, places(a, a.shape[1]), b * b),
    "stack": lambda a, b: torch.stack([a, b], 1) * a[:, None],
    "concat": lambda a, b: torch.cat([a, a * b], 0),
    "split": lambda a, b: torch.split(a * b, 2, 1)[-1] * torch.split(a, 1, 1)[0],
    "transpose": lambda a, b: a.t() * b.t(),
    "matmul": lambda a, b: a @ b.t(),
    "matmul of a batch": lambda a, b: torch.stack([a, b]) @ b.t(),
    "topk": lambda a, b: torch.topk(a * b, 1, dim=1).values,
    "sort": lambda a, b: torch.sort(a * b, dim=0).values,
    "huber_loss": lambda a, b: F.huber_loss(3 * a, b, delta=0.7),
    "logistic": lambda a, b: F.binary_cross_entropy_with_logits(3 * a, (b.detach() + 1) / 2),
    "hinge_loss": lambda a, b: hinge(a * b, labels(a)),
    "cross_entropy": lambda a, b: F.cross_entropy(3 * a * b, labels(a)),
    "cross_entropy_each": lambda a, b: F.cross_entropy(3 * a * b, labels(a), reduction="none"),
    "cross_entropy, weighted": lambda a, b: F.cross_entropy(
        3 * a * b, labels(a), weight=1 + torch.arange(a.shape[1], dtype=torch.float64), label_smoothing=0.1),
    "conv2d": lambda a, b: F.conv2d(
        torch.stack([a, b])[None], numbers((4, 1, 2, 2), 7) * (1 + torch.sum(a)), padding=2, dilation=2, groups=2
    ).permute(0, 2, 3, 1),
    "avg_pool2d": lambda a, b: F.avg_pool2d(torch.stack([a, b])[None], 2, 1, 1).permute(0, 2, 3, 1),
    "cholesky": lambda a, b: torch.linalg.cholesky(positive(a)),
    "solve": lambda a, b: torch.linalg.solve(positive(a), b),
    "slogdet": lambda a, b: torch.slogdet(positive(a)).logabsdet,
    "eigh, values": lambda a, b: torch.linalg.eigvalsh(a @ a.t() + rising(a)),
    "eigh, vectors": lambda a, b: torch.linalg.eigh(a @ a.t() + rising(a)).eigenvectors ** 2,
    "svd": lambda a, b: torch.linalg.svdvals(a),
    "qr": lambda a, b: torch.linalg.qr(positive(a) * rising(a).sum(0)).R ** 2,
}


def hinge(x, y):
    """multi_margin_loss, which cannot be differentiated twice."""
    own = torch.gather(x, 1, y[:, None])
    loss = torch.sum(torch.relu(1 - own + x) * (1 - F.one_hot(y, x.shape[1]))) / x.numel()
    assert torch.allclose(loss, F.multi_margin_loss(x, y))
    return loss


def places(a, columns):
    rows, width = a.shape
    return torch.tensor([[(2 * i + j) % width for j in range(columns)] for i in range(rows)])


def labels(a):
    return torch.tensor([i % a.shape[1] for i in range(len(a))])


def positive(a):
    return a @ a.t() + torch.eye(len(a), dtype=torch.float64)


def rising(a):
    return torch.diag(1 + torch.arange(len(a), dtype=torch.float64))


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
                " %.13g" % value for value in results.tolist())]
            seed += 10
    pathlib.Path(__file__).with_name("ops.txt").write_text("\n".join(lines) + "\n")


main()
