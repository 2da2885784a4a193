#!/usr/bin/env python3
"""Measures the SVM head against scikit-learn's SVC in CPU-seconds, interleaved in one run.

  cargo build --release --locked -p facefold-heads --example folds
  python scripts/bench_heads.py [--grid ROWS,...] [--single ROWS,...] [--own ROWS,...] [--repeat N]

Both get the same made-up rows (512 features of unit variance, eight ordered classes that overlap),
kernel, costs, gammas and tolerance, and one thread; scikit-learn's cache is as large as our Gram
matrix, and at least its default. `--grid` fits nine settings on five folds of so many rows,
`--single` one setting on so many rows (a quarter more are asked), `--own` the same without
scikit-learn. Ours also answers by probabilities and calibrates them. Prints a Markdown table.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402  (after the number of threads)
from sklearn.svm import SVC  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FEATURES, CLASSES = 512, 8
COSTS, GAMMAS = [1.0, 4.0, 16.0], [0.25, 0.5, 1.0]


def made_up(rows, seed=1):
    """Rows around a bent curve through 24 of the features' directions, under strong noise."""
    generator = np.random.default_rng(seed)
    share = np.array([0.14, 0.12, 0.13, 0.1, 0.29, 0.13, 0.05, 0.04])
    classes = generator.choice(CLASSES, rows, p=share)
    # The class is told with doubt: a quarter of the rows lie where a neighbour's should.
    place = np.clip(classes + generator.normal(0, 0.45, rows), -0.5, 7.5) / 7
    waves = np.arange(1, 25)
    style = generator.standard_normal((rows, 3))
    curve = np.cos(np.pi * np.outer(place, waves) / 3) / np.sqrt(waves)
    curve[:, 9:12] *= style
    directions, _ = np.linalg.qr(generator.standard_normal((FEATURES, 24)))
    noise = generator.standard_normal((rows, FEATURES)) * np.exp(-np.arange(FEATURES) / 260)
    features = 2.2 * curve @ directions.T + 0.4 * noise
    features = (features - features.mean(0)) / features.std(0)
    return features.astype(np.float32), classes.astype(np.int32)


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(binary, directory, costs, gammas, folds):
    """CPU-seconds, and the accuracy of each setting, mean over folds."""
    settings = json.dumps({"svm": {"cost": costs, "gamma": gammas}})
    files = [str(directory / f"{name}.npy") for name in ("features", "classes", "folds")]
    before = cpu_of_children()
    arguments = [binary, *files, "svm", settings, *map(str, folds)]
    output = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    seconds = cpu_of_children() - before
    accuracies = []
    for line in output.splitlines():
        answer = json.loads(line)
        tried = [note for note in answer["notes"] if "best of" in note]
        if tried:
            listed = tried[0].split("accuracy: ")[1].rstrip(")").split("; ")
            accuracies.append({tuple(map(float, part.split()[1:4:2])): float(part.split()[-1]) for part in listed})
        else:
            accuracies.append({(costs[0], gammas[0]): answer["score"]})
    return seconds, {key: statistics.mean(fold[key] for fold in accuracies) for key in accuracies[0]}


def theirs(features, classes, folds, costs, gammas, chosen):
    """The same by scikit-learn, on features standardised by each fold's training rows."""
    accuracies = {(cost, gamma): [] for gamma in gammas for cost in costs}
    begin = time.process_time()
    for fold in chosen:
        train, test = folds != fold, folds == fold
        mean, deviation = features[train].mean(0), features[train].std(0)
        scaled = (features - mean) / deviation
        megabytes = max(200.0, train.sum() ** 2 * 4 / 1e6)
        for cost, gamma in accuracies:
            # LIBSVM's own tolerance is ours; its cache holds f32 rows, as our Gram matrix does.
            svc = SVC(C=cost, gamma=gamma / FEATURES, cache_size=megabytes, tol=1e-3)
            svc.fit(scaled[train], classes[train])
            accuracies[cost, gamma].append((svc.predict(scaled[test]) == classes[test]).mean())
    return time.process_time() - begin, {key: statistics.mean(found) for key, found in accuracies.items()}


def measure(kind, rows, repeat, binary):
    asked = rows
    if kind != "grid":
        rows += rows // 4
    features, classes = made_up(rows)
    folds = (np.arange(rows) % 5).astype(np.int32)
    costs, gammas, chosen = (COSTS, GAMMAS, range(5)) if kind == "grid" else ([4.0], [0.5], [0])
    our_seconds, their_seconds, difference, best = [], [], float("nan"), None
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        np.save(directory / "features.npy", features)
        np.save(directory / "classes.npy", classes)
        np.save(directory / "folds.npy", folds)
        for _ in range(repeat):
            seconds, our_accuracy = ours(binary, directory, costs, gammas, chosen)
            our_seconds.append(seconds)
            best = max(our_accuracy.values())
            if kind != "own":
                seconds, their_accuracy = theirs(features, classes, folds, costs, gammas, chosen)
                their_seconds.append(seconds)
                pairs = [(our_accuracy[key], their_accuracy[key]) for key in their_accuracy]
                difference = max(abs(a - b) for a, b in pairs)
            print(f"{kind} {rows}: {our_seconds} {their_seconds}", file=sys.stderr)
    one = statistics.median(our_seconds)
    cells = [kind, f"{asked:,}", str(repeat), f"{one:.2f}"]
    if their_seconds:
        other = statistics.median(their_seconds)
        cells += [f"{other:.1f}", f"{other / one:.1f}", f"{100 * difference:.2f}", f"{100 * best:.1f} %"]
    else:
        cells += ["–", "–", "–", f"{100 * best:.1f} %"]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = lambda text: [int(part) for part in text.split(",") if part]  # noqa: E731
    parser.add_argument("--grid", type=sizes, default=[2500])
    parser.add_argument("--single", type=sizes, default=[])
    parser.add_argument("--own", type=sizes, default=[])
    parser.add_argument("--repeat", type=int, default=1)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", default=str(Path(target) / "release/examples/folds"))
    arguments = parser.parse_args()
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line]
    print(f"- machine: {model[0] if model else platform.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"- commit: {commit}; command: `scripts/bench_heads.py {' '.join(sys.argv[1:])}`")
    print()
    print("| what | rows | runs | facefold, CPU-s | scikit-learn, CPU-s | ratio | largest difference in accuracy, points | best accuracy |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in ("grid", "single", "own"):
        for rows in getattr(arguments, kind):
            print(measure(kind, rows, arguments.repeat, arguments.binary), flush=True)


if __name__ == "__main__":
    main()
