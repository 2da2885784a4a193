"""Embeddings of pictures."""

import io
import threading
import unittest

import numpy as np
import PIL.Image

import facefold
import program


def bits(array):
    """The bits of floats."""
    return np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)


class Embeddings(unittest.TestCase):
    def assert_same(self, one, other):
        np.testing.assert_array_equal(bits(one.embeddings), bits(other.embeddings))
        np.testing.assert_array_equal(bits(one.landmarks), bits(other.landmarks))
        np.testing.assert_array_equal(bits(one.bounding_boxes), bits(other.bounding_boxes))

    def test_files_give_what_the_program_stores(self):
        store = facefold.Store(program.store())
        frame = store.to_pandas()
        paths = [program.pictures() / path for path in frame.path]
        found = facefold.embed(paths, model="untrained")
        self.assertEqual(found.fingerprint, store.fingerprint)
        self.assertEqual(found.rejected, {})
        self.assertEqual(found.pictures.tolist(), list(range(len(paths))))
        np.testing.assert_array_equal(bits(found.embeddings), bits(store.to_numpy()))
        np.testing.assert_array_equal(found.bounding_boxes, frame[["left", "top", "right", "bottom"]].to_numpy())
        self.assertEqual(found.landmarks.shape, (len(paths), 5, 2))
        self.assertTrue(found.embeddings.flags.writeable)

    def test_pixels_files_and_pil_images_of_the_same_values_agree(self):
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, size=(3, 61, 47, 3), dtype=np.uint8)
        images = [PIL.Image.fromarray(picture) for picture in pixels]
        files = []
        for image in images:
            file = io.BytesIO()
            image.save(file, format="png")
            files.append(file.getvalue())
        of_pixels = facefold.embed(pixels, model="untrained")
        self.assertEqual(len(of_pixels), 3)
        for others in (list(pixels), images, files, (picture for picture in pixels), pixels[..., ::-1][..., ::-1]):
            self.assert_same(of_pixels, facefold.embed(others, model="untrained"))
        self.assert_same(facefold.embed(pixels[0], model="untrained"), facefold.embed(images[0], model="untrained"))
        grey = images[0].convert("L")
        self.assert_same(
            facefold.embed(grey, model="untrained"),
            facefold.embed(np.repeat(np.asarray(grey)[..., None], 3, axis=2), model="untrained"),
        )

    def test_a_pil_image_is_turned_upright_as_a_file_is(self):
        pixels = np.random.default_rng(1).integers(0, 256, size=(40, 60, 3), dtype=np.uint8)
        image = PIL.Image.fromarray(pixels)
        exif = image.getexif()
        exif[0x0112] = 6
        path = program.directory("turned.png")
        image.save(path, exif=exif)
        with PIL.Image.open(path) as opened:
            self.assert_same(facefold.embed(opened, model="untrained"), facefold.embed(path, model="untrained"))
        turned = facefold.embed(np.rot90(pixels, -1), model="untrained")
        self.assert_same(turned, facefold.embed(path, model="untrained"))

    def test_a_picture_that_is_rejected_has_no_row(self):
        good = np.full((64, 64, 3), 9, dtype=np.uint8)
        found = facefold.embed([good, b"no picture", good[:4], good], model="untrained")
        self.assertEqual(found.pictures.tolist(), [0, 3])
        self.assertEqual({number: found.rejected[number].reason for number in found.rejected},
                         {1: "not-a-picture", 2: "too-small"})
        self.assertTrue(found.rejected[1].detail)
        empty = facefold.embed([b""], model="untrained")
        self.assertEqual((empty.embeddings.shape, empty.landmarks.shape, len(empty)), ((0, 512), (0, 5, 2), 0))
        self.assertEqual(facefold.embed([], model="untrained").embeddings.shape, (0, 512))

    def test_many_pictures_are_taken_some_at_a_time(self):
        pixels = np.random.default_rng(2).integers(0, 256, size=(150, 20, 20, 3), dtype=np.uint8)
        taken = []

        def generator():
            for picture in pixels:
                taken.append(len(taken))
                yield picture

        found = facefold.Embedder("untrained", threads=2).embed(generator())
        self.assertEqual(found.pictures.tolist(), list(range(150)))
        self.assert_same(facefold.embed(pixels[140], model="untrained"),
                         facefold.embed(list(pixels[140:141]), model="untrained"))
        np.testing.assert_array_equal(
            bits(found.embeddings[140]), bits(facefold.embed(pixels[140], model="untrained").embeddings[0])
        )

    def test_wrong_pictures_and_options_are_named(self):
        for picture, error, part in [
            (np.zeros((8, 8), dtype=np.uint8), ValueError, "shape (8, 8)"),
            (np.zeros((64, 64, 3), dtype=np.float32), ValueError, "found float32"),
            (np.zeros((64, 64, 4), dtype=np.uint8), ValueError, "picture 0: expected uint8"),
            (np.zeros((0, 4, 3), dtype=np.uint8), ValueError, "shape (0, 4, 3)"),
            (PIL.Image.new("CMYK", (64, 64)), ValueError, "found CMYK"),
            ([b"", 3], TypeError, "picture 1: expected a NumPy array"),
            ("missing.jpg", FileNotFoundError, "missing.jpg"),
            (".", IsADirectoryError, "list its files"),
        ]:
            with self.assertRaises(error) as raised:
                facefold.embed(picture, model="untrained")
            self.assertIn(part, str(raised.exception))
        for options, part in [
            ({"model": "buffalo"}, "buffalo"),
            ({"precision": "f64"}, "precision"),
            ({"device": "tpu"}, "tpu"),
            ({"faces": "two"}, "expected 'main' or 'all', found 'two'"),
        ]:
            with self.assertRaises(ValueError) as raised:
                facefold.embed(b"", **{"model": "untrained", **options})
            self.assertIn(part, str(raised.exception))

    def test_other_threads_run_meanwhile(self):
        pixels = np.random.default_rng(3).integers(0, 256, size=(48, 112, 112, 3), dtype=np.uint8)
        embedder = facefold.Embedder("untrained", threads=1)
        counts, finished = [], threading.Event()

        def count():
            while not finished.wait(0.001):
                counts.append(1)

        counting = threading.Thread(target=count)
        counting.start()
        before = len(counts)
        embedder.embed(pixels)
        during = len(counts) - before
        finished.set()
        counting.join()
        self.assertGreater(during, 10)


if __name__ == "__main__":
    unittest.main()
