#!/usr/bin/env python3
"""Measures facefold against onnxruntime + OpenCV and against the insightface package.

    scripts/bench_peers.py --quick                  a few rounds, some three minutes on a quiet machine once all is built
    scripts/bench_peers.py --rounds 15 --out results/bench/engine.md

All take turns in one run, so that what else the machine does meets all of them; figures are
medians over the rounds. The peers: `onnxruntime` is a script written straight on onnxruntime, OpenCV
and numpy, `insightface` the package of that name where pip installs it. Both get facefold's input
side, threshold and, onnxruntime, its retries; each process of a peer keeps to one core, as each
thread of facefold does, and there are as many of them. onnxruntime embeds in the batch that suits
it best. Nobody decodes at reduced size. The whole road of facefold is the command `facefold extract`
from its start to its end, with its store; the peers' road starts with the networks loaded and ends
with embeddings in a .npy file. With few pictures, as with --quick, starting the command weighs much.
Its detector runs in bf16x3 where bf16 is asked for, so the stage `detect` in bf16 is not on its road.

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

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench-peers"
PRECISIONS = {"amx": ["bf16", "bf16x3"], "avx512": ["f32"], "avx2": ["f32"], "portable": ["f32"]}
PACKAGES = ["numpy", "onnx", "onnxruntime", "opencv-python-headless"]
INSIGHTFACE = ["insightface", "scipy", "scikit-image", "requests", "tqdm"]
BATCHES = (1, 8, 32)
# In memory where there is such a place: how soon a disk says that it has written is not what is measured.
STORES = "/dev/shm" if os.path.isdir("/dev/shm") else None


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


# The peers.


class Straight:
    """The road on onnxruntime and OpenCV, on one thread."""

    def __init__(self, models):
        import numpy

        self.numpy = numpy
        self.detector = self.session(models["detector"])
        self.sessions = {}
        self.template = numpy.array(
            [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
        )

    @staticmethod
    def session(path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, path, batch):
        if path not in self.sessions:
            self.sessions[path] = self.session(path)
        session = self.sessions[path]
        return session.run(None, {session.get_inputs()[0].name: batch})

    def blob(self, pictures, divide):
        import cv2

        return cv2.dnn.blobFromImages(pictures, 1.0 / divide, None, (127.5, 127.5, 127.5), swapRB=True)

    @staticmethod
    def decode(content):
        import cv2

        np = __import__("numpy")
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)

    def attempt(self, picture, side):
        import cv2

        np = self.numpy
        height, width = picture.shape[:2]
        longer = max(height, width)
        new = max(int(side * width / longer), 1), max(int(side * height / longer), 1)
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[: new[1], : new[0]] = cv2.resize(picture, new)
        names = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("score", "bbox", "kps")]
        outputs = self.detector.run(names, {"input.1": self.blob([canvas], 128.0)})
        scale = np.array([width / new[0], height / new[1]])
        found = []
        for index, stride in enumerate((8, 16, 32)):
            scores, boxes, points = (values.reshape(-1, values.shape[-1]) for values in outputs[3 * index : 3 * index + 3])
            anchors = np.flatnonzero(scores[:, 0] >= 0.5)
            cells = side // stride
            corner = np.stack([anchors // 2 % cells, anchors // 2 // cells], 1) * stride
            box = boxes[anchors] * stride
            left = (corner - box[:, :2]) * scale
            right = (corner + box[:, 2:]) * scale
            marks = (corner[:, None] + points[anchors].reshape(-1, 5, 2) * stride) * scale
            found.append(np.concatenate([left, right, scores[anchors], marks.reshape(-1, 10)], 1))
        return self.suppress(np.concatenate(found))

    def suppress(self, faces):
        np = self.numpy
        faces = faces[np.argsort(-faces[:, 4])]
        kept = []
        while len(faces):
            best, faces = faces[0], faces[1:]
            kept.append(best)
            low, high = np.maximum(best[:2], faces[:, :2]), np.minimum(best[2:4], faces[:, 2:4])
            shared = np.clip(high - low + 1, 0, None).prod(1)
            area = (faces[:, 2:4] - faces[:, :2] + 1).prod(1)
            faces = faces[shared / (area + (best[2:4] - best[:2] + 1).prod() - shared) <= 0.4]
        return kept

    def detect(self, picture):
        """Landmarks of the main face, or nothing."""
        np = self.numpy
        side = lambda longer: -(-min(max(longer, 256), 640) // 32) * 32
        height, width = picture.shape[:2]
        pad, faces = 0, self.attempt(picture, side(max(height, width)))
        if not faces:
            pad = max(height, width) // 4
            padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)))
            first = side(max(padded.shape[:2]))
            faces = self.attempt(padded, first) or self.attempt(padded, 320 if first == 640 else 640)
        if not faces:
            return None

        def prominence(face):
            offset = (face[:2] + face[2:4]) / 2 - pad - np.array([width, height]) / 2
            return (face[2:4] - face[:2]).prod() - 2 * (offset**2).sum()

        return max(faces, key=prominence)[5:].reshape(5, 2) - pad

    def align(self, picture, landmarks):
        import cv2

        np = self.numpy
        # Umeyama's similarity in two dimensions: a regression of complex numbers.
        p, q = (points[:, 0] + 1j * points[:, 1] for points in (landmarks, self.template))
        a = p - p.mean()
        turn = (a.conj() @ (q - q.mean())) / (a.conj() @ a).real
        shift = q.mean() - turn * p.mean()
        matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        return cv2.warpAffine(picture, matrix, (112, 112))

    def embed(self, path, crops):
        return self.run(path, self.blob(crops, 127.5))[0]

    def road(self, paths, model, batch):
        crops, rows = [], []
        for path in paths:
            picture = self.decode(pathlib.Path(path).read_bytes())
            landmarks = None if picture is None else self.detect(picture)
            if landmarks is not None:
                crops.append(self.align(picture, landmarks))
            if len(crops) == batch:
                rows.append(self.embed(model, crops))
                crops = []
        if crops:
            rows.append(self.embed(model, crops))
        return self.store(rows, paths)

    def store(self, rows, paths):
        """Pictures done: those without a face cost time too."""
        with tempfile.TemporaryDirectory(dir=STORES) as folder:
            self.numpy.save(f"{folder}/embeddings.npy", self.numpy.concatenate(rows or [[]]))
        return len(paths)


class Package(Straight):
    """The insightface package, used as its documentation shows."""

    def __init__(self, models):
        super().__init__(models)
        from insightface.app import FaceAnalysis

        allowed = ["detection", "recognition"]
        self.app = FaceAnalysis(str(models["package"]), allowed_modules=allowed, providers=["CPUExecutionProvider"])
        self.side = None

    def road(self, paths, model, batch):
        rows = []
        for path in paths:
            picture = self.decode(pathlib.Path(path).read_bytes())
            height, width = picture.shape[:2]
            side = -(-min(max(height, width, 256), 640) // 32) * 32
            if side != self.side:
                self.app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(side, side))
                self.side = side
            faces = self.app.get(picture, max_num=1)
            rows.extend(face.embedding[None] for face in faces)
        return self.store(rows, paths)


def serve(kind, models, core, pipe):
    """A peer's process: does what it is told, on one core."""
    os.sched_setaffinity(0, {core})
    try:
        peer = kind(models)
        pipe.send(None)
    except Exception as error:  # The package may be missing or have changed.
        pipe.send(repr(error))
        return
    kept = {}
    while True:
        stage, arguments = pipe.recv()
        if stage == "load":
            pictures = [pathlib.Path(path).read_bytes() for path in arguments]
            kept = {"content": pictures, "pictures": [peer.decode(content) for content in pictures]}
            kept["landmarks"] = [peer.detect(picture) for picture in kept["pictures"]]
            faces = [pair for pair in zip(kept["pictures"], kept["landmarks"]) if pair[1] is not None]
            kept["faces"] = faces
            kept["crops"] = [peer.align(*face) for face in faces]
        before, start = time.process_time(), time.perf_counter()
        done = work(peer, kept, stage, arguments)
        pipe.send((done, time.perf_counter() - start, time.process_time() - before))


def work(peer, kept, stage, arguments):
    if stage == "decode":
        return len([peer.decode(content) for content in kept["content"]])
    if stage == "detect":
        return len([peer.detect(picture) for picture in kept["pictures"]])
    if stage == "align":
        return len([peer.align(*face) for face in kept["faces"]])
    if stage == "embed":
        model, batch = arguments
        crops = kept["crops"]
        return sum(len(peer.embed(model, crops[i : i + batch])) for i in range(0, len(crops), batch))
    if stage == "network":
        model, side, batch, rounds = arguments
        noise = peer.numpy.random.default_rng(0).standard_normal((batch, 3, side, side), dtype="float32")
        for _ in range(rounds):
            peer.run(model, noise)
        return rounds * batch
    if stage == "road":
        return peer.road(*arguments)
    return 0


class Peer:
    """As many processes of a peer as there are cores."""

    def __init__(self, kind, models, cores):
        self.pipes, self.failure = [], None
        for core in cores:
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=serve, args=(kind, models, core, theirs), daemon=True)
            process.start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            self.failure = pipe.recv() or self.failure

    def ask(self, stage, arguments, threads):
        """Pictures, wall-clock seconds, processor seconds; `arguments` gives each process its own."""
        start = time.perf_counter()
        for number, pipe in enumerate(self.pipes[:threads]):
            pipe.send((stage, arguments(number) if callable(arguments) else arguments))
        answers = [pipe.recv() for pipe in self.pipes[:threads]]
        wall = time.perf_counter() - start
        return sum(a[0] for a in answers), wall, sum(a[2] for a in answers)


# facefold.


class Facefold:
    """The example `peers`, which measures one stage at a time."""

    def __init__(self, binary):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([binary], stdin=pipe, stdout=pipe, text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "wall" not in answer:
            return answer
        return answer["pictures"], answer["wall"], answer["processor"]


def extract(binary, folder, models, precision, kernel, threads):
    """The command, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=STORES) as store:
        environment = dict(os.environ, FACEFOLD_MODELS=str(models), FACEFOLD_ENGINE=kernel)
        command = [binary, "extract", "folder", folder, "--store", f"{store}/store", "--offline", "--json"]
        command += ["--precision", precision, "--threads", str(threads)]
        before, start = os.times(), time.perf_counter()
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        wall, after = time.perf_counter() - start, os.times()
        if result.returncode:
            sys.exit(f"{' '.join(map(str, command))}: {result.stderr}")
    processor = sum(after[2:4]) - sum(before[2:4])
    return len(list((pathlib.Path(folder) / "pictures").iterdir())), wall, processor


# The run.


class Table:
    """Measurements that take turns, and what came of them."""

    def __init__(self):
        self.items, self.seconds = [], {}

    def add(self, key, measure):
        self.items.append((key, measure))

    def run(self, rounds):
        for round in range(rounds + 1):
            for key, measure in self.items:
                done, wall, processor = measure()
                # The first round warms up.
                if round:
                    self.seconds.setdefault(key, []).append((wall / done, processor / done))

    def rate(self, key, clock=0):
        return 1 / statistics.median(pair[clock] for pair in self.seconds[key])


def pictures(arguments):
    import cv2

    data = pathlib.Path(os.environ.get("FACEFOLD_TEST_DATA", ROOT / "data"))
    chosen = {}
    for name, folder, side in [("utkface", "utkface/images", None), ("816x816", "wiki-gender-age", 816)]:
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


def networks(arguments, models, facefold, straight, threads_of):
    """Images per second of each network alone, on noise."""
    table, rows = Table(), []
    sizes = {"SCRFD-500M 640x640": (models["detector"], 640, (1,)), "w600k_mbf": (models["mbf"], 112, BATCHES)}
    sizes["IResNet-50"] = (models["r50"], 112, BATCHES[:2] if arguments.quick else BATCHES)
    for name, (model, side, batches) in sizes.items():
        work = 8 if arguments.quick or side == 640 else 32
        for threads in threads_of:
            for batch in batches:
                rounds = max(work // batch, 1)
                call = (str(model), side, batch, rounds)
                table.add((name, threads, batch, "onnxruntime"), lambda c=call, t=threads: straight.ask("network", c, t))
                for kernel, precision in kernels():
                    if kernel == "portable" and (arguments.quick or name == "IResNet-50"):
                        continue
                    request = {"stage": "network", "model": model, "precision": precision, "kernel": kernel}
                    request |= {"side": side, "batch": batch, "threads": threads, "rounds": rounds * batch * threads}
                    table.add((name, threads, batch, f"{kernel} {precision}"), lambda r=request: facefold.ask(**r))
    table.run(arguments.rounds)
    lines = ["| network | what | threads | " + " | ".join(f"batch {b}" for b in BATCHES) + " | to onnxruntime's best |", "| --- | --- | ---: |" + " ---: |" * 4]
    for name, (_, _, batches) in sizes.items():
        for threads in threads_of:
            best = max(table.rate((name, threads, b, "onnxruntime")) for b in batches)
            best_processor = max(table.rate((name, threads, b, "onnxruntime"), 1) for b in batches)
            for what in ["onnxruntime", *(f"{k} {p}" for k, p in kernels())]:
                keys = [(name, threads, b, what) for b in batches]
                if keys[0] not in table.seconds:
                    continue
                rates = [f"{table.rate(key):.1f}" for key in keys] + ["–"] * (3 - len(keys))
                ratio = max(table.rate(key) for key in keys) / best
                processor = max(table.rate(key, 1) for key in keys) / best_processor
                lines.append(f"| {name} | {what} | {threads} | {' | '.join(rates)} | {ratio:.2f} (processor {processor:.2f}) |")
                rows.append({"network": name, "what": what, "threads": threads, "ratio": ratio, "processor": processor})
    return lines, rows


def stages(arguments, models, facefold, straight, folders, threads_of):
    """Pictures per second of each stage."""
    lines = ["| pictures | stage | what | threads | a second | to onnxruntime + OpenCV |", "| --- | --- | --- | ---: | ---: | ---: |"]
    rows = []
    for name, folder in folders.items():
        count = min(arguments.pictures, 16 if arguments.quick else 64)
        loaded = facefold.ask(stage="load", folder=folder / "pictures", count=count, detector=models["detector"])
        for threads in {1, max(threads_of)}:
            straight.ask("load", loaded["pictures"], threads)
        table, names = Table(), []
        for stage in ("decode", "detect", "align", "embed"):
            for threads in threads_of:
                for batch in BATCHES if stage == "embed" else (1,):
                    call = (str(models["mbf"]), batch)
                    key = (stage, threads, f"onnxruntime {batch}")
                    table.add(key, lambda s=stage, c=call, t=threads: straight.ask(s, c, t))
                whats = kernels() if stage in ("detect", "embed") else [(None, None)]
                for kernel, precision in whats:
                    if kernel == "portable":
                        continue
                    model = models["detector"] if stage == "detect" else models["mbf"]
                    request = {"stage": stage, "threads": threads, "rounds": threads, "batch": 8 if stage == "embed" else 1}
                    if kernel:
                        request |= {"model": model, "kernel": kernel, "precision": precision}
                    what = f"{kernel} {precision}" if kernel else "facefold"
                    table.add((stage, threads, what), lambda r=request: facefold.ask(**r))
                    names.append((stage, threads, what))
        table.run(arguments.rounds)
        for stage, threads, what in names:
            peers = [key for key in table.seconds if key[:2] == (stage, threads) and key[2].startswith("onnxruntime")]
            best = max(map(table.rate, peers))
            rate = table.rate((stage, threads, what))
            lines.append(f"| {name} | {stage} | {what} | {threads} | {rate:.0f} of {best:.0f} | {rate / best:.2f} |")
            rows.append({"pictures": name, "stage": stage, "what": what, "threads": threads, "ratio": rate / best})
    return lines, rows


def road(arguments, models, binary, peers, folders, threads_of):
    """Pictures per second from files to stored embeddings."""
    lines = ["| pictures | what | threads | a second of wall clock | a second of processor | to onnxruntime + OpenCV, wall clock | processor |", "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    rows = []
    for name, folder in folders.items():
        paths = [str(path) for path in sorted((folder / "pictures").iterdir())]
        table, ours = Table(), []
        for threads in threads_of:
            for peer, asked in peers.items():
                for batch in BATCHES if peer == "onnxruntime" else (1,):
                    share = lambda i, b=batch, t=threads: (paths[i::t], str(models["mbf"]), b)
                    table.add((threads, f"{peer} {batch}"), lambda a=asked, s=share, t=threads: a.ask("road", s, t))
            for kernel, precision in kernels():
                if kernel in ("portable", "avx2") and arguments.quick:
                    continue
                call = (binary, folder, models["folder"], precision, kernel, threads)
                table.add((threads, f"{kernel} {precision}"), lambda c=call: extract(*c))
                ours.append((threads, f"{kernel} {precision}"))
        table.run(arguments.rounds)
        for threads in threads_of:
            straight = [key for key in table.seconds if key[0] == threads and key[1].startswith("onnxruntime")]
            best = [max(table.rate(key, clock) for key in straight) for clock in (0, 1)]
            for key in [key for key in table.seconds if key[0] == threads]:
                wall, processor = table.rate(key), table.rate(key, 1)
                ratios = [wall / best[0], processor / best[1]]
                lines.append(f"| {name} | {key[1]} | {threads} | {wall:.1f} | {processor:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
                rows.append({"pictures": name, "what": key[1], "threads": threads, "wall": ratios[0], "processor": ratios[1]})
    return lines, rows


def machine():
    flags = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in flags if line.startswith("model name")), platform.processor())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{name}, {os.cpu_count()} cores, load average {load}, commit {commit}, {time.strftime('%d %B %Y')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds, few pictures, only the fast kernels on the road")
    parser.add_argument("--rounds", type=int, help="rounds of each table (3 with --quick, else 9)")
    parser.add_argument("--pictures", type=int, help="pictures of each kind (24 with --quick, else 400)")
    parser.add_argument("--models", type=pathlib.Path, default=os.environ.get("FACEFOLD_MODELS"), help="folder with the buffalo_s files (default: FACEFOLD_MODELS, else fetched)")
    parser.add_argument("--no-build", action="store_true", help="take the binaries that are there")
    parser.add_argument("--only", choices=["networks", "stages", "road"], nargs="*", default=["networks", "stages", "road"])
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file; beside it goes a .json")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 9)
    arguments.pictures = arguments.pictures or (24 if arguments.quick else 400)
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
    if "networks" in arguments.only:
        found["Networks alone, images a second of wall clock"] = networks(arguments, models, facefold, straight, threads_of)
    if "stages" in arguments.only:
        found["Stages, pictures a second of wall clock"] = stages(arguments, models, facefold, straight, folders, threads_of)
    if "road" in arguments.only:
        found["The whole road, files to stored embeddings"] = road(arguments, models, binary, peers, folders, threads_of)
    command = " ".join(["scripts/bench_peers.py", *sys.argv[1:]])
    text = ["# facefold against onnxruntime, OpenCV and insightface", "", f"    {command}", ""]
    text += [f"Start: {begin}.", "", f"End: {machine()}.", "", f"Medians of {arguments.rounds} interleaved rounds, {arguments.pictures} pictures of each kind.", "", *notes]
    for title, (lines, _) in found.items():
        text += ["", f"## {title}", "", *lines]
    print("\n".join(text))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(text) + "\n")
        rows = {title: rows for title, (_, rows) in found.items()}
        arguments.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
