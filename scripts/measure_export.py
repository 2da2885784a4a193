#!/usr/bin/env python3
"""Measures exported ONNX files, run by onnxruntime, against `facefold predict` on held-out pictures.

    cargo build --release --locked
    scripts/measure_export.py --store stores/utkface --images data/utkface --out results/bench/export.md

Trains gender and age on a store without the label rows of one fold, exports the bundle behind its
network in each of the ways weights are stored, and asks facefold and the files about that fold's
pictures. No subject is in two folds. Files get crops that are cut here, by the landmarks that the
store keeps; facefold finds and cuts the faces itself. The store is only read: training sees a
copy of its label rows next to links to its shards.

Needs a store of UTKFace with taps (`facefold extract utkface data/utkface --store stores/utkface
--taps`) and python3 with pip; makes a virtual environment under target/measure-export.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "measure-export"
PACKAGES = ["numpy", "onnxruntime", "pillow", "pyarrow"]
STORAGES = ["f32", "f16", "int8"]
# Where eyes, nose and mouth corners lie in a crop: `TEMPLATE` in crates/vision/src/align.rs.
TEMPLATE = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
]
BATCH = 32
TURNS = 7


def enter_environment():
    """Goes on in a virtual environment of this script's own, where the packages are not there."""
    python = WORK / "venv" / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == (WORK / "venv").resolve():
        return
    try:
        import numpy, onnxruntime, PIL, pyarrow  # noqa: E401, F401

        return
    except ImportError:
        pass
    if not python.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        venv.create(WORK / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execv(python, [python, *sys.argv])


def settings(arguments):
    """The head's settings, as arguments of `facefold train`."""
    return [word for setting in arguments.set for word in ("--set", setting)]


def command(arguments):
    """The line that repeats this measurement, with the places that the documentation uses."""
    words = ["scripts/measure_export.py", "--store", "stores/utkface", "--images", "data/utkface", *settings(arguments)]
    if arguments.pictures:
        words += ["--pictures", str(arguments.pictures)]
    return shlex.join([*words, "--out", "results/bench/export.md"])


def training_store(store, fold, to):
    """A store in `to` whose label rows are those of `store` outside of a fold."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for folder in ("shards", "derived"):
        (to / folder).mkdir(parents=True)
        for path in (store / folder).glob("*.*"):
            (to / folder / path.name).symlink_to(path.resolve())
    for name in ("store.json", "log", "lock"):
        shutil.copy(store / name, to / name)
    samples = pq.read_table(store / "samples.parquet")
    kept = pc.fill_null(pc.not_equal(samples["fold"], fold), False)
    pq.write_table(samples.filter(kept), to / "samples.parquet", compression="zstd")


def test_rows(store, fold):
    """Path, age, gender and landmarks of the usable label rows of a fold."""
    import pyarrow.parquet as pq

    landmarks = {}
    for shard in sorted((store / "shards").glob("embeddings-*.parquet")):
        table = pq.read_table(shard, columns=["key", "face", "variant", "landmarks"])
        for row in table.to_pylist():
            if row["face"] == 0 and row["variant"] == 0:
                landmarks[row["key"]] = row["landmarks"]
    for row in pq.read_table(store / "samples.parquet").to_pylist():
        known = row["gender"] and row["raw_age"].isdigit() and row["key"] in landmarks
        if row["fold"] == fold and known and not row["label_conflict"]:
            yield row["path"], float(row["raw_age"]), row["gender"], landmarks[row["key"]]


def cut(picture, landmarks):
    """The crop of 112 x 112 that facefold cuts: crates/vision/src/align.rs."""
    import numpy as np

    points = np.array(landmarks, np.float64).reshape(5, 2) @ [1, 1j]
    wanted = np.array(TEMPLATE, np.float32).astype(np.float64) @ [1, 1j]
    offsets = points - points.mean()
    turn = (offsets.conj() * (wanted - wanted.mean())).sum() / (abs(offsets) ** 2).sum()
    y, x = np.mgrid[:112, :112]
    at = (x + 1j * y - (wanted.mean() - turn * points.mean())) / turn
    left, top = np.floor(at.real).astype(int), np.floor(at.imag).astype(int)
    fx = (at.real - left).astype(np.float32)[..., None]
    fy = (at.imag - top).astype(np.float32)[..., None]
    height, width = picture.shape[:2]
    padded = np.zeros((height + 2, width + 2, 3), np.float32)
    padded[1:-1, 1:-1] = picture

    def pixel(x, y):
        return padded[np.clip(y, -1, height) + 1, np.clip(x, -1, width) + 1]

    above = pixel(left, top) + (pixel(left + 1, top) - pixel(left, top)) * fx
    below = pixel(left, top + 1) + (pixel(left + 1, top + 1) - pixel(left, top + 1)) * fx
    return np.rint(above + (below - above) * fy)


def crops(images, rows):
    """n x 3 x 112 x 112, a row a picture."""
    import numpy as np
    from PIL import Image, ImageOps

    for path, _, _, landmarks in rows:
        with Image.open(images / path) as picture:
            upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        yield cut(upright, landmarks).transpose(2, 0, 1).astype(np.float32)


def by_facefold(facefold, bundle, images, rows):
    """Years and the probability of `male` that `facefold predict` predicts, a row a picture."""
    import numpy as np

    paths = "\n".join(str(images / path) for path, *_ in rows)
    command = [facefold, "predict", "--bundle", bundle, "--offline", "--json", "-"]
    run = subprocess.run(command, input=paths, stdout=subprocess.PIPE, text=True, check=True)
    answers = {answer["path"]: answer for answer in json.loads(run.stdout)}
    predicted = [answers[str(images / path)] for path, *_ in rows]
    men = [dict(answer["gender"]["probabilities"])["male"] for answer in predicted]
    return np.array([answer["age"] for answer in predicted]), np.array(men)


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def by_file(path, pictures):
    """Years and the probability of `male` that a file predicts, a row a picture."""
    import numpy as np

    file = session(path, len(os.sched_getaffinity(0)))
    male = json.loads(file.get_modelmeta().custom_metadata_map["classes.gender"]).index("male")
    batches = [pictures[at : at + BATCH] for at in range(0, len(pictures), BATCH)]
    predicted = [file.run(["age", "gender_probability"], {"crop": batch}) for batch in batches]
    years, genders = (np.concatenate(parts) for parts in zip(*predicted))
    return years, genders[:, male]


def speeds(paths, pictures):
    """Milliseconds of processor a face on one thread, one at a time and in batches; the files take
    turns."""
    import numpy as np

    files = [session(path, 1) for path in paths]
    spent = [[[], []] for _ in files]
    for turn in range(TURNS + 1):
        for file, kept in zip(files, spent):
            for size, seconds in zip((1, BATCH), kept):
                begin = time.process_time()
                for first in range(0, BATCH, size):
                    file.run(None, {"crop": pictures[first : first + size]})
                if turn:  # the first is for warming up
                    seconds.append((time.process_time() - begin) / BATCH * 1e3)
    return [[np.median(seconds) for seconds in kept] for kept in spent]


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else 'unknown'}, {len(os.sched_getaffinity(0))} cores"


def measure(arguments, directory):
    import numpy as np

    facefold, store = str(arguments.facefold), arguments.store
    bundle = directory / "faces.facefold"
    training_store(store, arguments.fold, directory / "store")
    train = [facefold, "train", "--store", directory / "store", "--task", "gender,age"]
    train += ["--head", arguments.head, *settings(arguments), "--out", bundle]
    subprocess.run(train, check=True, stdout=sys.stderr)
    rows = list(test_rows(store, arguments.fold))[: arguments.pictures]
    ages = np.array([age for _, age, _, _ in rows])
    men = np.array([gender == "m" for _, _, gender, _ in rows])
    years, sure = by_facefold(facefold, str(bundle), arguments.images, rows)
    pictures = np.stack(list(crops(arguments.images, rows)))

    def scores(predicted, certain):
        return f"{100 * np.mean((certain > 0.5) == men):.2f} % | {np.mean(abs(predicted - ages)):.3f}"

    lines = [
        "| answers by | bytes, both tasks | bytes, gender | bytes, age | gender, accuracy | age, mean absolute error in years |"
        " genders predicted otherwise than by facefold | years, mean distance to facefold's | to those of f32 |"
        " CPU-ms a face, one at a time | in batches of 32 |",
        "| --- |" + " ---: |" * 10,
        f"| facefold predict | | | | {scores(years, sure)} | | | | | |",
    ]
    files, sizes = {}, {}
    for storage in STORAGES:
        for tasks in ("gender", "age", "gender,age"):
            files[storage] = directory / f"{tasks}-{storage}.onnx"
            export = [facefold, "export", bundle, "--with-backbone", "--offline"]
            export += ["--task", tasks, "--weights", storage, "--out", files[storage]]
            subprocess.run(export, check=True, stdout=sys.stderr)
            sizes[tasks, storage] = f"{files[storage].stat().st_size:,}"
    spent = speeds(files.values(), pictures)
    whole = None
    for storage, (alone, together) in zip(STORAGES, spent):
        predicted, certain = by_file(files[storage], pictures)
        whole = predicted if whole is None else whole
        cells = [sizes[tasks, storage] for tasks in ("gender,age", "gender", "age")]
        lines.append(
            f"| onnxruntime, {storage} | {' | '.join(cells)} | {scores(predicted, certain)} |"
            f" {np.sum((certain > 0.5) != (sure > 0.5))} | {abs(predicted - years).mean():.4f} |"
            f" {abs(predicted - whole).mean():.4f} | {alone:.1f} | {together:.1f} |"
        )
    return len(rows), lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=pathlib.Path, required=True, help="a store with taps and folds")
    parser.add_argument("--images", type=pathlib.Path, required=True, help="the folder of its pictures")
    parser.add_argument("--fold", type=int, default=0, help="the fold that is kept from training")
    parser.add_argument("--head", default="mlp")
    parser.add_argument("--set", action="append", default=[], help="a setting of the head (repeat for more)")
    parser.add_argument("--pictures", type=int, help="ask about no more than so many")
    parser.add_argument("--facefold", type=pathlib.Path, default=ROOT / "target/release/facefold")
    parser.add_argument("--machine", default=None, help="what to call this machine")
    parser.add_argument("--out", type=pathlib.Path, help="the Markdown file to write; stdout without it")
    arguments = parser.parse_args()
    enter_environment()
    import onnxruntime

    with tempfile.TemporaryDirectory() as directory:
        count, lines = measure(arguments, pathlib.Path(directory))
    head = [
        "# Exported files against facefold",
        "",
        f"    {command(arguments)}",
        "",
        f"{count:,} pictures of fold {arguments.fold}, whose subjects were in no training row; head `{arguments.head}`,"
        f" embedding and taps. onnxruntime {onnxruntime.__version__}; {arguments.machine or machine()}.",
        "",
    ]
    foot = [
        "",
        "- Answers are those of the file with both tasks. Weights are stored as named; all is computed in f32.",
        "- facefold decodes the picture, finds the face and cuts it itself. The files get crops decoded by Pillow and cut by the"
        " stored landmarks, whose pixels differ a little: this is the distance of f32. On the same pixels the tests find less than"
        " 0.005 years.",
        "- Milliseconds are medians on one thread, the files in turns, of two passes through the network: the mirrored crop counts.",
    ]
    text = "\n".join(head + lines + foot) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
