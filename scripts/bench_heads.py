#!/usr/bin/env python3
"""Measures the heads in CPU-seconds on one thread, interleaved with their peers in one run.

  cargo build --release --locked -p facefold-heads --example folds
  python scripts/bench_heads.py --grid 5000,10000 --single 11200 --repeat 3      # scikit-learn's SVC
  python scripts/bench_heads.py --mlp 18578 --repeat 3                           # PyTorch
  python scripts/bench_heads.py --growth 2000,10000,100000,1000000 --plot results/bench/heads-growth.svg

Each part runs alone. Programs that are compared get the same made-up rows (eight ordered classes
that overlap; 512 features, 2,560 for the MLP).

--grid    fits nine settings of an SVM on five folds of so many rows: same kernel, costs, gammas and
          tolerance; scikit-learn's cache is as large as our Gram matrix, and at least its default
--single  fits one setting on so many rows (a quarter more are asked)
--mlp     trains an MLP on five folds of so many rows: 2560-256-256-256, batch norm, dropout, mixing,
          AdamW on one cycle of 12 epochs in batches of 250
--growth  an MLP and an SVM on so many rows (a quarter more are asked), without a peer: seconds and
          the most memory held; above what svm.memory_gb allows the SVM is approximate, and says so

All standardise; ours also calibrates probabilities. Both MLPs are judged by the rows left out after
each epoch, and the one of lowest loss counts. Prints a Markdown table a part. Wants numpy, scikit-learn for
the SVM, torch for the MLP.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402  (after the number of threads)

ROOT = Path(__file__).resolve().parent.parent
FEATURES, TAPS, CLASSES = 512, 2560, 8
COSTS, GAMMAS = [1.0, 4.0, 16.0], [0.25, 0.5, 1.0]


def made_up(rows, width=FEATURES, seed=1):
    """Rows around a bent curve through 24 of the features' directions, under strong noise."""
    generator = np.random.default_rng(seed)
    share = np.array([0.14, 0.12, 0.13, 0.1, 0.29, 0.13, 0.05, 0.04])
    classes = generator.choice(CLASSES, rows, p=share)
    # The class is uncertain: a quarter of the rows lie where a neighbour's should.
    place = np.clip(classes + generator.normal(0, 0.45, rows), -0.5, 7.5) / 7
    waves = np.arange(1, 25)
    style = generator.standard_normal((rows, 3))
    curve = np.cos(np.pi * np.outer(place, waves) / 3) / np.sqrt(waves)
    curve[:, 9:12] *= style
    directions, _ = np.linalg.qr(generator.standard_normal((width, 24)))
    spread = (0.4 * np.exp(-np.arange(width) / (width / 2))).astype(np.float32)
    features = np.empty((rows, width), np.float32)
    for first in range(0, rows, 4096):  # a million rows are made in parts
        part = slice(first, first + 4096)
        noise = generator.standard_normal((len(curve[part]), width), np.float32)
        features[part] = 2.2 * curve[part] @ directions.T + spread * noise
    features -= features.mean(0)
    features /= features.std(0)
    return features, classes.astype(np.int32)


def run(arguments):
    """What a program prints, its CPU-seconds, and the most memory that it held, in GB."""
    program = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output = program.stdout.read()
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise SystemExit(f"{arguments[0]} ended with {program.returncode}")
    return output, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def save(directory, features, classes, folds):
    for name, values in (("features", features), ("classes", classes), ("folds", folds)):
        np.save(directory / f"{name}.npy", values)


def ours(binary, directory, head, settings, folds):
    """The answers fold by fold, CPU-seconds and memory."""
    files = [str(directory / f"{name}.npy") for name in ("features", "classes", "folds")]
    output, seconds, memory = run([binary, *files, head, json.dumps(settings), *map(str, folds)])
    return [json.loads(line) for line in output.splitlines()], seconds, memory


def svm(binary, directory, costs, gammas, folds):
    """CPU-seconds, and the accuracy of each setting, mean over folds."""
    settings = {"svm": {"c": costs, "gamma": gammas}}
    answers, seconds, _ = ours(binary, directory, "svm", settings, folds)
    accuracies = []
    for answer in answers:
        tried = [note for note in answer["notes"] if "best of" in note]
        if tried:
            listed = tried[0].split("accuracy: ")[1].rstrip(")").split("; ")
            accuracies.append({tuple(map(float, part.split()[1:4:2])): float(part.split()[-1]) for part in listed})
        else:
            accuracies.append({(costs[0], gammas[0]): answer["score"]})
    return seconds, {key: statistics.mean(fold[key] for fold in accuracies) for key in accuracies[0]}


def scikit_learn(features, classes, folds, costs, gammas, chosen):
    """The same by scikit-learn, on features standardised by each fold's training rows."""
    from sklearn.svm import SVC

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


def pytorch(features, classes, folds, fused, chosen=range(5), epochs=12):
    """CPU-seconds and mean accuracy of the MLP's recipe in PyTorch over five folds."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    accuracies = []
    begin = time.process_time()
    for fold in chosen:
        torch.manual_seed(fold)
        draw = np.random.default_rng(fold)
        train, test = folds != fold, folds == fold
        mean, deviation = features[train].mean(0), features[train].std(0)
        x = torch.from_numpy((features[train] - mean) / deviation)
        y = torch.from_numpy(np.eye(CLASSES, dtype=np.float32)[classes[train]])
        layers, width = [nn.Dropout(0.2)], features.shape[1]
        for units in (256, 256, 256):
            layers += [nn.Linear(width, units), nn.BatchNorm1d(units), nn.ReLU(), nn.Dropout(0.4)]
            width = units
        network = nn.Sequential(*layers, nn.Linear(width, CLASSES))
        batch, n = 250, len(x)
        optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05, fused=fused)
        steps = epochs * (n // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        loss = nn.CrossEntropyLoss()
        asked = torch.from_numpy((features[test] - mean) / deviation)
        answers = torch.from_numpy(classes[test].astype(np.int64))
        best = (np.inf, 0.0)
        for _ in range(epochs):
            network.train()
            order = torch.from_numpy(draw.permutation(n))
            for first in range(0, n - batch + 1, batch):
                rows = order[first : first + batch]
                partners = torch.from_numpy(draw.permutation(batch))
                share = torch.from_numpy(draw.beta(0.4, 0.4, (batch, 1)).astype(np.float32))
                one, goal = x[rows], y[rows]
                one = share * one + (1 - share) * one[partners]
                goal = share * goal + (1 - share) * goal[partners]
                optimiser.zero_grad()
                loss(network(one), goal).backward()
                optimiser.step()
                schedule.step()
            # The epoch with the lowest loss counts, as with ours.
            network.eval()
            with torch.no_grad():
                predicted = network(asked)
                judged = float(nn.functional.cross_entropy(predicted, answers))
            right = float((predicted.argmax(1) == answers).double().mean())
            best = min(best, (judged, right))
        accuracies.append(best[1])
    return time.process_time() - begin, statistics.mean(accuracies)


def five_folds(rows):
    return (np.arange(rows) % 5).astype(np.int32)


def compare(kind, rows, arguments):
    """A line of the table: ours next to a peer."""
    asked = rows
    if kind == "single":
        rows += rows // 4
    features, classes = made_up(rows, TAPS if kind == "mlp" else FEATURES)
    folds = five_folds(rows)
    costs, gammas, chosen = ([4.0], [0.5], [0]) if kind == "single" else (COSTS, GAMMAS, range(5))
    seconds, best = ([], []), 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        save(directory, features, classes, folds)
        for _ in range(arguments.repeat):
            if kind == "mlp":
                answers, spent, _ = ours(arguments.binary, directory, "mlp", {}, range(5))
                our = {(): statistics.mean(answer["score"] for answer in answers)}
                seconds[0].append(spent)
                spent, accuracy = pytorch(features, classes, folds, arguments.torch_fused)
                their = {(): accuracy}
            else:
                spent, our = svm(arguments.binary, directory, costs, gammas, chosen)
                seconds[0].append(spent)
                spent, their = scikit_learn(features, classes, folds, costs, gammas, chosen)
            seconds[1].append(spent)
            best, other_best = max(our.values()), max(their.values())
            difference = max((our[key] - their[key] for key in their), key=abs)
            print(f"{kind} {rows}: {seconds} {best:.4f} {other_best:.4f}", file=sys.stderr)
    one, other = map(statistics.median, seconds)
    peer = "PyTorch" if kind == "mlp" else "scikit-learn"
    cells = [kind, f"{asked:,}", str(arguments.repeat), f"{one:.2f}", peer, f"{other:.1f}", f"{other / one:.1f}"]
    cells += [f"{100 * difference:+.2f}", f"{100 * best:.1f} %", f"{100 * other_best:.1f} %"]
    return "| " + " | ".join(cells) + " |"


def growth(sizes, arguments):
    """Seconds and memory by number of training rows, as (head, rows, seconds, GB, accuracy, how)."""
    found = []
    for rows in sizes:
        asked = rows // 4
        features, classes = made_up(rows + asked)
        folds = np.where(np.arange(rows + asked) < rows, 1, 0).astype(np.int32)
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
            directory = Path(name)
            save(directory, features, classes, folds)
            del features
            for head, settings in (("mlp", {}), ("svm", {"svm": {"cost": [4.0], "gamma": [0.5], "memory": 4.0}})):
                answers, seconds, memory = ours(arguments.binary, directory, head, settings, [0])
                how = [note for note in answers[0]["notes"] if "landmarks" in note]
                how = how[0].split(",")[0] if how else "exact" if head == "svm" else ""
                found.append((head, rows, seconds, memory, answers[0]["score"], how))
                print(*found[-1], file=sys.stderr)
    return found


def plot(found, path):
    """CPU-seconds over rows, both by powers of ten, as an SVG."""
    left, top, width, height = 70, 30, 560, 340
    rows, seconds = [line[1] for line in found], [line[2] for line in found]
    exponents = lambda values: (int(np.floor(np.log10(min(values)))), int(np.ceil(np.log10(max(values)))))  # noqa: E731
    (x0, x1), (y0, y1) = exponents(rows), exponents(seconds)
    x = lambda value: left + width * (np.log10(value) - x0) / max(x1 - x0, 1)  # noqa: E731
    y = lambda value: top + height * (1 - (np.log10(value) - y0) / max(y1 - y0, 1))  # noqa: E731
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {top + height + 60}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
    ]
    for power in range(x0, x1 + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {top}v{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 20}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y0, y1 + 1):
        at = y(10.0**power)
        parts.append(f'<path d="M{left} {at:.1f}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for head, colour in (("mlp", "#0072b2"), ("svm", "#d55e00")):
        points = [(x(line[1]), y(line[2])) for line in found if line[0] == head]
        path_of = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in points]
        a, b = points[-1]
        parts.append(f'<text x="{a + 10:.1f}" y="{b + 4:.1f}" fill="{colour}">{head}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 45}" text-anchor="middle">training rows x {FEATURES}</text>')
    parts.append(f'<text x="{left}" y="{top - 10}">CPU-seconds, one thread</text></svg>')
    Path(path).write_text("\n".join(parts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = lambda text: [int(part) for part in text.split(",") if part]  # noqa: E731
    for part in ("grid", "single", "mlp", "growth"):
        parser.add_argument(f"--{part}", type=sizes, default=[], metavar="ROWS,...")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each program, one after the other; medians are reported")
    parser.add_argument("--torch-fused", action="store_true", help="PyTorch's fused AdamW instead of its default")
    parser.add_argument("--plot", help="where to write the growth as an SVG")
    parser.add_argument("--scratch", help="a directory with room for 2.6 GB, for 1,000,000 rows")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", default=str(Path(target) / "release/examples/folds"))
    arguments = parser.parse_args()
    if not any(getattr(arguments, part) for part in ("grid", "single", "mlp", "growth")):
        parser.error("nothing to measure: give --grid, --single, --mlp or --growth with numbers of rows, as in --grid 2500")
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line]
    print(f"- machine: {model[0] if model else platform.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"- commit: {commit}; command: `scripts/bench_heads.py {' '.join(sys.argv[1:])}`")
    compared = [(kind, rows) for kind in ("grid", "single", "mlp") for rows in getattr(arguments, kind)]
    if compared:
        print()
        print("| what | rows | runs | facefold, CPU-s | peer | peer, CPU-s | ratio | largest difference in accuracy, points | best accuracy | peer's best |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for kind, rows in compared:
            print(compare(kind, rows, arguments), flush=True)
    if arguments.growth:
        found = growth(arguments.growth, arguments)
        print()
        print("| head | training rows | CPU-s | most memory, GB | accuracy | how |")
        print("| --- | --- | --- | --- | --- | --- |")
        for head, rows, seconds, memory, score, how in found:
            print(f"| {head} | {rows:,} | {seconds:.1f} | {memory:.2f} | {100 * score:.1f} % | {how} |")
        if arguments.plot:
            plot(found, arguments.plot)


if __name__ == "__main__":
    main()
