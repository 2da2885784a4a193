"""Stores as arrays and data frames."""

import csv
import unittest

import numpy as np

import facefold
import program


class Stores(unittest.TestCase):
    def test_rows_and_features_are_those_that_the_program_exports(self):
        store = facefold.Store(program.store())
        self.assertEqual((store.model, store.has_taps), ("untrained", True))
        embeddings = np.load(program.exported() / "embeddings.npy")
        taps = np.load(program.exported() / "taps.npy")
        self.assertEqual((store.to_numpy().dtype, len(store)), (np.float32, len(embeddings)))
        np.testing.assert_array_equal(store.to_numpy().view(np.uint32), embeddings.view(np.uint32))
        np.testing.assert_array_equal(store.to_numpy("taps"), taps)
        np.testing.assert_array_equal(store.to_numpy("both"), np.hstack([embeddings, taps]))
        mirrored = store.to_numpy(mirrored=True)
        self.assertEqual(mirrored.shape, embeddings.shape)
        self.assertFalse(np.array_equal(mirrored, embeddings))

    def test_labels_are_those_that_the_program_exports(self):
        frame = facefold.Store(program.store()).to_pandas()
        with open(program.exported() / "index.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(frame), len(rows))
        for name in ("path", "key", "subject", "age"):
            self.assertEqual(frame[name].tolist(), [row[name] for row in rows], name)
        self.assertEqual([gender[0] if gender else "" for gender in frame.gender], [row["gender"] for row in rows])
        self.assertEqual(frame.fold.astype(str).tolist(), [row["fold"] for row in rows])
        for name in ("norm", "score", "luminance", "sharpness"):
            self.assertEqual(frame[name].dtype, np.float32, name)
            np.testing.assert_array_equal(frame[name], np.array([row[name] for row in rows], dtype=np.float32))
        boxes = frame[["left", "top", "right", "bottom"]]
        self.assertEqual(boxes.iloc[0].tolist(), [float(side) for side in rows[0]["bounding_box"].split()])
        self.assertTrue(frame.race.isna().all())
        self.assertEqual(frame.label_conflict.dtype, bool)

    def test_embeddings_join_the_frame_where_they_are_wanted(self):
        store = facefold.Store(program.store())
        frame = store.to_pandas(embeddings=True)
        np.testing.assert_array_equal(frame.filter(regex="^embedding_").to_numpy(), store.to_numpy())

    def test_what_is_no_store_and_what_it_lacks_are_named(self):
        with self.assertRaises(FileNotFoundError) as raised:
            facefold.Store(program.directory("nothing"))
        self.assertIn("nothing", str(raised.exception))
        with self.assertRaises(ValueError) as raised:
            facefold.Store(program.pictures())
        self.assertIn("store", str(raised.exception))
        with self.assertRaises(ValueError) as raised:
            facefold.Store(program.store()).to_numpy("norm")
        self.assertIn("features: ", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
