"""Predictions with bundles."""

import json
import os
import unittest

import numpy as np
import PIL.Image

import facefold
import program


def has_weights():
    packs = program.answer("models", "list")
    return any(pack["name"] == "buffalo_s" and pack["present"] for pack in packs)


class Bundles(unittest.TestCase):
    def test_predictions_are_those_that_the_program_prints(self):
        paths = sorted((program.pictures()).rglob("*.jpg"))[:7]
        self.assertEqual(len(paths), 7)
        bad = program.directory("bad.jpg")
        bad.write_bytes(b"no picture")
        printed = program.facefold("predict", "--bundle", program.bundle(), "--format", "json", *paths, bad)
        bundle = facefold.Bundle(program.bundle())
        found = bundle.predict([*paths, bad])
        self.assertEqual([prediction.to_dict() for prediction in found], json.loads(printed))
        self.assertEqual([prediction.picture for prediction in found], list(range(8)))
        first, last = found[0], found[-1]
        self.assertEqual(first.path, str(paths[0]))
        self.assertAlmostEqual(sum(first.gender.probabilities.values()), 1.0, places=5)
        self.assertEqual(first.gender.probability, max(first.gender.probabilities.values()))
        self.assertIsInstance(first.age, float)
        self.assertEqual((last.status, last.gender, last.age), ("not-a-picture", None, None))
        self.assertTrue(last.detail)
        self.assertEqual((last.landmarks, last.bounding_box, last.faces_found), (None, None, 0))

    def test_crops_that_the_program_wrote_are_predicted_as_the_pictures_were(self):
        paths = sorted((program.pictures()).rglob("*.jpg"))[:3]
        crops = program.directory("crops")
        program.facefold("predict", "--bundle", program.bundle(), "--crops", crops, *paths)
        bundle = facefold.Bundle(program.bundle())
        found, again = bundle.predict(paths), bundle.predict(sorted(crops.iterdir()), aligned=True)
        self.assertEqual(len(again), 3)
        for face, crop in zip(found, again):
            self.assertEqual((face.gender, face.age, face.norm), (crop.gender, crop.age, crop.norm))

    def test_pixels_are_predicted_as_files_are(self):
        path = next(program.pictures().rglob("*.jpg"))
        with PIL.Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        png = program.directory("same.png")
        PIL.Image.fromarray(pixels).save(png)
        bundle = facefold.Bundle(program.bundle(), threads=1)
        (of_file,), (of_pixels,) = bundle.predict(png), bundle.predict(pixels)
        self.assertIsNone(of_pixels.path)
        different = {"path"}
        self.assertEqual(
            {name: value for name, value in of_file.to_dict().items() if name not in different},
            {name: value for name, value in of_pixels.to_dict().items() if name not in different},
        )

    def test_the_card_says_what_the_bundle_is(self):
        bundle = facefold.Bundle(program.bundle())
        self.assertEqual(bundle.tasks, ["gender", "age"])
        self.assertEqual(bundle.card, program.answer("bundle", "show", program.bundle()))
        self.assertEqual(repr(facefold.Bundle()), "Bundle()")

    def test_what_is_no_bundle_is_named(self):
        with self.assertRaises(FileNotFoundError) as raised:
            facefold.Bundle(program.directory("missing.facefold"))
        self.assertIn("missing.facefold", str(raised.exception))
        with self.assertRaises(ValueError):
            facefold.Bundle(__file__)
        with self.assertRaises(FileNotFoundError):
            facefold.Bundle(program.bundle()).predict(["missing.jpg"])

    def test_the_embedded_bundle_gives_the_programs_predictions(self):
        if not has_weights():
            if "weights" in os.environ.get("FACEFOLD_REQUIRE", "").split(","):
                self.fail("the weights of buffalo_s are required")
            self.skipTest("needs the weights of buffalo_s")
        paths = sorted(program.pictures().rglob("*.jpg"))[:4]
        bundle = facefold.Bundle(offline=True)
        for faces in ("main", "all"):
            printed = program.facefold("predict", "--format", "json", "--faces", faces, *paths)
            found = bundle.predict(paths, faces=faces)
            self.assertEqual([prediction.to_dict() for prediction in found], json.loads(printed))
        crops = program.directory("default-crops")
        program.facefold("predict", "--crops", crops, *paths)
        of_crops = bundle.predict(sorted(crops.iterdir()), aligned=True)
        ages = sorted(face.age for face in bundle.predict(paths) if face.status == "ok")
        self.assertEqual(sorted(face.age for face in of_crops), ages)
        predicted = [prediction for prediction in found if prediction.status == "ok"]
        self.assertTrue(predicted, found)
        ages = predicted[0].age_distribution
        self.assertEqual(ages.dtype, np.float32)
        self.assertAlmostEqual(float(ages.sum()), 1.0, places=3)
        stored = program.directory("weights-store")
        program.facefold("extract", "adience", program.pictures(), "--store", stored)
        store = facefold.Store(stored)
        chosen = [program.pictures() / path for path in store.to_pandas().path]
        np.testing.assert_array_equal(facefold.embed(chosen, offline=True).embeddings, store.to_numpy())


if __name__ == "__main__":
    unittest.main()
