#!/usr/bin/env python3
"""One self-contained page of every result: tables by the programs, figures from the kept files.

Each program prints the tables of its kept results with their verdicts; nothing is judged here.
Writes OUT/report.html and the figures beside it as PNG and SVG; with --into, also the programs'
sections of a Markdown document, and the figures it shows, as figures/NAME.svg beside it."""

import argparse
import base64
import html
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import with_matplotlib  # noqa: F401

import figures

# program, heading, what the paper says, figures: (name, function)
SECTIONS = [
    ("table1", "Table 1: accuracy on true and random labels",
     "Networks that generalise fit random labels just as well, with or without regularisers.", []),
    ("figure1", "Figure 1: learning curves and label corruption",
     "Every setting is fitted to zero loss, true labels first; the time to fit grows by a small factor "
     "and the test error steadily with the share of corrupted labels.",
     [("figure1a", figures.learning_curves), ("figure1bc", figures.against_corruption),
      ("clean-and-corrupted", figures.clean_and_corrupted)]),
    ("figure2", "Figure 2 (b): batch norm and early stopping",
     "Batch norm steadies the curve and is worth 3 to 4 points; early stopping gains nothing.",
     [("figure2b", figures.batch_norm)]),
    ("table3", "Table 3: kernels that interpolate",
     "Exact kernel solutions without regularisation generalise; the norm does not tell how well.",
     [("table3", figures.kernel_sweeps)]),
    ("table4", "Table 4: random labels against regularisation",
     "Explicit regularisation does not prevent fitting random labels.", []),
    ("theorem1", "Theorem 1: finite-sample expressivity",
     "A two-layer ReLU network with 2n + d weights fits any labels of n points.", []),
    ("linear", "Section 5: linear models", "SGD finds the interpolant of least norm.", []),
    ("rademacher", "Rademacher complexity",
     "The complexity of networks that fit random signs is about 1, and bounds nothing.", []),
    ("stability", "Uniform stability",
     "A property of the algorithm, blind to the labels: it cannot tell the two cases apart.", []),
    ("double_descent", "Double descent",
     "Past the interpolation threshold the test error falls again (CACM 2021, section 6.1).",
     [("double-descent", figures.double_descent)]),
    ("randomization_test", "The randomization test on other data sets",
     "The method for a model and data set of one's own.", [("randomization", figures.randomization)]),
]
# Figures of the numbers in the program's tables; the others are of the kept results themselves.
JUDGED = {figures.against_corruption}
MEASURED = {"table3", "theorem1", "linear", "rademacher", "stability", "double_descent"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2em auto; max-width: 90em;
       padding: 0 1em } p { max-width: 60em }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5em; border-bottom: 1px solid #ddd }
.table { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; margin: 0.5em 0 }
th, td { padding: 0.25em 0.6em; border-bottom: 1px solid #e4e4e4; text-align: left; white-space: nowrap }
th { background: #f6f6f6 } img { max-width: 100%; height: auto } ul { font-size: 13px; color: #555 }
td.good { color: #1b7837; font-weight: 600 } td.bad { color: #b2182b; font-weight: 600 }
td.open { color: #8a6d00 } nav a { margin-right: 1em } code { overflow-wrap: anywhere }
"""


def fail(message):
    print(f"report: {message}", file=sys.stderr)
    sys.exit(2)


def kept(folder):
    """Kept results by program; training runs under "runs"."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            result = json.loads(path.read_text())
            found.setdefault(result["config"].get("program", "runs"), []).append(result)
        except (ValueError, KeyError, TypeError) as error:
            what = (" but part of a run's folder: run its command again with --keep DIR, which copies what is "
                    "finished, and report that DIR" if (path.parent / "config.json").exists() else f": {error}")
            fail(f"{path}: not a kept result{what}")
    return found


def run(program, arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        fail(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def inline(text):
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def verdict_class(text):
    words = text.lower()
    if any(bad in words for bad in ("not reproduced", "fails", "not as expected", "diverged")):
        return "bad"
    if "inconclusive" in words or "not run" in words or "censored" in words:
        return "open"
    if "reproduced" in words or "as expected" in words:
        return "good"
    return ""


def page_of(markdown):
    """The programs' Markdown (titles in bold, pipe tables, bullets, lines) as HTML."""
    parts, table, bullets = [], [], []

    def flush():
        if table:
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
            head, body = rows[0], rows[2:]
            verdict = head.index("verdict") if "verdict" in head else -1
            out = ["<div class=table><table><tr>", *(f"<th>{inline(c)}</th>" for c in head), "</tr>"]
            for row in body:
                out.append("<tr>")
                for i, cell in enumerate(row):
                    kind = verdict_class(cell) if i == verdict else ""
                    out.append(f"<td class='{kind}'>{inline(cell)}</td>" if kind else f"<td>{inline(cell)}</td>")
                out.append("</tr>")
            parts.append("".join(out) + "</table></div>")
            table.clear()
        if bullets:
            parts.append("<ul>" + "".join(f"<li>{inline(line)}</li>" for line in bullets) + "</ul>")
            bullets.clear()

    for line in markdown.splitlines():
        if line.startswith("|"):
            table.append(line)
        elif line.startswith("- "):
            bullets.append(line[2:])
        else:
            flush()
            bold = re.fullmatch(r"\*\*(.*)\*\*", line)
            if bold:
                parts.append(f"<h3>{inline(bold[1])}</h3>")
            elif line.strip():
                parts.append(f"<p>{inline(line)}</p>")
    flush()
    return "\n".join(parts)


def write(path, data):
    """Aside first, then renamed."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(data)
    os.chmod(part.name, 0o644)
    os.replace(part.name, path)


def show_in(document, name, svg):
    """Writes the SVG where the document shows it, if it does."""
    if document and f"(figures/{name}.svg)" in document.read_text():
        folder = document.parent / "figures"
        folder.mkdir(exist_ok=True)
        write(folder / f"{name}.svg", svg)


def draw(figure, name, out, document):
    """The figure's files; its PNG for the page."""
    drawn = {}
    for kind, options in (("png", {}), ("svg", {"metadata": {"Date": None}})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=130, **options)
        drawn[kind] = buffer.getvalue()
        write(out / f"{name}.{kind}", drawn[kind])
    figures.plt.close(figure)
    show_in(document, name, drawn["svg"])
    return base64.b64encode(drawn["png"]).decode()


def main():
    here = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, default=here / "build/cpu/experiments",
                        help="folder of the built programs [build/cpu/experiments]")
    parser.add_argument("--results", type=pathlib.Path, default=here / "docs/results",
                        help="kept results [docs/results]")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("reports/report"))
    parser.add_argument("--into", type=pathlib.Path, help="also fill this document's marked sections, and draw the figures it shows")
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        fail(f"--results {arguments.results}: no such folder")
    for program in [section[0] for section in SECTIONS] + ["figure3"]:
        if not os.access(arguments.programs / program, os.X_OK):
            fail(f"{arguments.programs / program} is missing; build it, or name the folder with --programs")
    results = kept(arguments.results)
    arguments.out.mkdir(parents=True, exist_ok=True)
    body, contents = [], []
    for program, heading, claim, drawings in SECTIONS:
        path = arguments.programs / program
        text = run(path, ["--report", arguments.results])
        if arguments.into and f"<!-- {program}:begin -->" in arguments.into.read_text():
            run(path, ["--report", arguments.results, "--into", arguments.into])
        contents.append(f"<a href='#{program}'>{html.escape(heading.split(':')[0])}</a>")
        body.append(f"<h2 id='{program}'>{html.escape(heading)}</h2><p><em>{html.escape(claim)}</em></p>")
        for name, function in drawings:
            if function in JUDGED:
                drawn = json.loads(run(path, ["--report", arguments.results, "--format", "json"]))
            else:
                drawn = results.get(program if program in MEASURED else "runs", [])
            figure = function(drawn)
            if figure:
                caption = function.__doc__.splitlines()[0]
                image = draw(figure, name, arguments.out, arguments.into)
                body.append(f"<figure><img alt='{html.escape(caption)}' src='data:image/png;base64,{image}'>"
                            f"<figcaption>{html.escape(caption)}</figcaption></figure>")
        body.append(page_of(text) if text.strip() else "<p>No results are kept.</p>")
    with tempfile.TemporaryDirectory() as folder:
        layers = run(arguments.programs / "figure3", ["--out", folder])
        drawing = (pathlib.Path(folder) / "reports/figure3/inception.svg").read_bytes()
    write(arguments.out / "figure3.svg", drawing)
    show_in(arguments.into, "figure3", drawing)
    body.append("<h2 id='figure3'>Figure 3: the small Inception</h2><p><em>Drawn from the model object.</em></p>"
                "<figure><img alt='The small Inception' src='data:image/svg+xml;base64,"
                f"{base64.b64encode(drawing).decode()}'></figure>{page_of(layers)}")
    contents.append("<a href='#figure3'>Figure 3</a>")
    version = run(arguments.programs / "table1", ["--version"]).splitlines()
    page = ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>shatter: results</title><style>{STYLE}</style>"
            "<h1>Rethinking generalization, reproduced</h1>"
            "<p>Every table and figure of Zhang, Bengio, Hardt, Recht and Vinyals, <em>Understanding deep learning "
            "requires rethinking generalization</em> (ICLR 2017; CACM 2021): ours beside theirs. The verdicts are "
            "the programs'. Tables that say <em>quick</em>, <em>reduced</em> or <em>synthetic</em> are no "
            "reproduction. Missing: Table 2 and Figure 2 (a), which train on ImageNet; and under each table, the "
            "rows that have not been run at full size.</p>"
            f"<nav>{' '.join(contents)}</nav>{''.join(body)}<hr><p>{html.escape(' | '.join(version[:2]))}</p>"
            "<script>addEventListener('load', () => { document.documentElement.dataset.shown = "
            "[...document.images].filter(i => i.naturalWidth > 0).length })</script></html>")
    write(arguments.out / "report.html", page.encode())
    print(arguments.out / "report.html")


if __name__ == "__main__":
    main()
