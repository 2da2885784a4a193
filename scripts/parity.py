#!/usr/bin/env python3
"""Compares facefold's embeddings with onnxruntime's on the same crops.

  parity.py crops FOLDER CROPS.npy --count 200    the middles of pictures, as crops
  parity.py run MODEL.onnx CROPS.npy              embeds in both and compares
  parity.py compare MODEL.onnx CROPS.npy EMBEDDINGS.npy

Crops are n x 112 x 112 x 3 bytes, RGB; embeddings n x 512 floats. Ends with status 1 where a
cosine is below --least. Needs numpy and onnxruntime, and pillow for `crops`; `run` builds and runs
the example `embed_crops` with cargo.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np


def write_crops(arguments):
    from PIL import Image

    names = sorted(p for p in arguments.folder.rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    if len(names) < arguments.count:
        sys.exit(f"{arguments.folder}: expected {arguments.count} pictures, found {len(names)}")
    step = len(names) // arguments.count
    crops = []
    for name in names[: step * arguments.count : step]:
        picture = Image.open(name).convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        crops.append(np.asarray(square.resize((112, 112), Image.BILINEAR)))
    np.save(arguments.crops, np.stack(crops))


def onnxruntime_embeddings(model, crops):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = []
    for crop in crops:
        picture = (crop.astype(np.float32) - 127.5) / 127.5
        rows.append(session.run(None, {name: picture.transpose(2, 0, 1)[None]})[0][0])
    return np.stack(rows)


def compare(model, crops, embeddings, least):
    expected = onnxruntime_embeddings(model, crops).astype(np.float64)
    found = embeddings.astype(np.float64)
    if found.shape != expected.shape:
        sys.exit(f"expected embeddings of shape {expected.shape}, found {found.shape}")
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (found * expected).sum(axis=1) / lengths
    ratios = np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    for index, cosine in enumerate(cosines):
        if not cosine >= least:
            print(f"crop {index}: cosine {cosine:.9f}")
    print(
        f"{len(cosines)} crops: 1 - cosine at most {1 - cosines.min():.1e}, "
        f"mean {1 - cosines.mean():.1e}; norms differ by at most {abs(ratios - 1).max():.1e}"
    )
    return 0 if (cosines >= least).all() and abs(ratios - 1).max() <= 1e-3 else 1


def run(arguments):
    with tempfile.TemporaryDirectory() as folder:
        embeddings = pathlib.Path(folder) / "embeddings.npy"
        command = ["cargo", "run", "--release", "-q", "-p", "facefold-vision"]
        command += ["--example", "embed_crops", "--"]
        command += [str(arguments.model), str(arguments.crops), str(embeddings)]
        subprocess.run(command, check=True)
        crops = np.load(arguments.crops)
        return compare(arguments.model, crops, np.load(embeddings), arguments.least)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    crops = commands.add_parser("crops", help="cut crops out of the middles of pictures")
    crops.add_argument("folder", type=pathlib.Path)
    crops.add_argument("crops", type=pathlib.Path)
    crops.add_argument("--count", type=int, default=200)
    for name, text in [("run", "embed in both and compare"), ("compare", "compare embeddings")]:
        command = commands.add_parser(name, help=text)
        command.add_argument("model", type=pathlib.Path)
        command.add_argument("crops", type=pathlib.Path)
        if name == "compare":
            command.add_argument("embeddings", type=pathlib.Path)
        command.add_argument("--least", type=float, default=0.99999, help="smallest cosine allowed")
    arguments = parser.parse_args()
    if arguments.command == "crops":
        return write_crops(arguments)
    if arguments.command == "run":
        return run(arguments)
    crops, embeddings = np.load(arguments.crops), np.load(arguments.embeddings)
    return compare(arguments.model, crops, embeddings, arguments.least)


if __name__ == "__main__":
    sys.exit(main())
