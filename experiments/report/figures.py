"""Figures of the report, drawn from the kept results of training runs and measurements."""

import collections
import itertools
import json
import math
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

plt.rcParams.update({
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.grid": True, "grid.alpha": 0.3,
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "svg.hashsalt": "shatter"})

SETTINGS = ["true-labels", "random-labels", "shuffled-pixels", "random-pixels", "gaussian"]
COLOURS = dict(zip(SETTINGS, ["#1b7837", "#b2182b", "#2166ac", "#e08214", "#762a83"]))
STYLES = dict(zip(SETTINGS, ["-", "-", "--", "-", "-."]))  # curves that lie on each other stay visible
MODELS = {"inception": "Inception", "inception-no-bn": "Inception w/o BatchNorm",
          "alexnet": "AlexNet", "mlp-3x512": "MLP 3x512", "mlp-1x512": "MLP 1x512",
          "lenet": "LeNet"}
FULL = {"cifar10": 50000, "cifar100": 50000, "mnist": 60000}


def size_of(config):
    """How the runs of a panel are called in its title: the data and what is not as in the paper or on a CPU."""
    data = config["data"]
    text = data["name"]
    images = data["train_size"] + data.get("held_out", 0)
    if images != FULL.get(data["name"], images):
        text += f", reduced: {data['train_size']:,} images, {config['epochs']} epochs"
    special = [kind for kind in (config["precision"], config["device"]) if kind not in ("fp32", "cpu")]
    return ", ".join([text, *special])


def alike(config):
    """A key of runs that may share a panel: alike in all but model, labels, seed and what goes with these."""
    data = {key: value for key, value in config["data"].items() if key != "corruption"}
    return json.dumps([data, config["device"], config["precision"], config["epochs"], config["evaluate_every"],
                       config["optimizer"]["batch"]], sort_keys=True)


def plain(config):
    """Whether nothing but model, data and labels is special about a run."""
    return (config["optimizer"]["weight_decay"] == 0 and not config["data"]["random_crop"]
            and not config["data"].get("flip") and not config["data"].get("held_out"))


def quick(config):
    return config["optimizer"]["batch"] != 128 or config["data"]["train_size"] < 3000


def numbers(column):
    return [math.nan if value is None else value for value in column]


def band(axis, runs, column, colour, label, style="-", scale=1.0):
    """The mean over seeds with the range between them; runs that stopped early keep their last value."""
    longest = max(runs, key=lambda run: len(run["curve"]["step"]))
    steps = longest["curve"]["step"]
    rows = []
    for run in runs:
        values = [scale * value for value in numbers(run["curve"].get(column, []))]
        if not values:
            return
        rows.append(values + [values[-1]] * (len(steps) - len(values)))
    columns = [[value for value in column if not math.isnan(value)] for column in zip(*rows)]
    shown = [(step, values) for step, values in zip(steps, columns) if values]
    x = [step for step, _ in shown]
    axis.plot(x, [sum(values) / len(values) for _, values in shown], style, color=colour, label=label)
    if len(runs) > 1:
        axis.fill_between(x, [min(v) for _, v in shown], [max(v) for _, v in shown], color=colour,
                          alpha=0.2, linewidth=0)


def grouped(runs, key):
    groups = collections.OrderedDict()
    for run in runs:
        groups.setdefault(key(run["config"]), []).append(run)
    return groups


def corruption(config):
    return config["data"]["corruption"]["kind"]


def seeds_text(runs):
    count = len({run["config"]["seed"] for run in runs})
    return f"{count} seed{'s' if count > 1 else ''}"


def panels(count, width=4.6, height=3.2):
    columns = min(count, 2)
    rows = (count + columns - 1) // columns
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False,
                                layout="constrained")
    axes = [axis for row in axes for axis in row]
    for axis in axes:
        axis.locator_params(nbins=5)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def from_zero(axis):
    axis.set_ylim(0, 1.05 * axis.dataLim.y1)


def by_setting(axis, group, column, label, style=None, scale=1):
    """A band for each setting of the paper; `label` of the setting and its runs."""
    for setting in SETTINGS:
        members = [run for run in group if corruption(run["config"]) == setting]
        if members:
            band(axis, members, column, COLOURS[setting], label(setting, members), style or STYLES[setting], scale)


def learning_curves(runs):
    """Figure 1 (a): the training loss of each setting against the step."""
    runs = [run for run in runs if corruption(run["config"]) in SETTINGS and plain(run["config"])
            and run["config"]["data"]["name"] == "cifar10" and not quick(run["config"])]
    groups = grouped(runs, lambda c: (list(MODELS).index(c["model"]), size_of(c), alike(c)))
    groups = {key: groups[key] for key in sorted(groups)
              if len({corruption(run["config"]) for run in groups[key]}) > 1}
    if not groups:
        return None
    figure, axes = panels(len(groups))
    for axis, ((model, size, _), group) in zip(axes, groups.items()):
        by_setting(axis, group, "loss", lambda setting, members: f"{setting} ({seeds_text(members)})")
        axis.set(title=f"{list(MODELS.values())[model]}\n{size}", xlabel="step", ylabel="mean training loss")
        from_zero(axis)
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def level_of(row):
    """The share of labels drawn anew in a row of figure1, "alexnet/p=0.2"; none for pixel settings."""
    setting = row.split("/")[1]
    if setting.startswith("p="):
        return float(setting[2:])
    return {"true-labels": 0.0, "random-labels": 1.0}.get(setting)


def against_corruption(tables):
    """Figure 1 (b, c): time to overfit, and test error, against the share of corrupted labels."""
    # (model, size of the table) -> quantity -> p -> value of each seed, none where it never came to it
    groups = collections.OrderedDict()
    for table in tables:
        size = re.sub(r".*?(full size|reduced)", r"\1", table["title"])
        for row in table["rows"]:
            p = level_of(row["row"])
            if p is None or "quick" in row["mark"] or "synthetic" in row["mark"]:
                continue
            quantities = groups.setdefault((row["row"].split("/")[0], size), {})
            for quantity in row["quantities"]:
                if quantity["name"] in ("relative_time", "test_error"):
                    quantities.setdefault(quantity["name"], {})[p] = [
                        run["numbers"].get(quantity["name"]) for run in row["runs"]] + [None] * row["diverged"]
    groups = {key: group for key, group in groups.items() if len(group.get("test_error", {})) > 2}
    if not groups:
        return None
    figure, (time, error) = panels(2)
    for colour, ((model, size), group) in zip(("#1b7837", "#2166ac", "#b2182b", "#762a83"), groups.items()):
        for axis, points in ((time, group.get("relative_time", {})), (error, group["test_error"])):
            reached = {p: [v for v in points[p] if v is not None] for p in sorted(points)}
            x = [p for p in reached if reached[p]]
            counts = {len(points[p]) for p in points}
            seeds = "-".join(str(n) for n in sorted({min(counts), max(counts)})) if counts else "0"
            axis.plot(x, [sum(reached[p]) / len(reached[p]) for p in x], "o-", color=colour,
                      label=f"{MODELS[model]}, {size}, seeds: {seeds}")
            axis.fill_between(x, [min(reached[p]) for p in x], [max(reached[p]) for p in x], color=colour,
                              alpha=0.2, linewidth=0)
            censored = [p for p in reached if len(reached[p]) < len(points[p])]
            axis.plot(censored, [0] * len(censored), "x", color=colour)
    time.set(title="(b) steps to 99 % training accuracy, relative to p = 0\n(crosses: a run never came to it, or diverged)",
             xlabel="corrupted labels p")
    from_zero(time)
    error.set(title="(c) test error, %", xlabel="corrupted labels p", ylim=(0, 100))
    for axis in (time, error):
        axis.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def clean_and_corrupted(runs):
    """The running accuracy on the clean and on the corrupted part of the training set."""
    runs = [run for run in runs if corruption(run["config"]) == "partially-corrupted-labels"
            and "corrupted_accuracy" in run["curve"] and not quick(run["config"])]
    groups = grouped(runs, lambda c: (c["model"], c["data"]["corruption"]["probability"], size_of(c), alike(c)))
    if not groups:
        return None
    groups = dict(sorted(groups.items()))
    figure, axes = panels(len(groups))
    for axis, ((model, p, size, _), group) in zip(axes, groups.items()):
        band(axis, group, "clean_accuracy", "#1b7837", "clean labels, while training", scale=100)
        band(axis, group, "corrupted_accuracy", "#b2182b", "corrupted labels, while training", scale=100)
        band(axis, group, "test_accuracy", "#2166ac", "test", "--", scale=100)
        axis.set(title=f"{MODELS[model]}, p = {p:g}, {seeds_text(group)}\n{size}", xlabel="step",
                 ylabel="accuracy, %", ylim=(0, 101))
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def batch_norm(runs):
    """Figure 2 (b): training and test accuracy of Inception with and without batch norm."""
    runs = [run for run in runs if run["config"]["model"] in ("inception", "inception-no-bn")
            and corruption(run["config"]) == "true-labels" and plain(run["config"])
            and not quick(run["config"])]
    groups = grouped(runs, lambda c: (size_of(c), alike(c)))
    groups = {key: group for key, group in groups.items()
              if len({run["config"]["model"] for run in group}) == 2}
    if not groups:
        return None
    figure, axes = panels(len(groups))
    for axis, ((size, _), group) in zip(axes, groups.items()):
        for model, colour in (("inception", "#1b7837"), ("inception-no-bn", "#b2182b")):
            members = [run for run in group if run["config"]["model"] == model]
            band(axis, members, "accuracy", colour, f"{MODELS[model]}, training", "--", 100)
            band(axis, members, "test_accuracy", colour, f"{MODELS[model]}, test", "-", 100)
            longest = max(members, key=lambda run: len(run["curve"]["step"]))
            test = [(step, 100 * value) for step, value in zip(longest["curve"]["step"],
                    longest["curve"]["test_accuracy"]) if value is not None]
            best = itertools.accumulate((value for _, value in test), max)
            axis.fill_between([step for step, _ in test], [value for _, value in test], list(best), color=colour,
                              alpha=0.25, linewidth=0)
        axis.set(title=f"{size}\nshaded: up to the best test accuracy so far", xlabel="step", ylabel="accuracy, %", ylim=(0, 101))
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def randomization(runs):
    """Training and test accuracy of LeNet on MNIST and its kin under true and random labels."""
    runs = [run for run in runs if run["config"]["data"]["name"] not in ("cifar10", "synthetic")
            and not quick(run["config"])]
    groups = grouped(runs, lambda c: (c["model"], size_of(c), alike(c)))
    if not groups:
        return None
    figure, axes = panels(len(groups))
    for axis, ((model, size, _), group) in zip(axes, groups.items()):
        by_setting(axis, group, "accuracy", lambda setting, _: f"{setting}, training", "-", 100)
        by_setting(axis, group, "test_accuracy", lambda setting, _: f"{setting}, test", ":", 100)
        axis.set(title=f"{MODELS[model]}, {size}", xlabel="step", ylabel="accuracy, %", ylim=(0, 101))
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def kernel_sweeps(measurements):
    """Table 3: norm and error against the bandwidth, error against the regularisation."""
    rows = {row: [m for m in measurements if m["config"]["row"] == row]
            for row in ("mnist/bandwidth", "mnist/regularisation")}
    if not any(rows.values()):
        return None
    figure, (norm, bandwidth, regularised) = panels(3)
    for run in rows["mnist/bandwidth"]:
        curve, n = run["curve"], run["config"]["parameters"]["train_size"]
        norm.plot(curve["gamma"], curve["norm"], "o-", color="#1b7837", label=f"one-hot, n = {n:,}")
        norm.plot(curve["gamma"], curve["norm_plus_minus"], "s--", color="#2166ac", label=f"+-1, n = {n:,}")
        bandwidth.plot(curve["gamma"], curve["test_error"], "o-", color="#b2182b", label=f"n = {n:,}")
    for run in rows["mnist/regularisation"]:
        curve, n = run["curve"], run["config"]["parameters"]["train_size"]
        positive = [(l, e) for l, e in zip(curve["lambda"], curve["test_error"]) if l > 0]
        regularised.semilogx([l for l, _ in positive], [e for _, e in positive], "o-", color="#b2182b",
                             label=f"n = {n:,}")
        regularised.axhline(curve["test_error"][0], color="#1b7837", linestyle="--", label="lambda = 0")
    norm.set(title="MNIST pixels: norm against bandwidth", xlabel="gamma", ylabel="norm")
    bandwidth.set(title="MNIST pixels: error against bandwidth", xlabel="gamma", ylabel="test error, %")
    regularised.set(title="MNIST pixels: error against regularisation", xlabel="lambda", ylabel="test error, %")
    for axis in (norm, bandwidth, regularised):
        from_zero(axis)
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure


def double_descent(measurements):
    """Test error and norm of random features through the interpolation threshold."""
    groups = collections.OrderedDict()
    for run in measurements:
        if run["config"]["data"]["name"] != "synthetic" and run["curve"].get("features"):
            groups.setdefault(run["config"]["parameters"]["train_size"], []).append(run)
    if not groups:
        return None
    figure, (error, norm) = panels(2)
    for colour, (n, group) in zip(("#1b7837", "#2166ac", "#b2182b"), sorted(groups.items())):
        for axis, column in ((error, "test_error"), (norm, "norm")):
            x = [features / n for features in group[0]["curve"]["features"]]
            columns = list(zip(*[numbers(run["curve"][column]) for run in group]))
            axis.plot(x, [sum(v) / len(v) for v in columns], "o-", color=colour,
                      label=f"n = {n:,}, {len(group)} seeds")
            axis.fill_between(x, [min(v) for v in columns], [max(v) for v in columns], color=colour,
                              alpha=0.2, linewidth=0)
    error.set(title="test error, %", xlabel="features / images", xscale="log")
    norm.set(title="norm of the solution", xlabel="features / images", xscale="log", yscale="log")
    for axis in (error, norm):
        axis.axvline(1, color="grey", linewidth=0.8)
        axis.title.set_fontsize(9)
        axis.legend(fontsize=8)
    return figure
