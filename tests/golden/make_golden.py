#!/usr/bin/env python3
"""Trains PyTorch twins of the paper's models and writes what tests/experiments/parity_test.cpp checks.

    python3 tests/golden/make_golden.py            writes parity_<model>.json beside this file
    python3 tests/golden/make_golden.py --load DIR loads DIR/<model>.safetensors into the twins with
                                                   strict=True and compares outputs with DIR/<model>.json

Weights and batches come from an integer formula both sides compute. Stored are losses, norms and
sampled entries after 20 steps in float64, and losses of 3 steps in float32.
"""
import json
import pathlib
import struct
import sys
from collections import OrderedDict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

BATCH, STEPS, RATE, MOMENTUM, DECAY = 8, 20, 0.005, 0.9, 5e-4


def numbers(count, seed):
    """Uniform in [-1, 1): a 32-bit hash of (position, seed)."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761)
         + np.uint64(seed * 40503 + 12345)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    return h.astype(np.float64) / 2.0**32 * 2 - 1


def pad_same(x, window, stride, value=0.0):
    """TensorFlow's SAME: an odd total puts the extra pixel at the bottom and right."""
    sides = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


class SameConv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(pad_same(x, self.kernel_size[0], self.stride[0]), self.weight, self.bias,
                        self.stride)


class SamePool(nn.Module):
    def forward(self, x):
        return F.max_pool2d(pad_same(x, 3, 2, -float("inf")), 3, 2)


class BetaNorm(nn.Module):
    """Batch norm with beta only, epsilon 1e-3, decay 0.99 and a biased running variance."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = x.mean((0, 2, 3))
            var = ((x - mean[None, :, None, None]) ** 2).mean((0, 2, 3))
            with torch.no_grad():
                self.running_mean.mul_(0.99).add_(mean, alpha=0.01)
                self.running_var.mul_(0.99).add_(var, alpha=0.01)
        x = (x - mean[None, :, None, None]) / torch.sqrt(var + 1e-3)[None, :, None, None]
        return x + self.bias[None, :, None, None]


class Branches(nn.ModuleList):
    def forward(self, x):
        return torch.cat([branch(x) for branch in self], 1)


class FlattenHWC(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class GlobalMean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def conv_module(bn, cin, cout, kernel, stride=1):
    parts = [("conv", SameConv(cin, cout, kernel, stride, bias=not bn))]
    parts += [("bn", BetaNorm(cout))] if bn else []
    # with batch norm the ReLU is fused and has no name of its own
    return nn.Sequential(OrderedDict(parts + [("relu", nn.ReLU())]))


def inception(bn):
    def module(cin, ones, threes):
        return Branches([conv_module(bn, cin, ones, 1), conv_module(bn, cin, threes, 3)])

    def down(cin, threes):
        return Branches([conv_module(bn, cin, threes, 3, 2), SamePool()])

    return nn.Sequential(conv_module(bn, 3, 96, 3), module(96, 32, 32), module(64, 32, 48),
                         down(80, 80), module(160, 112, 48), module(160, 96, 64),
                         module(160, 80, 80), module(160, 48, 96), down(144, 96),
                         module(240, 176, 160), module(336, 176, 160), GlobalMean(),
                         nn.Linear(336, 10))


def alexnet():
    def norm():
        return nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)

    return nn.Sequential(SameConv(3, 64, 5), nn.ReLU(), SamePool(), norm(), SameConv(64, 64, 5),
                         nn.ReLU(), SamePool(), norm(), FlattenHWC(), nn.Linear(3136, 384),
                         nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, 10))


def mlp(layers):
    parts, width = [FlattenHWC()], 28 * 28 * 3
    for _ in range(layers):
        parts += [nn.Linear(width, 512), nn.ReLU()]
        width = 512
    return nn.Sequential(*parts, nn.Linear(512, 10))


TWINS = {"inception": lambda: inception(True), "inception-no-bn": lambda: inception(False),
         "alexnet": alexnet, "mlp-3x512": lambda: mlp(3), "mlp-1x512": lambda: mlp(1)}


def for_speed(name):
    """The twin as one would write it for speed: PyTorch's own padding, pooling and batch norm."""
    def replaced(module):
        if isinstance(module, SameConv):
            return nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size,
                             module.stride, module.kernel_size[0] // 2,
                             bias=module.bias is not None)
        if isinstance(module, SamePool):
            return nn.MaxPool2d(3, 2, ceil_mode=True)
        if isinstance(module, BetaNorm):
            return nn.BatchNorm2d(module.bias.numel(), eps=1e-3, momentum=0.01)
        for key, child in module.named_children():
            setattr(module, key, replaced(child))
        return module

    return replaced(TWINS[name]())


def set_formula_weights(model):
    with torch.no_grad():
        for place, (name, p) in enumerate(model.named_parameters()):
            fan_in = p[0].numel() if p.dim() > 1 else 0
            scale = np.sqrt(6.0 / fan_in) if fan_in else 0.01
            values = scale * numbers(p.numel(), place + 1)
            p.copy_(torch.from_numpy(values).view(p.shape))


def batch(step, dtype):
    x = numbers(BATCH * 28 * 28 * 3, 1000 + step).reshape(BATCH, 28, 28, 3)
    y = [(7 * i + 3 * step) % 10 for i in range(BATCH)]
    return torch.from_numpy(x).to(dtype).permute(0, 3, 1, 2).contiguous(), torch.tensor(y)


def train(model, dtype, steps):
    model = model.to(dtype).train()
    set_formula_weights(model)
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    sgd = torch.optim.SGD([{"params": weights, "weight_decay": DECAY}, {"params": others}],
                          lr=RATE, momentum=MOMENTUM)
    losses = []
    for step in range(steps):
        x, y = batch(step, dtype)
        loss = F.cross_entropy(model(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return model, losses


def golden(name):
    model, losses = train(TWINS[name](), torch.float64, STEPS)
    _, losses32 = train(TWINS[name](), torch.float32, 3)
    state = {}
    for key, tensor in model.state_dict().items():
        flat = tensor.flatten()
        places = sorted({int(i) for i in np.linspace(0, flat.numel() - 1, 4)})
        state[key] = {"shape": list(tensor.shape), "norm": flat.norm().item(), "places": places,
                      "entries": [flat[i].item() for i in places]}
    model.eval()
    with torch.no_grad():
        logits = model(batch(0, torch.float64)[0]).flatten().tolist()
    return {"torch": torch.__version__, "batch": BATCH, "rate": RATE, "momentum": MOMENTUM,
            "weight_decay": DECAY, "losses": losses, "losses_float32": losses32,
            "evaluation_logits": logits, "state": state}


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "F64": np.float64}
    state = OrderedDict()
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + size + begin:8 + size + end], types[entry["dtype"]])
        state[key] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return state


def write_safetensors(path, state):
    header, payload = {}, b""
    for key, tensor in state.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[key] = {"dtype": {torch.float32: "F32", torch.float64: "F64"}[tensor.dtype],
                       "shape": list(tensor.shape),
                       "data_offsets": [len(payload), len(payload) + len(raw)]}
        payload += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)


def load_and_compare(folder):
    """Reads what the library wrote, checks its logits, and writes <model>.back.safetensors."""
    for name, twin in TWINS.items():
        model = twin().double().eval()
        model.load_state_dict(read_safetensors(folder / f"{name}.safetensors"), strict=True)
        with torch.no_grad():
            ours = torch.tensor(json.loads((folder / f"{name}.json").read_text()),
                                dtype=torch.float64)
            theirs = model(batch(0, torch.float64)[0]).flatten()
        worst = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        print(f"{name}: loaded with strict=True, outputs differ by {worst:.1e}")
        if not worst < 1e-9:
            sys.exit(f"{name}: the outputs differ")
        write_safetensors(folder / f"{name}.back.safetensors", model.state_dict())


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--load":
        load_and_compare(pathlib.Path(sys.argv[2]))
    else:
        for model_name in TWINS:
            out = pathlib.Path(__file__).with_name(f"parity_{model_name}.json")
            out.write_text(json.dumps(golden(model_name), separators=(",", ":")) + "\n")
            print(out.name, out.stat().st_size, "bytes")
