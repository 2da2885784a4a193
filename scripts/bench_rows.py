#!/usr/bin/env python3
"""Measures how time and memory of training and of a report grow with the rows, up to more rows than memory holds.

    cargo build --release --locked && cargo build --release --locked -p facefold-store --example labelled_rows
    scripts/bench_rows.py --rows 100000,1000000,10000000 --limit 8 --out results/bench/rows.md --plot results/bench/rows.svg

For each number of rows it makes a store of made-up embeddings (512 values, labels; 4 KB of disk a row), cross-validates heads
on it by its published split, with intervals by subject, comparison and report, and removes it. Root of a machine with
control groups lets the program have --limit gigabytes, the page cache of its files included; elsewhere nothing limits it, and the
report says so.
"""

import argparse
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness import ROOT, add_program, machine, program, run

EXAMPLE = ROOT / "target/release/examples/labelled_rows"


class Group:
    """A control group that holds a program to so many bytes, where this machine lets one be made."""

    def __init__(self, gigabytes):
        limit = int(gigabytes * 1e9)
        for root, name in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]:
            path = pathlib.Path(root) / f"facefold-{os.getpid()}"
            try:
                path.mkdir()
                (path / name).write_text(str(limit))
                self.path = path
                return
            except OSError:
                if path.is_dir():
                    path.rmdir()
        self.path = None

    def enter(self):
        """In the process that is to be limited."""
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        if self.path:
            self.path.rmdir()


def measured(command, group):
    """Seconds, processor seconds, and gigabytes in no file (the most, sampled) of a command; and what it printed."""
    started = time.monotonic()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=group.enter)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(child.stdout))
    reader.start()
    most, usage = 0, None
    while usage is None:
        try:
            text = pathlib.Path(f"/proc/{child.pid}/status").read_text()
            most = max([most, *(int(kilobytes) for kilobytes in re.findall(r"^RssAnon:\s+(\d+)", text, re.MULTILINE))])
        except OSError:
            pass
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        if pid:
            usage = used
            child.returncode = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.2)
    reader.join()
    seconds = time.monotonic() - started
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{''.join(lines[-40:])}")
    return seconds, usage.ru_utime + usage.ru_stime, most * 1024 / 1e9, "".join(lines)


def fits(report):
    """Rows trained on; the seconds of each head, and its accuracy or mean absolute error."""
    task = report["tasks"][0]["result"]
    rows = task["splits"][0]["train"] + task["splits"][0]["validation"]
    found = {}
    for head in task["heads"]:
        if head["name"] != "majority":
            pooled = head["pooled"]
            score = f"{100 * pooled['classes']['accuracy']:.2f} %" if "classes" in pooled else f"{pooled['regression']['mean_absolute_error']:.2f} years"
            found[head["name"]] = (head["fits"][0]["seconds"], score)
    return rows, found


COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#999999"]


def panel(left, title, series):
    """Lines over rows, both by powers of ten, as parts of an SVG; `series` are names with their points."""
    top, width, height = 40, 330, 300
    all_points = [point for _, points in series for point in points]
    powers = lambda values: (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))  # noqa: E731
    (x0, x1), (y0, y1) = (powers([point[axis] for point in all_points]) for axis in (0, 1))
    x = lambda value: left + width * (math.log10(value) - x0) / max(x1 - x0, 1)  # noqa: E731
    y = lambda value: top + height * (1 - (math.log10(value) - y0) / max(y1 - y0, 1))  # noqa: E731
    parts = [f'<text x="{left}" y="{top - 14}">{title}</text>']
    for power in range(x0, x1 + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {top}v{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 20}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y0, y1 + 1):
        at = y(10.0**power)
        parts.append(f'<path d="M{left} {at:.1f}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [(x(rows), y(value)) for rows, value in points]
        parts.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
        parts.append(f'<text x="{left + 10}" y="{top + 18 + 17 * number}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">rows of 512 values</text>')
    return parts


def plot(path, points):
    """Seconds and gigabytes by rows, as an SVG."""
    time_of = [(head, [(point["rows"], max(point["heads"][head][0], 0.01)) for point in points]) for head in points[0]["heads"]]
    time_of.append(("the whole run", [(point["rows"], point["seconds"]) for point in points]))
    memory = [
        ("the program's own memory", [(point["rows"], point["memory"]) for point in points]),
        ("the embeddings", [(point["rows"], 2048 * point["rows"] / 1e9) for point in points]),
    ]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 400" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>']
    parts += panel(70, "seconds", time_of) + panel(530, "gigabytes", memory)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_program(parser)
    parser.add_argument("--example", type=pathlib.Path, default=EXAMPLE, metavar="FILE", help="the generator of stores")
    parser.add_argument("--rows", default="10000,30000,100000", help="numbers of rows, separated by commas")
    parser.add_argument("--heads", default="mlp,svm-linear,linear")
    parser.add_argument("--task", default="gender")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the MLP")
    parser.add_argument("--memory", type=float, default=2, help="gigabytes of features that one fit may take")
    parser.add_argument("--limit", type=float, default=8, help="gigabytes that the program may have in all")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="HEAD.KEY=VALUE", help="settings of the heads, as `facefold cv` takes them")
    parser.add_argument("--stores", type=pathlib.Path, metavar="DIR", help="keep the stores there, and take what is there already")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="write a plot, SVG, there")
    arguments = parser.parse_args()
    facefold = program(arguments)
    group = Group(arguments.limit)
    points = []
    options = [
        "--protocol", "split", "--task", arguments.task, "--head", arguments.heads, "--memory", arguments.memory,
        "--set", f"mlp.epochs={arguments.epochs}", *(word for setting in arguments.settings for word in ("--set", setting))]
    with tempfile.TemporaryDirectory(dir=arguments.work) as directory:
        for rows in map(int, arguments.rows.split(",")):
            store, out = (arguments.stores or pathlib.Path(directory)) / str(rows), pathlib.Path(directory) / "report"
            if store.is_dir():
                # Made again, so that every run does the same.
                shutil.rmtree(store / "derived", ignore_errors=True)
            else:
                run(arguments.example, store, rows)
            seconds, cpu, memory, printed = measured([facefold, "cv", "--store", store, "--out", out, *options], group)
            trained, heads = fits(json.loads((out / "report.json").read_text()))
            points.append({"rows": rows, "trained": trained, "seconds": seconds, "cpu": cpu, "memory": memory, "heads": heads})
            print(json.dumps(points[-1]), flush=True)
            shutil.rmtree(out)
            if not arguments.stores:
                shutil.rmtree(store)
    limited = f"at most {arguments.limit:g} GB in all, the page cache of its files included (a control group)" if group.path else "no limit: this machine lets no control group be made"
    group.remove()
    points.sort(key=lambda point: point["rows"])
    heads = list(points[0]["heads"])
    lines = [
        "# More rows than memory", "",
        f"{machine(facefold)}. Made-up embeddings of 512 values, three pictures a subject; `facefold cv {' '.join(map(str, options))}`, "
        f"with {limited}. Memory: the most that lay in no file, of the whole program.", "",
        "| rows | trained on | the embeddings, GB | memory, GB | the whole run, s | processor, s |" + "".join(f" {head}, s | score |" for head in heads),
        "| ---: | ---: | ---: | ---: | ---: | ---: |" + " ---: | ---: |" * len(heads),
    ]
    for point in points:
        cells = [f"{point['rows']:,}", f"{point['trained']:,}", f"{2048 * point['rows'] / 1e9:.2f}", f"{point['memory']:.2f}", f"{point['seconds']:.0f}", f"{point['cpu']:.0f}"]
        for head in heads:
            took, score = point["heads"][head]
            cells += [f"{took:.0f}", score]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    if arguments.plot:
        plot(arguments.plot, points)


if __name__ == "__main__":
    main()
