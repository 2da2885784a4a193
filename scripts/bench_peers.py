#!/usr/bin/env python3
"""Measures facefold against onnxruntime + OpenCV and against the insightface package.

    scripts/bench_peers.py --quick                  a few rounds, some three minutes on a quiet machine once all is built
    scripts/bench_peers.py --rounds 9 --out results/bench/engine.md

All take turns in one run, so that what else the machine does meets all of them; figures are medians
over the rounds. On a shared machine whoever has the other half of a core slows AMX two to four times
and other registers by a third, for moments or for hours. So each measurement waits until the cores that
it uses are quiet, and is made again if they no longer are at its end: a short run of a network before
and after it, the same for all, takes at most 1.2 times its shortest. Where all that runs on as many
threads was quiet in three rounds or more, those count; else all rounds of all do. The peers:
`onnxruntime` is a script written straight on onnxruntime, OpenCV and numpy, `insightface` the package
of that name where pip installs it. Both get facefold's input side, threshold and, onnxruntime, its
retries; each process of a peer keeps to one core, as each thread of facefold does, and there are as
many of them. onnxruntime embeds in the batch that suits it best: on the pipeline and in the stages that is
settled in a first round which does not count. A table stops early, after three rounds or more, when it
has had its time; all takes half an hour to three quarters. No one decodes at reduced size. The whole pipeline of
facefold is the command `facefold extract` from its start to its end, with its store; the peers' pipeline
starts with the networks loaded and ends with embeddings in a .npy file. With few pictures, as with
--quick, starting the command weighs much; --faces leaves time for more of one kind. Its detector runs in
bf16x3 where bf16 is asked for, so the stage `detect` in bf16 is not on its pipeline.

Needs cargo, python3 with pip, and pictures: FACEFOLD_TEST_DATA names a folder with `utkface/images`
and `wiki-gender-age`, whose pictures are enlarged to 816 x 816. Makes a virtual environment, the
enlarged pictures, and an untrained IResNet-50 where the models have none, under target/bench-peers.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv

from bench_peers_pipelines import STORES, Package, Peer, Straight

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench-peers"
PRECISIONS = {"amx": ["bf16", "bf16x3"], "avx512": ["f32"], "avx2": ["f32"], "portable": ["f32"]}
PACKAGES = ["numpy", "onnx", "onnxruntime", "opencv-python-headless"]
INSIGHTFACE = ["insightface", "scipy", "scikit-image", "requests", "tqdm"]
BATCHES = (1, 8, 32)
# Target ratios to onnxruntime's best on one thread; on all cores nine tenths of each.
WANTED = {
    ("w600k_mbf", "amx bf16"): 9.0,
    ("w600k_mbf", "amx bf16x3"): 4.5,
    ("w600k_mbf", "avx512 f32"): 2.4,
    ("w600k_mbf", "avx2 f32"): 1.2,
    ("IResNet-50", "amx bf16"): 6.5,
    ("IResNet-50", "amx bf16x3"): 2.5,
    ("IResNet-50", "avx512 f32"): 1.2,
    ("SCRFD-500M 640x640", "amx bf16x3"): 3.0,
}
# Pictures per second of processor on one thread, and of wall clock on all, at default precision.
TARGET_PIPELINE = ("amx bf16x3", 3.5)
PEERS = ("onnxruntime", "insightface")
# Seconds after which a table makes no further round, once it has made three.
PATIENCE = {"networks": 200, "stages": 100, "pipeline": 400}
# A measurement counts where a probe before and after it took at most this many times the shortest one.
QUIET = 1.2
# Attempts at a measurement, and seconds to wait for quiet before each.
ATTEMPTS, WAIT = 4, 1.0


def enter_environment():
    """Goes on in a virtual environment of this script's own."""
    python = WORK / "venv" / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == (WORK / "venv").resolve():
        return
    if not python.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        venv.create(WORK / "venv", with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *PACKAGES], check=True)
        # Without its dependencies: they name another build of OpenCV.
        if subprocess.run([*pip, *INSIGHTFACE[1:]]).returncode == 0:
            subprocess.run([*pip, "--no-deps", INSIGHTFACE[0]])
    os.execv(python, [python, *sys.argv])


# facefold.


class Facefold:
    """The example `peers`, which measures one stage at a time."""

    def __init__(self, binary):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([binary], stdin=pipe, stdout=pipe, text=True)

    def on(self, cores, **request):
        """Measures on these cores, with a thread for each."""
        # Its threads are started anew for each request, where the first one may run.
        os.sched_setaffinity(self.process.pid, cores)
        return self.ask(threads=len(cores), **request)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "wall" not in answer:
            return answer
        return answer["pictures"], answer["wall"], answer["processor"]


def extract(cores, binary, folder, models, precision, kernel):
    """The command, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=STORES) as store:
        environment = dict(os.environ, FACEFOLD_MODELS=str(models), FACEFOLD_ENGINE=kernel)
        command = [binary, "extract", "folder", folder, "--store", f"{store}/store", "--offline", "--json"]
        command += ["--precision", precision, "--threads", str(len(cores))]
        before, start = os.times(), time.perf_counter()
        allow = lambda: os.sched_setaffinity(0, cores)
        result = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=allow)
        wall, after = time.perf_counter() - start, os.times()
        if result.returncode:
            sys.exit(f"{' '.join(map(str, command))}: {result.stderr}")
    processor = sum(after[2:4]) - sum(before[2:4])
    return len(list((pathlib.Path(folder) / "pictures").iterdir())), wall, processor


# The run.


class Gate:
    """Measures whether cores are quiet, by how long a network takes on each."""

    def __init__(self, binary, model, cores):
        self.request = {"stage": "network", "model": model, "side": 112, "rounds": 2}
        self.probes = {core: Facefold(binary) for core in cores}
        self.shortest = {core: min(self.probe(core) for _ in range(100)) for core in cores}

    def probe(self, core):
        return self.probes[core].on([core], **self.request)[1]

    def quiet(self, cores):
        seconds = {core: self.probe(core) for core in cores}
        self.shortest |= {core: min(self.shortest[core], taken) for core, taken in seconds.items()}
        return all(taken <= QUIET * self.shortest[core] for core, taken in seconds.items())

    def wait(self, threads):
        """Cores for so many threads, and whether they are quiet: after a while those that there are."""
        choices = [[core] for core in self.probes] if threads == 1 else [list(self.probes)[:threads]]
        start = time.monotonic()
        while time.monotonic() - start < WAIT:
            for cores in choices:
                if self.quiet(cores):
                    return cores, True
            time.sleep(0.02)
        return choices[0], False


class Table:
    """Measurements that take turns, and what came of them."""

    def __init__(self, gate):
        self.gate, self.items, self.seconds, self.rounds = gate, [], {}, 0

    def add(self, key, threads, measure):
        """`measure` gets the cores that it may use, one a thread."""
        self.items.append((key, threads, measure))

    def round(self):
        for key, threads, measure in self.items:
            for _ in range(ATTEMPTS):
                cores, quiet = self.gate.wait(threads)
                done, wall, processor = measure(cores)
                if not quiet:  # Nor may it be soon: an hour's noise must not take hours.
                    break
                if quiet := self.gate.quiet(cores):
                    break
            self.seconds.setdefault(key, []).append((wall / done, processor / done, quiet))

    def run(self, rounds, patience, rivals=()):
        """Rounds that count, after one that does not. Of each of the groups `rivals`, only what was
        fastest in the first round goes on."""
        self.round()
        for group in rivals:
            keys = [key for key in self.seconds if group(key)]
            slow = set(keys) - {max(keys, key=self.rate)}
            self.items = [item for item in self.items if item[0] not in slow]
        self.seconds = {}
        start = time.monotonic()
        while self.rounds < rounds and (self.rounds < 3 or time.monotonic() - start < patience):
            self.round()
            self.rounds += 1

    def counted(self, key):
        """The rounds that count: the quiet ones, where all measurements on as many threads have three.
        One side's quiet rounds are never set next to the other's busy ones."""
        quiet = {other: [taken for taken in self.seconds[other] if taken[2]] for other in self.concurrent(key)}
        return quiet[key] if min(map(len, quiet.values())) >= 3 else self.seconds[key]

    def concurrent(self, key):
        """What is measured on as many threads, with itself."""
        threads_of = {other: threads for other, threads, _ in self.items}
        return [other for other in self.seconds if threads_of.get(other) == threads_of.get(key)]

    def rate(self, key, clock=0):
        return 1 / statistics.median(taken[clock] for taken in self.counted(key))

    def quietness(self, keys):
        """How many rounds were quiet, of how many: the fewest of these measurements."""
        return f"{min(sum(taken[2] for taken in self.seconds[key]) for key in keys)} of {self.rounds}"


def pictures(arguments):
    import cv2

    data = pathlib.Path(os.environ.get("FACEFOLD_TEST_DATA", ROOT / "data"))
    chosen = {}
    for name, folder, side in [("utkface", "utkface/images", None), ("816x816", "wiki-gender-age", 816)]:
        if name not in arguments.faces:
            continue
        paths = sorted((data / folder).rglob("*.jpg"))
        if len(paths) < arguments.pictures:
            sys.exit(f"{data / folder}: expected {arguments.pictures} pictures, found {len(paths)}; set FACEFOLD_TEST_DATA")
        step = len(paths) // arguments.pictures
        target = WORK / f"{name}-{arguments.pictures}" / "pictures"
        if not target.exists():
            target.mkdir(parents=True)
            for number, path in enumerate(paths[: step * arguments.pictures : step]):
                if side is None:
                    shutil.copy(path, target / f"{number:05}.jpg")
                else:
                    large = cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_CUBIC)
                    cv2.imwrite(str(target / f"{number:05}.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 90])
        chosen[name] = target.parent
    return chosen


def kernels():
    flags = pathlib.Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    have = {"amx": "amx_bf16" in flags and "avx512_bf16" in flags, "avx512": "avx512f" in flags, "avx2": "avx2" in flags}
    return [(kernel, p) for kernel, ps in PRECISIONS.items() for p in ps if have.get(kernel, True)]


def networks(arguments, models, gate, facefold, straight, threads_of):
    """Images per second of each network alone, on noise."""
    lines = ["| network | what | threads | " + " | ".join(f"batch {b}" for b in BATCHES) + " | to onnxruntime's best | quiet rounds |", "| --- | --- | ---: |" + " ---: |" * 5]
    rows = []
    # Images of a measurement, at least: a tenth of a second on the fastest kernels.
    sizes = {"SCRFD-500M 640x640": (models["detector"], 640, (1,), 8), "w600k_mbf": (models["mbf"], 112, BATCHES, 32)}
    sizes["IResNet-50"] = (models["r50"], 112, BATCHES[:2] if arguments.quick else BATCHES, 4)
    for name, (model, side, batches, work) in sizes.items():
        table = Table(gate)
        for threads in threads_of:
            for batch in batches:
                rounds = max(work // batch, 1)
                call = (str(model), side, batch, rounds)
                table.add((threads, batch, "onnxruntime"), threads, lambda cores, c=call: straight.ask("network", c, cores))
                for kernel, precision in kernels():
                    if kernel == "portable" and (arguments.quick or name == "IResNet-50" or batch > 1):
                        continue
                    request = {"stage": "network", "model": model, "precision": precision, "kernel": kernel}
                    request |= {"side": side, "batch": batch, "rounds": rounds * batch * threads}
                    # The detector is given bytes, and scales them itself.
                    request |= {"bytes": name.startswith("SCRFD")}
                    table.add((threads, batch, f"{kernel} {precision}"), threads, lambda cores, r=request: facefold.on(cores, **r))
        table.run(arguments.rounds, PATIENCE["networks"])
        for threads in threads_of:
            peer = [key for key in table.seconds if key[0] == threads and key[2] == "onnxruntime"]
            best = [max(table.rate(key, clock) for key in peer) for clock in (0, 1)]
            for what in ["onnxruntime", *(f"{k} {p}" for k, p in kernels())]:
                keys = [(threads, batch, what) for batch in BATCHES]
                there = [key for key in keys if key in table.seconds]
                if not there:
                    continue
                rates = [f"{table.rate(key):.1f}" if key in there else "–" for key in keys]
                ratio, processor = (max(table.rate(key, clock) for key in there) / best[clock] for clock in (0, 1))
                lines.append(f"| {name} | {what} | {threads} | {' | '.join(rates)} | {ratio:.2f} (processor {processor:.2f}) | {table.quietness(there)} |")
                rows.append({"network": name, "what": what, "threads": threads, "ratio": ratio, "processor": processor})
    return lines, rows


def stages(arguments, models, gate, facefold, straight, folders, threads_of):
    """Pictures per second of each stage."""
    lines = ["| pictures | stage | what | threads | a second | to onnxruntime + OpenCV | quiet rounds |", "| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    rows = []
    for name, folder in folders.items():
        count = min(arguments.pictures, 16 if arguments.quick else 32)
        loaded = facefold.ask(stage="load", folder=folder / "pictures", count=count, detector=models["detector"])
        straight.ask("load", loaded["pictures"], straight.cores)
        table, names = Table(gate), []
        for stage in ("decode", "detect", "align", "embed"):
            for threads in threads_of:
                for batch in BATCHES if stage == "embed" else (1,):
                    call = (str(models["mbf"]), batch)
                    key = (stage, threads, f"onnxruntime {batch}")
                    table.add(key, threads, lambda cores, s=stage, c=call: straight.ask(s, c, cores))
                whats = kernels() if stage in ("detect", "embed") else [(None, None)]
                for kernel, precision in whats:
                    if kernel == "portable":
                        continue
                    model = models["detector"] if stage == "detect" else models["mbf"]
                    request = {"stage": stage, "rounds": threads, "batch": 8 if stage == "embed" else 1}
                    if kernel:
                        request |= {"model": model, "kernel": kernel, "precision": precision}
                    what = f"{kernel} {precision}" if kernel else "facefold"
                    table.add((stage, threads, what), threads, lambda cores, r=request: facefold.on(cores, **r))
                    names.append((stage, threads, what))
        rivals = [lambda key, t=threads: key[:2] == ("embed", t) and key[2].startswith("onnxruntime") for threads in threads_of]
        table.run(arguments.rounds, PATIENCE["stages"], rivals)
        for stage, threads, what in names:
            peers = [key for key in table.seconds if key[:2] == (stage, threads) and key[2].startswith("onnxruntime")]
            fastest = max(peers, key=table.rate)
            best, rate = table.rate(fastest), table.rate((stage, threads, what))
            quiet = table.quietness([fastest, (stage, threads, what)])
            lines.append(f"| {name} | {stage} | {what} | {threads} | {rate:.0f} of {best:.0f} | {rate / best:.2f} | {quiet} |")
            rows.append({"pictures": name, "stage": stage, "what": what, "threads": threads, "ratio": rate / best})
    return lines, rows


def pipeline(arguments, models, gate, binary, peers, folders, threads_of):
    """Pictures per second from files to stored embeddings."""
    lines = ["| pictures | what | threads | a second of wall clock | a second of processor | to onnxruntime + OpenCV, wall clock | processor | quiet rounds |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    rows = []
    for name, folder in folders.items():
        paths = [str(path) for path in sorted((folder / "pictures").iterdir())]
        table = Table(gate)
        for threads in threads_of:
            for peer, asked in peers.items():
                for batch in BATCHES if peer == "onnxruntime" else (1,):
                    share = lambda i, b=batch, t=threads: (paths[i::t], str(models["mbf"]), b)
                    table.add((threads, f"{peer} {batch}"), threads, lambda cores, a=asked, s=share: a.ask("pipeline", s, cores))
            for kernel, precision in kernels():
                if kernel == "portable" or (kernel == "avx2" and arguments.quick):
                    continue
                call = (binary, folder, models["folder"], precision, kernel)
                table.add((threads, f"{kernel} {precision}"), threads, lambda cores, c=call: extract(cores, *c))
        rivals = [lambda key, t=threads: key[0] == t and key[1].startswith("onnxruntime") for threads in threads_of]
        table.run(arguments.rounds, PATIENCE["pipeline"], rivals)
        for threads in threads_of:
            straight = [key for key in table.seconds if key[0] == threads and key[1].startswith("onnxruntime")]
            best = [max(table.rate(key, clock) for key in straight) for clock in (0, 1)]
            for key in [key for key in table.seconds if key[0] == threads]:
                wall, processor = table.rate(key), table.rate(key, 1)
                ratios = [wall / best[0], processor / best[1]]
                lines.append(f"| {name} | {key[1]} | {threads} | {wall:.1f} | {processor:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {table.quietness([key])} |")
                rows.append({"pictures": name, "what": key[1], "threads": threads, "wall": ratios[0], "processor": ratios[1]})
    return lines, rows


def against_bounds(found):
    """What is wanted next to what was found, as far as this machine has the kernels."""
    lines = ["| what | threads | wanted | found | |", "| --- | ---: | ---: | ---: | --- |"]

    def line(what, threads, wanted, ratio):
        held = "" if wanted is None else "held" if ratio >= wanted else "not held"
        lines.append(f"| {what} | {threads} | {'–' if wanted is None else f'{wanted:.2f}'} | {ratio:.2f} | {held} |")

    for row in found.get("networks", []):
        wanted = WANTED.get((row["network"], row["what"]))
        if wanted:
            share = 1.0 if row["threads"] == 1 else 0.9
            line(f"{row['network']}, {row['what']}", row["threads"], share * wanted, row["ratio"])
    for row in found.get("pipeline", []):
        if row["what"].startswith(PEERS):
            continue
        wanted = TARGET_PIPELINE[1] if row["what"] == TARGET_PIPELINE[0] else None
        clock = "processor" if row["threads"] == 1 else "wall"
        line(f"whole pipeline, {row['pictures']}, {row['what']}, by {clock}", row["threads"], wanted, row[clock])
    return lines


def machine():
    flags = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in flags if line.startswith("model name")), platform.processor())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{name}, {os.cpu_count()} cores, load average {load}, commit {commit}, {time.strftime('%d %B %Y')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds, few pictures, only the fast kernels on the pipeline")
    parser.add_argument("--rounds", type=int, help="rounds of each table at most (3 with --quick, else 9); a slow table stops after three or more")
    parser.add_argument("--pictures", type=int, help="pictures of each kind (24 with --quick, else 200)")
    parser.add_argument("--models", type=pathlib.Path, default=os.environ.get("FACEFOLD_MODELS"), help="folder with the buffalo_s files (default: FACEFOLD_MODELS, else fetched)")
    parser.add_argument("--no-build", action="store_true", help="take the binaries that are there")
    parser.add_argument("--only", choices=["networks", "stages", "pipeline"], nargs="*", default=["networks", "stages", "pipeline"])
    parser.add_argument("--faces", choices=["utkface", "816x816"], nargs="*", default=["utkface", "816x816"], help="kinds of pictures for the stages and the pipeline")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file; next to it goes a .json")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 9)
    arguments.pictures = arguments.pictures or (24 if arguments.quick else 200)
    enter_environment()
    multiprocessing.set_start_method("spawn")

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for package in [] if arguments.no_build else (["facefold-cli"], ["facefold-vision", "--example", "peers"]):
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", *package], cwd=ROOT, check=True)
    binary = target / "release" / "facefold"
    facefold = Facefold(target / "release" / "examples" / "peers")
    folder = arguments.models
    if folder is None:
        folder = WORK / "models"
        environment = dict(os.environ, FACEFOLD_MODELS=str(folder))
        subprocess.run([binary, "models", "fetch", "buffalo_s"], env=environment, check=True)
    models = {"folder": folder, "detector": folder / "scrfd_500m_bnkps.onnx", "mbf": folder / "w600k_mbf.onnx"}
    models["r50"] = folder / "w600k_r50.onnx"
    if not models["r50"].exists():
        models["r50"] = WORK / "iresnet50.onnx"
        if not models["r50"].exists():
            facefold.ask(stage="export", architecture="iresnet50", model=models["r50"])
    models["package"] = WORK / "package"
    models["package"].mkdir(exist_ok=True)
    for name in ("detector", "mbf"):
        link = models["package"] / models[name].name
        if not link.exists():
            shutil.copy(models[name], link)

    folders = pictures(arguments)
    cores = sorted(os.sched_getaffinity(0))
    threads_of = sorted({1, len(cores)})
    peers = {"onnxruntime": Peer(Straight, models, cores), "insightface": Peer(Package, models, cores)}
    notes = [f"insightface did not run: {peers['insightface'].failure}"] if peers["insightface"].failure else []
    peers = {name: peer for name, peer in peers.items() if not peer.failure}
    straight = peers["onnxruntime"]
    found, begin = {}, machine()
    gate = Gate(facefold.process.args[0], models["mbf"], cores)
    titles = {
        "networks": "Networks alone, images a second of wall clock",
        "stages": "Stages, pictures a second of wall clock",
        "pipeline": "The whole pipeline, files to stored embeddings",
    }
    if "networks" in arguments.only:
        found["networks"] = networks(arguments, models, gate, facefold, straight, threads_of)
    if "stages" in arguments.only:
        found["stages"] = stages(arguments, models, gate, facefold, straight, folders, threads_of)
    if "pipeline" in arguments.only:
        found["pipeline"] = pipeline(arguments, models, gate, binary, peers, folders, threads_of)
    rows = {table: rows for table, (_, rows) in found.items()}
    command = " ".join(["scripts/bench_peers.py", *sys.argv[1:]])
    text = ["# facefold against onnxruntime, OpenCV and insightface", "", f"    {command}", ""]
    text += [f"Start: {begin}.", "", f"End: {machine()}.", ""]
    text += [f"Medians of interleaved rounds, of the quiet ones where all on as many threads have three; {arguments.pictures} pictures of each kind.", "", *notes]
    text += ["", "## Ratios to onnxruntime (and OpenCV)", "", *against_bounds(rows)]
    for table, (lines, _) in found.items():
        text += ["", f"## {titles[table]}", "", *lines]
    print("\n".join(text))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(text) + "\n")
        arguments.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
