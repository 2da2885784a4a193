"""Cross-validation on arrays."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import pandas

import facefold
import program


def rows(count=90, width=24, seed=5):
    """Made-up embeddings that say gender and age, with three rows a subject."""
    random = np.random.default_rng(seed)
    subjects = np.arange(count) // 3
    genders = np.where(subjects % 2 == 0, "f", "m")
    ages = 20 + (subjects * 7) % 50
    embeddings = random.normal(size=(count, width)).astype(np.float32)
    embeddings[:, 0] += 3 * (subjects % 2)
    embeddings[:, 1] += ages / 5
    return embeddings, genders, ages, subjects


class CrossValidation(unittest.TestCase):
    def imported(self, root, embeddings, columns, *options):
        """The report that the program makes of the same rows."""
        np.save(f"{root}/rows.npy", embeddings)
        with open(f"{root}/labels.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values()))
        program.facefold("store", "import", f"{root}/rows.npy", f"{root}/labels.csv", "--store", f"{root}/store",
                         "--network", "made-up")
        return program.answer("cv", "--store", f"{root}/store", "--out", f"{root}/report", *options)

    def test_figures_are_those_of_the_program(self):
        embeddings, genders, ages, subjects = rows()
        columns = {"path": [f"{row}.jpg" for row in range(len(subjects))], "subject": subjects, "age": ages,
                   "gender": genders}
        with tempfile.TemporaryDirectory() as root:
            report = self.imported(root, embeddings, columns, "--task", "gender,age", "--head", "linear,knn",
                                   "--set", "knn.n_neighbors=3", "--seeds", 2, "--protocol", "kfold:4")
        frame = facefold.cross_validate(
            embeddings.astype(np.float64), pandas.DataFrame(columns), task=["gender", "age"],
            heads=["linear", "knn"], settings={"knn.n_neighbors": 3}, seeds=2, protocol="kfold:4",
        )
        self.assertEqual(frame.attrs["warnings"], report["warnings"])
        compared = 0
        for task in report["tasks"]:
            for head in task["result"]["heads"]:
                chosen = frame[(frame.task == task["result"]["task"]) & (frame["head"] == head["name"])]
                summary = chosen.set_index("statistic")
                for line in head["summary"]:
                    name = line["metric"].replace("-", "_")
                    expected = {"mean": line["mean"], "std": line["deviation_over_folds"], "pooled": line["pooled"]}
                    if line["interval"] is not None:
                        expected.update(ci_low=line["interval"]["low"], ci_high=line["interval"]["high"])
                    for statistic, value in expected.items():
                        self.assertEqual(summary[name][statistic], value, (head["name"], name, statistic))
                        compared += 1
                fits = chosen[chosen.statistic == "fold"]
                self.assertEqual(len(fits), 8)
                self.assertEqual([*zip(fits.split, fits.seed)], [(fit["split"], fit["seed"]) for fit in head["fits"]])
                if task["result"]["task"] == "gender":
                    self.assertEqual(fits.accuracy.tolist(), [fit["test"]["classes"]["accuracy"] for fit in head["fits"]])
        self.assertGreater(compared, 80)
        self.assertEqual(sorted(frame["head"].unique()), ["knn", "linear", "majority"])

    def test_subjects_do_not_leak(self):
        # Rows of one subject are alike, and labels are drawn: only a leak predicts them.
        random = np.random.default_rng(0)
        subjects = np.repeat(np.arange(60), 4)
        labels = np.repeat(random.permutation(60) % 2, 4)
        embeddings = random.normal(size=(60, 32))[subjects] + 0.01 * random.normal(size=(240, 32))
        genders = np.where(labels == 0, "f", "m")
        settings = {"knn.n_neighbors": 1}
        safe = facefold.cross_validate(embeddings, genders, subjects, heads=["knn"], settings=settings)
        leaking = facefold.cross_validate(embeddings, genders, heads=["knn"], settings=settings)

        def accuracy(frame):
            return frame[(frame["head"] == "knn") & (frame.statistic == "pooled")].accuracy.item()

        self.assertLess(accuracy(safe), 0.7)
        self.assertGreater(accuracy(leaking), 0.9)
        self.assertTrue(any("subject" in warning for warning in leaking.attrs["warnings"]), leaking.attrs)

    def test_folds_ages_and_unknown_labels_are_taken(self):
        embeddings, _, ages, subjects = rows()
        ages = ages.astype(float)
        ages[:3] = np.nan
        frame = facefold.cross_validate(embeddings, ages, subjects, task="age", heads="linear", folds=subjects % 3)
        pooled = frame[(frame["head"] == "linear") & (frame.statistic == "pooled")]
        self.assertEqual(pooled.test_rows.item(), 87)
        self.assertLess(pooled.mean_absolute_error.item(), 12)
        self.assertEqual(frame[frame.statistic == "fold"].split.nunique(), 3)

    def test_a_report_is_kept_where_it_is_wanted(self):
        embeddings, genders, _, subjects = rows()
        with tempfile.TemporaryDirectory() as out:
            frame = facefold.cross_validate(embeddings, genders, subjects, heads=["linear"], out=out)
            self.assertTrue({"report.html", "report.json"} <= set(os.listdir(out)))
            with open(f"{out}/report.json", encoding="utf-8") as file:
                report = json.load(file)
        linear = report["tasks"][0]["result"]["heads"][0]
        pooled = frame[(frame["head"] == "linear") & (frame.statistic == "pooled")].accuracy.item()
        self.assertEqual(pooled, linear["summary"][0]["pooled"])

    def test_wrong_arguments_are_named(self):
        embeddings, genders, ages, subjects = rows()
        infinite = embeddings.copy()
        infinite[3, 0] = np.inf
        for arguments, options, part in [
            ((embeddings, genders[:-1]), {}, "gender: expected 90 values"),
            ((embeddings, genders, subjects[:3]), {}, "subject: expected 90 values"),
            ((embeddings[0], genders), {}, "embeddings: expected a matrix"),
            ((infinite, genders, subjects), {}, "row 3"),
            ((embeddings, ["x"] * 90), {}, "expected a gender"),
            ((embeddings, genders), {"task": "sex"}, "found `sex`"),
            ((embeddings, genders), {"task": ["gender", "age"]}, "columns by their names"),
            ((embeddings, genders), {"heads": ["forest"]}, "forest"),
            ((embeddings, genders), {"protocol": "kfold"}, "protocol"),
            ((embeddings, genders), {"settings": {"svm.cc": 1}}, "svm.cc"),
            ((embeddings, {"gender": genders, "subjects": subjects}), {}, "subjects"),
            ((embeddings, genders), {"mirrored": embeddings[:, 1:]}, "mirrored: expected 90 rows"),
        ]:
            with self.assertRaises(ValueError) as raised:
                facefold.cross_validate(*arguments, **options)
            self.assertIn(part, str(raised.exception))
            self.assertNotIn("/tmp", str(raised.exception))

    def test_ctrl_c_stops_it(self):
        script = """
import logging, numpy, facefold
logging.basicConfig(level=logging.INFO, format="%(message)s")
random = numpy.random.default_rng(0)
embeddings, genders = random.normal(size=(600, 64)), numpy.where(numpy.arange(600) % 2, "f", "m")
try:
    facefold.cross_validate(embeddings, genders, numpy.arange(600) // 3, heads=["mlp"], seeds=1000, threads=2)
except KeyboardInterrupt:
    print("stopped")
"""
        # Without this, a test that itself runs in the background would hand on that Ctrl-C is ignored.
        started = subprocess.Popen(
            [sys.executable, "-c", f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{script}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for line in started.stderr:
            if "rows used" in line:
                break
        time.sleep(0.3)
        started.send_signal(signal.SIGINT)
        output, errors = started.communicate(timeout=60)
        self.assertEqual((started.returncode, output), (0, "stopped\n"), errors)


if __name__ == "__main__":
    unittest.main()
