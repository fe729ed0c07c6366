"""Numbers that the golden scripts and their tests both compute."""
import torch


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
