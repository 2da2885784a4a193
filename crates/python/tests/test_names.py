"""One name for one thing: the fields of a prediction on the command line, over HTTP and in Python."""

import dataclasses
import json
import os
import subprocess
import unittest
import urllib.request
from pathlib import Path

import numpy as np

import facefold
import program
from facefold import _bundle


def asked(path, picture):
    """What the server answers about a picture, served for this one question."""
    command = [os.environ["FACEFOLD_PROGRAM"], "serve", "--bundle", program.bundle(), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = server.stdout.readline().rpartition("//")[2].strip()
            request = urllib.request.Request(f"http://{address}{path}", picture.read_bytes(), {"content-type": "image/jpeg"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        finally:
            server.terminate()


class Names(unittest.TestCase):
    def test_a_prediction_has_the_same_fields_everywhere(self):
        path = sorted(program.pictures().rglob("*.jpg"))[0]
        (printed,) = json.loads(program.facefold("predict", "--bundle", program.bundle(), "--format", "json", path))
        line = json.loads(program.facefold("predict", "--bundle", program.bundle(), "--format", "jsonl", path))
        self.assertEqual(line, printed)
        (predicted,) = facefold.Bundle(program.bundle()).predict(path)
        self.assertEqual(predicted.to_dict(), printed)
        of_python = {found.name.removesuffix("_") for found in dataclasses.fields(predicted)} - {"picture", "_json"}
        self.assertEqual(of_python, printed.keys())

        (picture,) = asked("/v1/predict", path)["pictures"]
        (face,) = picture.pop("faces")
        (prediction,) = face.pop("predictions")
        of_http = [*picture, *face, *prediction]
        self.assertEqual(len(of_http), len(set(of_http)))
        self.assertEqual(set(of_http), printed.keys())
        for name, value in {**picture, **face, **prediction}.items():
            if name not in ("path", "bundle"):
                self.assertEqual(value, printed[name], name)
        self.assertEqual(predicted.landmarks, tuple(map(tuple, printed["landmarks"])))
        self.assertEqual(predicted.bounding_box, tuple(printed["bounding_box"]))
        self.assertEqual({found.name for found in dataclasses.fields(predicted.gender)}, printed["gender"].keys())

    def test_parts_of_a_prediction_have_the_fields_of_the_openapi_document(self):
        document = Path(__file__).parents[2] / "serve/assets/openapi.json"
        schemas = json.loads(document.read_text(encoding="utf-8"))["components"]["schemas"]
        for part in (_bundle.ClassPrediction, _bundle.Familiarity, _bundle.ThresholdDecision):
            of_http = schemas[part.__name__]["properties"].keys()
            self.assertEqual({found.name for found in dataclasses.fields(part)}, of_http, part.__name__)

    def test_an_embedding_has_the_fields_of_the_arrays_and_of_the_store(self):
        frame = facefold.Store(program.store()).to_pandas()
        path = program.pictures() / frame.path[0]
        (picture,) = asked("/v1/embed", path)["pictures"]
        (face,) = picture.pop("faces")
        faces = facefold.embed(path, model="untrained")
        plural = {"face_indices": "face_index", "bounding_boxes": "bounding_box"}
        names = {plural.get(found.name, found.name.removesuffix("s")) for found in dataclasses.fields(faces)}
        names = {"landmarks" if name == "landmark" else name for name in names}
        self.assertEqual(names - {"picture", "rejected", "fingerprint"}, face.keys())
        self.assertEqual(np.float32(face["norm"]), faces.norms[0])
        self.assertIn("faces_found", picture)
        self.assertLessEqual({"faces_found", "norm", "score", "path"}, set(frame))


if __name__ == "__main__":
    unittest.main()
