#!/usr/bin/env python3
"""A bar chart of conv_bench's rows: one group of bars a layer, one bar an algorithm.

    conv_bench --json rows.json
    plot_conv_bench.py --output chart.png < rows.json

One panel for each device, type and direction. Needs matplotlib.
"""
import argparse
import json
import sys

LABELS = {
    "tflops": "TFLOP/s",
    "gbps": "GB/s",
    "cold_us": "microseconds, caches flushed",
    "hot_us": "microseconds, back to back",
    "pct_peak": "% of the matrix product",
    "pct_copy": "% of the copy",
    "pct_bound": "% of the roofline",
}


def read_rows(lines):
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            sys.exit(f"plot_conv_bench.py: line {number} is no JSON: {error}")
    if not rows:
        sys.exit("plot_conv_bench.py: no rows on standard input")
    return rows


def panels_of(rows, value):
    """{(device, type, direction): {provider: {layer: value}}}, in the order of the rows."""
    panels = {}
    for row in rows:
        panel = panels.setdefault((row["on"], row["in"], row["dir"]), {})
        panel.setdefault(row["provider"], {})[f'{row["set"]} {row["layer"]}'] = row[value]
    return panels


def draw(axes, title, panel, label):
    layers = list(dict.fromkeys(layer for bars in panel.values() for layer in bars))
    width = 0.8 / len(panel)
    for i, (provider, bars) in enumerate(panel.items()):
        at = [place + i * width for place, layer in enumerate(layers) if layer in bars]
        axes.bar(at, [bars[layer] for layer in layers if layer in bars], width, label=provider)
    middle = 0.4 - width / 2
    axes.set_xticks([place + middle for place in range(len(layers))])
    axes.set_xticklabels([layer.split(" ", 1)[1] for layer in layers], rotation=60, ha="right")
    axes.set_title(" ".join(title))
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.legend()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--value", choices=LABELS, default="tflops", help="the height of the bars")
    parser.add_argument("--output", default="conv_bench.png", help="picture to write")
    options = parser.parse_args()
    panels = panels_of(read_rows(sys.stdin), options.value)
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot_conv_bench.py: needs matplotlib (pip install matplotlib)")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(panels), 1, figsize=(14, 4.5 * len(panels)), squeeze=False)
    for place, (title, panel) in zip(axes[:, 0], panels.items()):
        draw(place, title, panel, LABELS[options.value])
    figure.tight_layout()
    figure.savefig(options.output, dpi=120)


if __name__ == "__main__":
    main()
