#!/usr/bin/env python3
"""Whole training steps of the paper's models in shatter and in PyTorch, interleaved, as ratios.

    python3 benchmarks/torch_steps.py --bench build/cpu/benchmarks/train_bench
    python3 benchmarks/torch_steps.py --bench build/cuda/benchmarks/train_bench --device cuda \
        --precision tf32 --precision bf16

Both gather a batch of uint8 images that lie on the device, crop and whiten them, and do forward,
loss, backward, SGD with momentum and a running loss. Rounds alternate between the programs; a ratio
is PyTorch's time for a step divided by shatter's in the same round. Variants of PyTorch:
  cpu:  nchw, channels_last
  cuda: eager (as people write it), best (channels last, TF32 everywhere, cudnn.benchmark, fused SGD;
        bf16: autocast), graph (best inside one torch.cuda.CUDAGraph), compiled (torch.compile inside
        the same graph)
"""
import argparse
import gc
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))

MODELS = ["inception", "alexnet", "mlp-3x512", "mlp-1x512"]
TORCH_PRECISION = {"fp32-winograd": "fp32"}
VARIANTS = {"cpu": ["nchw", "channels_last"], "cuda": ["eager", "best", "graph", "compiled"]}


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def torch_step(args, model_name, variant, precision):
    """Times one variant of one model in this process; a row for JSON."""
    import torch
    import make_golden

    device = torch.device(args.device)
    cuda = device.type == "cuda"
    fast = variant in ("best", "graph", "compiled")
    if args.threads:
        torch.set_num_threads(args.threads)
    if cuda:
        # PyTorch's own settings, changed as one would. Variants before may have left others.
        torch.backends.cuda.matmul.allow_tf32 = fast and precision != "fp32"
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch.backends.cudnn.benchmark = fast
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(1)
    before = torch.cuda.max_memory_reserved() if cuda else peak_memory()
    model = make_golden.for_speed(model_name).to(device).train()
    channels_last = variant == "channels_last" or fast
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    options = {"fused": True} if cuda and fast else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, **options)
    images = torch.randint(0, 256, (12800, 32, 32, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (12800,), device=device)
    index = torch.randint(0, 12800, (args.batch,), device=device)
    total = torch.zeros((), device=device)
    forward = torch.compile(model) if variant == "compiled" else model

    def step():
        x = images[index, 2:30, 2:30].permute(0, 3, 1, 2).float() / 255
        if not channels_last:
            x = x.contiguous()
        deviation = x.std((1, 2, 3), unbiased=False, keepdim=True).clamp(min=1 / 2352**0.5)
        x = (x - x.mean((1, 2, 3), keepdim=True)) / deviation
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(x), labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    repeat, wait = step, lambda: None
    if cuda:
        wait = torch.cuda.synchronize
    if variant in ("graph", "compiled"):
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
    after = torch.cuda.max_memory_reserved() if cuda else peak_memory()
    return {"ms": statistics.median(times) * 1e3, "torch": torch.__version__,
            "step_memory_bytes": after - before}


def work(args):
    """Answers each line of stdin, [model, variant, precision], by a line of JSON on stdout."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            row = torch_step(args, *json.loads(line))
        except Exception as error:
            row = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        gc.collect()
        print(json.dumps(row), file=answers, flush=True)


class Worker:
    """A process with PyTorch. On a GPU one serves for all variants, since it takes seconds to start;
    on the CPU, where a process's peak memory is measured, each has a new one."""

    def __init__(self, args, python):
        self.command = [python, __file__, "--work", "--device", args.device, "--batch",
                        str(args.batch), "--seconds", str(args.seconds), "--threads",
                        str(args.threads)]
        self.lasts = args.device == "cuda"
        self.process = None

    def run(self, model, variant, precision):
        """The row of JSON, or None after a failure, which is printed."""
        if not self.process:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        try:
            self.process.stdin.write(json.dumps([model, variant, precision]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        row = json.loads(answer) if answer else {}
        if not self.lasts or "ms" not in row:
            self.process.communicate()
            self.process = None
        if "ms" in row:
            return row
        print(f"{model} {variant}: {row.get('failed', 'PyTorch ended')}", file=sys.stderr)
        return None


def run_shatter(args, model, precision):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "row.json"
        subprocess.run([args.bench, "--model", model, "--device", args.device, "--batch",
                        str(args.batch), "--seconds", str(args.seconds), "--threads",
                        str(args.threads), "--precision", precision, "--json", str(path)],
                       check=True, stdout=subprocess.DEVNULL)
        return json.loads(path.read_text())


def measure(args, workers, model):
    """Rounds of one model: for each a dictionary of ours by precision and one of PyTorch's rows."""
    rounds = []
    for _ in range(args.rounds):
        ours = {precision: run_shatter(args, model, precision) for precision in args.precision}
        theirs = []
        for precision in dict.fromkeys(TORCH_PRECISION.get(p, p) for p in args.precision):
            for worker in workers:
                for variant in args.variant:
                    row = worker.run(model, variant, precision)
                    if row:
                        theirs.append(row | {"variant": variant, "precision": precision})
        rounds.append((ours, theirs))
    return rounds


def lines(args, model, rounds):
    """A line for each of our precisions against each way of PyTorch, and against its best."""
    for precision in args.precision:
        peer = TORCH_PRECISION.get(precision, precision)
        ways = {}
        for ours, theirs in rounds:
            rows = [row for row in theirs if row["precision"] == peer]
            if not rows:
                continue
            best = min(rows, key=lambda row: row["ms"])
            for row in rows + [best | {"variant": "its best", "torch": ""}]:
                way = f"{row['variant']} {row['torch']}".strip()
                ways.setdefault(way, []).append((ours[precision], row))
        for way, pairs in ways.items():
            ratios = sorted(row["ms"] / own["ms"] for own, row in pairs)
            yield {"model": model, "precision": precision, "peer": way, "device": args.device,
                   "batch": args.batch, "threads": pairs[0][0]["threads"],
                   "shatter_ms": statistics.median(own["ms"] for own, _ in pairs),
                   "torch_ms": statistics.median(row["ms"] for _, row in pairs),
                   "ratio": statistics.median(ratios), "ratio_least": ratios[0],
                   "ratio_most": ratios[-1], "rounds": len(pairs),
                   "shatter_mib": max(own["step_memory_bytes"] for own, _ in pairs) / 2**20,
                   "torch_mib": min(row["step_memory_bytes"] for _, row in pairs) / 2**20,
                   "commit": pairs[0][0]["commit"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", help="the train_bench program")
    parser.add_argument("--python", action="append",
                        help="interpreters with PyTorch [this one]; may be given several times")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", action="append", help="default: " + ", ".join(MODELS))
    parser.add_argument("--variant", action="append", help="default: all of the device")
    parser.add_argument("--precision", action="append",
                        choices=["fp32", "fp32-winograd", "tf32", "bf16"],
                        help="of shatter [fp32]; may be given several times. PyTorch computes in "
                             "the same, in fp32 beside fp32-winograd")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="add one line of JSON per line of the table to this file")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.precision = args.precision or ["fp32"]
    if args.work:
        work(args)
        return
    if not args.bench:
        parser.error("--bench: name the train_bench program")
    workers = [Worker(args, python) for python in args.python or [sys.executable]]
    args.variant = args.variant or VARIANTS[args.device]
    print(f"batch {args.batch}, {args.device}; milliseconds per step, medians of {args.rounds} "
          "rounds; ratio: PyTorch / shatter [least, most]; MiB: growth of the process's peak memory "
          "from before the model and data were made")
    print(f"{'model':12} {'precision':14} {'shatter':>9} {'PyTorch':24} {'':>9} {'ratio':>6} "
          f"{'':14} {'MiB':>6} {'MiB':>6}")
    for model in args.model or MODELS:
        for line in lines(args, model, measure(args, workers, model)):
            print(f"{model:12} {line['precision']:14} {line['shatter_ms']:9.3f} "
                  f"{line['peer']:24} {line['torch_ms']:9.3f} {line['ratio']:6.2f} "
                  f"[{line['ratio_least']:.2f}, {line['ratio_most']:.2f}]   "
                  f"{line['shatter_mib']:6.0f} {line['torch_mib']:6.0f}", flush=True)
            if args.json:
                with open(args.json, "a") as out:
                    out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
