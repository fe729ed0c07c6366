"""Loads model.safetensors into PyTorch, compares the logits, and writes another model's state and logits.

    pytorch_weights && python3 pytorch_weights.py && pytorch_weights state.safetensors

Needs torch and numpy; the safetensors format is a length, a JSON header and the bytes."""
import json
import struct

import numpy as np
import torch


def load(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    header.pop("__metadata__", None)
    return {name: torch.from_numpy(np.frombuffer(body[slice(*entry["data_offsets"])], np.float32)
                                   .reshape(entry["shape"]).copy()) for name, entry in header.items()}


def save(path, state):
    header, body = {}, b""
    for name, tensor in state.items():
        kind = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
        bytes_ = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(bytes_)]}
        body += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)


def make_model():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
                               torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8 * 4 * 4, 10))


x = torch.from_numpy(np.load("input.npy")).permute(0, 3, 1, 2)
theirs = make_model().eval()
theirs.load_state_dict(load("model.safetensors"), strict=True)
with torch.no_grad():
    difference = np.abs(theirs(x).numpy() - np.load("logits.npy")).max()
print(f"largest difference of the logits: {difference:.1e}")
assert difference < 1e-4

torch.manual_seed(1)
own = make_model()
with torch.no_grad():
    own(x)  # one step of the running averages
    np.save("logits.npy", own.eval()(x).numpy())
save("state.safetensors", own.state_dict())
