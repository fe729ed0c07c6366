#!/usr/bin/env python3
"""Takes 50 steps with PyTorch's optimizers and writes what tests/optim/optimizers_golden_test.cpp checks.

    python3 tests/golden/make_optimizers_golden.py        writes optimizers.txt beside this file

All in float64. Two parameters, a with weight decay and b with a tenth of the rate, begin at an integer
formula's numbers; the gradient in step t is other such numbers plus half the parameter. The rate falls by a
tenth every ten steps. A line names the optimizer; the next three hold both parameters after 20 and after 50
steps, and the buffers after 50: all of one kind, then all of the next. PyTorch's RMSprop has its epsilon
outside the root; TensorFlow's form stands here as its formula.
"""
import pathlib

import torch

from formula import numbers

STEPS = (20, 50)
RATE, DECAY = 0.05, 0.01


class TensorFlowRmsProp(torch.optim.Optimizer):
    def __init__(self, groups, lr, momentum):
        super().__init__(groups, dict(lr=lr, momentum=momentum, weight_decay=0))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                state = self.state[w]
                g = w.grad + group["weight_decay"] * w
                s = state.setdefault("mean_square", torch.ones_like(w))
                b = state.setdefault("momentum", torch.zeros_like(w))
                s.copy_(0.9 * s + 0.1 * g**2)
                b.copy_(group["momentum"] * b + group["lr"] * g / torch.sqrt(s + 1e-10))
                w -= b


OPTIMIZERS = {
    "sgd": (lambda p: torch.optim.SGD(p, RATE), ()),
    "momentum": (lambda p: torch.optim.SGD(p, RATE, momentum=0.9), ("momentum_buffer",)),
    "nesterov": (lambda p: torch.optim.SGD(p, RATE, momentum=0.9, nesterov=True), ("momentum_buffer",)),
    "rmsprop": (lambda p: TensorFlowRmsProp(p, RATE, 0), ("mean_square",)),
    "rmsprop momentum": (lambda p: TensorFlowRmsProp(p, RATE, 0.8), ("mean_square", "momentum")),
    "adam": (lambda p: torch.optim.Adam(p, RATE), ("exp_avg", "exp_avg_sq")),
    "adamw": (lambda p: torch.optim.AdamW(p, RATE), ("exp_avg", "exp_avg_sq")),
    "adam with other betas": (lambda p: torch.optim.Adam(p, RATE, betas=(0.5, 0.8), eps=0.1),
                              ("exp_avg", "exp_avg_sq")),
}


def main():
    lines = []
    for name, (make, buffers) in OPTIMIZERS.items():
        parameters = [numbers((3, 2), 1).requires_grad_(), numbers((5,), 2).requires_grad_()]
        optimizer = make([{"params": parameters[:1], "weight_decay": DECAY},
                          {"params": parameters[1:], "weight_decay": 0}])
        lines.append(name)

        def write(tensors):
            lines.append(" ".join("%.17g" % x for t in tensors for x in t.detach().reshape(-1).tolist()))

        for step in range(max(STEPS)):
            rate = RATE * 0.9 ** (step // 10)
            for group, scale in zip(optimizer.param_groups, (1, 0.1)):
                group["lr"] = rate * scale
            for k, w in enumerate(parameters):
                w.grad = numbers(w.shape, 100 + 2 * step + k) + 0.5 * w.detach()
            optimizer.step()
            if step + 1 in STEPS:
                write(parameters)
        write([optimizer.state[w][kind] for kind in buffers for w in parameters])
    pathlib.Path(__file__).with_name("optimizers.txt").write_text("\n".join(lines) + "\n")


main()
