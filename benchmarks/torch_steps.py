#!/usr/bin/env python3
"""Whole training steps of the paper's models in shatter and in PyTorch, interleaved, as ratios.

    python3 benchmarks/torch_steps.py --bench build/cpu/benchmarks/train_bench
    python3 benchmarks/torch_steps.py --bench build/cuda/benchmarks/train_bench --device cuda

Both gather a batch of uint8 images that lie on the device, crop and whiten them, and do forward,
loss, backward, SGD with momentum and a running loss. Rounds alternate between the programs; a ratio
is PyTorch's time for a step divided by shatter's in the same round. Variants of PyTorch:
  cpu:  nchw, channels_last
  cuda: eager (as people write it), best (channels last, TF32 everywhere, cudnn.benchmark, fused SGD;
        bf16: autocast), graph (best inside one torch.cuda.CUDAGraph), compiled (torch.compile inside
        the same graph)
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))

MODELS = ["inception", "alexnet", "mlp-3x512", "mlp-1x512"]
VARIANTS = {"cpu": ["nchw", "channels_last"], "cuda": ["eager", "best", "graph", "compiled"]}


def torch_step(args):
    """Times one variant of one model in this process; prints one line of JSON."""
    import torch
    import make_golden

    device = torch.device(args.device)
    cuda = device.type == "cuda"
    fast = args.variant in ("best", "graph", "compiled")
    if args.threads:
        torch.set_num_threads(args.threads)
    if cuda and fast:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    model = make_golden.for_speed(args.model).to(device).train()
    channels_last = args.variant == "channels_last" or fast
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    options = {"fused": True} if cuda and fast else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, **options)
    images = torch.randint(0, 256, (12800, 32, 32, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (12800,), device=device)
    index = torch.randint(0, 12800, (args.batch,), device=device)
    total = torch.zeros((), device=device)
    forward = torch.compile(model) if args.variant == "compiled" else model

    def step():
        x = images[index, 2:30, 2:30].permute(0, 3, 1, 2).float() / 255
        if not channels_last:
            x = x.contiguous()
        deviation = x.std((1, 2, 3), unbiased=False, keepdim=True).clamp(min=1 / 2352**0.5)
        x = (x - x.mean((1, 2, 3), keepdim=True)) / deviation
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(x), labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    repeat, wait = step, lambda: None
    if cuda:
        wait = torch.cuda.synchronize
    if args.variant in ("graph", "compiled"):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        repeat = graph.replay
    group = 64 if cuda else 1
    for _ in range(3 * group):
        repeat()
    wait()
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < args.seconds:
        begin = time.perf_counter()
        for _ in range(group):
            repeat()
        wait()
        times.append((time.perf_counter() - begin) / group)
    print(json.dumps({"ms": statistics.median(times) * 1e3, "torch": torch.__version__}))


def run_torch(args, model, variant):
    command = [args.python, __file__, "--one", "--model", model, "--variant", variant, "--device",
               args.device, "--batch", str(args.batch), "--seconds", str(args.seconds), "--threads",
               str(args.threads), "--precision", args.precision]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{model} {variant}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def run_shatter(args, model):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "row.json"
        subprocess.run([args.bench, "--model", model, "--device", args.device, "--batch",
                        str(args.batch), "--seconds", str(args.seconds), "--threads",
                        str(args.threads), "--precision", args.precision, "--json", str(path)],
                       check=True, stdout=subprocess.DEVNULL)
        return json.loads(path.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", help="the train_bench program")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", action="append", help="default: " + ", ".join(MODELS))
    parser.add_argument("--variant", action="append")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp32-winograd", "tf32", "bf16"],
                        help="fp32-winograd is measured against PyTorch's float32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="add one line of JSON per model and variant to this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        args.model, args.variant = args.model[0], args.variant[0]
        torch_step(args)
        return
    if not args.bench:
        parser.error("--bench: name the train_bench program")
    variants = args.variant or VARIANTS[args.device]
    print(f"batch {args.batch}, {args.precision}, {args.device}; milliseconds per step, medians of "
          f"{args.rounds} rounds; ratio: PyTorch / shatter [least, most]")
    print(f"{'model':16} {'shatter':>10} {'variant':>14} {'PyTorch':>10} {'ratio':>7}")
    for model in args.model or MODELS:
        ours, theirs = [], {variant: [] for variant in variants}
        for _ in range(args.rounds):
            ours.append(run_shatter(args, model))
            for variant in variants:
                row = run_torch(args, model, variant)
                if row:
                    theirs[variant].append((row, ours[-1]))
        ms = statistics.median(row["ms"] for row in ours)
        for variant, rows in theirs.items():
            if not rows:
                continue
            ratios = sorted(row["ms"] / own["ms"] for row, own in rows)
            line = {"model": model, "variant": variant, "device": args.device, "batch": args.batch,
                    "precision": args.precision, "shatter_ms": ms,
                    "torch_ms": statistics.median(row["ms"] for row, _ in rows),
                    "ratio": statistics.median(ratios), "ratio_least": ratios[0],
                    "ratio_most": ratios[-1], "rounds": len(rows), "torch": rows[0][0]["torch"],
                    "commit": ours[0]["commit"]}
            print(f"{model:16} {ms:10.3f} {variant:>14} {line['torch_ms']:10.3f} "
                  f"{line['ratio']:7.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]", flush=True)
            if args.json:
                with open(args.json, "a") as out:
                    out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
