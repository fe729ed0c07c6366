#!/usr/bin/env python3
"""Draws kept results, also those of programs of one's own: a number over a parameter, or its curves.

    plot DIR --y test_error                a point with its seeds for each row of a measurement
    plot DIR --y test_error --x noise      the same over the rows' parameter "noise", a line for each program
    plot DIR --y test_accuracy --curves    over a run's epochs, a line for each model and kind of labels
DIR holds what --keep stored. Bars and bands span the seeds; what is plotted is printed too."""

import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
import with_matplotlib  # noqa: F401

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def fail(message):
    print(f"plot: {message}", file=sys.stderr)
    sys.exit(3)


def kept(folder):
    if not folder.is_dir():
        fail(f"{folder}: no such folder")
    results = []
    for path in sorted(folder.rglob("*.json")):
        try:
            result = json.loads(path.read_text())
            result["config"], result["result"], result["curve"]
        except (ValueError, KeyError, TypeError):
            fail(f"{path}: not a kept result; give the folder of --keep")
        results.append(result)
    return results


def listed(names):
    return ", ".join(sorted(names)) or "none"


def flat(config, prefix=""):
    """Everything that decides a result but its seeds, as {"data.train_size": 50000}."""
    entries = {}
    for key, value in config.items():
        if isinstance(value, dict):
            entries.update(flat(value, f"{prefix}{key}."))
        elif key not in ("seed", "checksums"):
            entries[prefix + key] = json.dumps(value).strip('"')
    return entries


def name_of(config):
    if "program" in config:
        return config["row"]
    return " ".join([config["model"], (config["data"].get("corruption") or {}).get("kind", "true-labels")])


def lines_of(found, apart):
    """{line: {place: values}} of (config, {place: value}); what differs within a name but `apart` joins it."""
    groups = {}
    for config, places in found:
        entries = {key: value for key, value in flat(config).items() if key not in apart}
        name = config["program"] if "row" in apart else name_of(config)
        groups.setdefault(name, []).append((entries, places))
    lines = {}
    for name, members in groups.items():
        keys = sorted({key for entries, _ in members for key in entries})
        differing = [key for key in keys if len({entries.get(key) for entries, _ in members}) > 1]
        for entries, places in members:
            what = dict.fromkeys(f"{key.split('.')[-1]} {entries.get(key, '-')}" for key in differing)
            label = ", ".join([name, *what])
            for place, value in places.items():
                lines.setdefault(label, {}).setdefault(place, []).append(value)
    return lines


def points(results, y, x):
    """A measurement's number; without x the places are the rows."""
    found, names = [], set()
    for result in results:
        config, numbers = result["config"], result["result"].get("numbers", {})
        names |= set(numbers)
        if not isinstance(numbers.get(y), (int, float)):
            continue
        if x and x not in config["parameters"]:
            fail(f"--x {x}: {config['row']} has the parameters {listed(config['parameters'])}")
        found.append((config, {config["parameters"][x] if x else config["row"]: numbers[y]}))
    if not found:
        fail(f"--y {y}: no result has it; there are {listed(names)}")
    return lines_of(found, {"row", f"parameters.{x}"})


def curves(results, y):
    """A column over the epochs, of a measurement over its first column."""
    found, names = [], set()
    for result in results:
        curve = result["curve"]
        names |= set(curve)
        if y in curve:
            places = curve.get("epoch") or next(iter(curve.values()))
            found.append((result["config"],
                          {place: value for place, value in zip(places, curve[y]) if value is not None}))
    if not found:
        fail(f"--y {y}: no result has this curve; there are {listed(names)}")
    return lines_of(found, set())


def draw(lines, y, x):
    figure, axis = plt.subplots(figsize=(8, 5))
    for name, places in lines.items():
        order = sorted(places) if all(isinstance(p, (int, float)) for p in places) else list(places)
        means = [sum(places[p]) / len(places[p]) for p in order]
        low, high = [min(places[p]) for p in order], [max(places[p]) for p in order]
        if isinstance(order[0], str):
            axis.errorbar(order, means, [[m - l for m, l in zip(means, low)], [h - m for m, h in zip(means, high)]],
                          fmt="o", capsize=4, label=name)
            axis.tick_params(axis="x", rotation=30)
        else:
            axis.plot(order, means, "o-", markersize=3, label=name)
            axis.fill_between(order, low, high, alpha=0.2, linewidth=0)
        for place, mean, least, most in zip(order, means, low, high):
            print(f"{name}\t{place}\t{mean:.6g}\t{least:.6g}\t{most:.6g}\t{len(places[place])} seeds")
    axis.set(xlabel=x, ylabel=y)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--y", required=True, help="a number of the results, or with --curves a column")
    parser.add_argument("--x", help="a parameter of the rows")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("plot.svg"), help="SVG, PNG or PDF [plot.svg]")
    given = parser.parse_args()
    results = kept(given.folder)
    lines = curves(results, given.y) if given.curves else points(results, given.y, given.x)
    figure = draw(lines, given.y, "epoch" if given.curves else given.x or "row")
    part = given.out.with_name(f".{os.getpid()}.{given.out.name}")
    figure.savefig(part, bbox_inches="tight")
    os.replace(part, given.out)
    print(given.out)


if __name__ == "__main__":
    main()
