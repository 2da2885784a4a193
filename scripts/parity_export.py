#!/usr/bin/env python3
"""Runs ONNX files that `facefold export` wrote, by onnxruntime.

  parity_export.py MODEL.onnx... < ROWS.json      rows of features, a JSON list of lists
  parity_export.py MODEL.onnx... --crops FOLDER   pictures of 112 x 112, in the order of their names

Prints a JSON object for each file, a line each: `outputs`, by name a list with an answer a row, and
`notes`, the file's metadata. Needs numpy and onnxruntime, and pillow for crops. The tests run it where
FACEFOLD_PARITY_PYTHON names a python that has them.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnxruntime


def crops(folder):
    from PIL import Image

    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())]
    return np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, nargs="+", metavar="MODEL")
    parser.add_argument("--crops", type=pathlib.Path, metavar="FOLDER")
    arguments = parser.parse_args()
    rows = crops(arguments.crops) if arguments.crops else np.array(json.load(sys.stdin), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for model in arguments.models:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = session.run(names, {session.get_inputs()[0].name: rows})
        notes = session.get_modelmeta().custom_metadata_map
        predicted = {name: answer.tolist() for name, answer in zip(names, answers)}
        print(json.dumps({"outputs": predicted, "notes": notes}))


if __name__ == "__main__":
    main()
