#!/usr/bin/env python3
"""A paper's tables and figures from embeddings that facefold did not make, as a researcher would get them; every figure is checked.

It draws 768 values for each of 480 made-up pictures of 80 people (no face, no network), imports them, cross-validates three heads,
evaluates the predictions of a scikit-learn model of its own (as an outside tool's) next to them, exports tables and figures, and
repeats the run from its `run.toml`. Its Python needs NumPy and scikit-learn (scripts/requirements.txt).

    target/peers/bin/python scripts/paper_test.py target/release/facefold
    target/peers/bin/python scripts/paper_test.py target/release/facefold --keep paper     # and look at what it wrote
"""

import argparse
import contextlib
import csv
import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PICTURES, PEOPLE, LENGTH, FOLDS = 480, 80, 768, 5
STRENGTH = 2.0
# What may differ between two runs of one command: when, how long, and the words of the command.
TIMES = {"checksum", "command", "created", "date", "seconds"}


def facefold(program, *words):
    """Runs the program; what it printed, on stdout and stderr."""
    command = [str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def make_embeddings(directory, random):
    """Writes embeddings.npy and labels.csv. The labels of a picture, and its values."""
    gender = random.integers(0, 2, PEOPLE)
    age = random.uniform(5, 85, PEOPLE)
    # Of noise of one in each value, strong enough to be learnt and too weak to be always right.
    traits = random.normal(size=(3, LENGTH)) * STRENGTH / numpy.sqrt(LENGTH)
    own = random.normal(size=(PEOPLE, LENGTH)) * STRENGTH / numpy.sqrt(LENGTH)
    rows, values = [], []
    for picture in range(PICTURES):
        person = picture % PEOPLE
        years = float(numpy.clip(age[person] + random.normal(0, 4), 1, 99))
        signal = (2 * gender[person] - 1) * traits[0] + (years - 45) / 25 * traits[1] + ((years - 45) / 25) ** 2 * traits[2]
        values.append(signal + own[person] + random.normal(size=LENGTH))
        rows.append({"path": f"p{picture:03}.jpg", "subject": f"s{person}", "age": round(years), "gender": "mf"[gender[person]], "fold": person % FOLDS})
    numpy.save(directory / "embeddings.npy", numpy.asarray(values, dtype=numpy.float32))
    with open(directory / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return rows, numpy.asarray(values, dtype=numpy.float32)


def predict_elsewhere(directory, rows, values):
    """Writes the predictions of another tool, on the same folds: scikit-learn's ridge and logistic regression."""
    fold, age = (numpy.array([row[name] for row in rows]) for name in ("fold", "age"))
    female = numpy.array([row["gender"] == "f" for row in rows])
    years, probability = numpy.zeros(len(rows)), numpy.zeros(len(rows))
    for held_out in range(FOLDS):
        train, test = fold != held_out, fold == held_out
        years[test] = make_pipeline(StandardScaler(), Ridge(300.0)).fit(values[train], age[train]).predict(values[test])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=2000)).fit(values[train], female[train])
        probability[test] = model.predict_proba(values[test])[:, 1]
    years = numpy.clip(years, 0, 120).round(6)
    with open(directory / "tool.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "age", "gender", "p_female"])
        for row, a, p in zip(rows, years, probability.round(6)):
            writer.writerow([row["path"], a, "f" if p >= 0.5 else "m", p])
    return float(numpy.abs(years - age).mean()), float(((probability >= 0.5) == female).mean())


def predictions(path):
    """The rows of a predictions.csv."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def metric_of(table, task, head, metric):
    """A figure of an exported table in long form."""
    found = [row for row in table if (row["task"], row["head"], row["metric"]) == (task, head, metric)]
    assert len(found) == 1, (task, head, metric, found)
    return float(found[0]["value"])


def check_against_predictions(result, table, head):
    """The exported figures of a head are those of its predictions, computed anew."""
    rows = predictions(result / "age/predictions.csv")
    errors = numpy.array([abs(float(row[f"{head}/0"]) - float(row["truth"])) for row in rows])
    exported = metric_of(table, "age", head, "MAE (years)")
    assert len(rows) == PICTURES and abs(errors.mean() - exported) < 1e-5, (head, len(rows), errors.mean(), exported)
    rows = predictions(result / "gender/predictions.csv")
    right = numpy.mean([row[f"{head}/0"] == row["truth"] for row in rows])
    exported = metric_of(table, "gender", head, "accuracy")
    assert len(rows) == PICTURES and abs(right - exported) < 1e-9, (head, len(rows), right, exported)
    return errors.mean(), right


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES and not key.endswith("_seconds")}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def files_below(directory):
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())


def check_tables(program, result, directory):
    """Writes each format of the tables; what a paper takes from them must be there."""
    for form, ending in [("latex", "tex"), ("markdown", "md"), ("csv", "csv"), ("bibtex", "bib")]:
        printed, _ = facefold(program, "report", "export", result, "--format", form)
        out = directory / form
        facefold(program, "report", "export", result, "--format", form, "--out", out)
        written = [path for path in files_below(out) if path.suffix == f".{ending}"]
        assert written and printed.strip(), (form, files_below(out))
        text = "".join((out / path).read_text() for path in written)
        if form == "latex":
            assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") >= 2 and r"\toprule" in text, text
        if form == "bibtex":
            assert re.search(r"@\w+\{", text), text
    figures = files_below(directory / "latex")
    kinds = {ending: {path.with_suffix("") for path in figures if path.suffix == f".{ending}"} for ending in ("svg", "pdf", "png")}
    assert kinds["svg"] and kinds["svg"] == kinds["pdf"] == kinds["png"], figures
    starts = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<svg"}
    for path in figures:
        start = starts.get(path.suffix[1:])
        assert start is None or start in (directory / "latex" / path).read_bytes()[:200], path
    drawn = " ".join((directory / "latex" / path).read_text() for path in figures if path.suffix == ".svg")
    for label in ("true class", "predicted class", "true age", "predicted age"):
        assert label in drawn.lower(), label
    with open(next(path for path in (directory / "csv").rglob("*.csv")), newline="") as file:
        return list(csv.DictReader(file)), len(kinds["svg"])


def job(program, directory):
    rows, values = make_embeddings(directory, numpy.random.default_rng(7))
    tool_error, tool_right = predict_elsewhere(directory, rows, values)

    store, result, judged, again = (directory / name for name in ("store", "result", "judged", "again"))
    facefold(program, "store", "import", directory / "embeddings.npy", directory / "labels.csv", "--store", store, "--network", "made-up-768")
    cv = ["--task", "gender,age", "--head", "mlp,svm,linear", "--protocol", "folds"]
    facefold(program, "cv", "--store", store, *cv, "--out", result)
    facefold(program, "judge", directory / "tool.csv", "--store", store, "--against", result, "--protocol", "folds", "--out", judged)

    table, plots = check_tables(program, result, directory / "tables")
    for head in ("mlp", "svm", "linear"):
        error, right = check_against_predictions(result, table, head)
        print(f"{head}: {error:.2f} years, {100 * right:.1f} % of genders; the tables have the figures of its predictions")

    judged_table, _ = check_tables(program, judged, directory / "tables-judged")
    heads = {row["head"] for row in judged_table} - {"majority", "median"}
    tool = [head for head in heads if head not in ("mlp", "svm", "linear")]
    assert len(tool) == 1, heads
    error = metric_of(judged_table, "age", tool[0], "MAE (years)")
    right = metric_of(judged_table, "gender", tool[0], "accuracy")
    assert abs(error - tool_error) < 1e-4 and abs(right - tool_right) < 1e-9, (error, tool_error, right, tool_right)
    compared, _ = facefold(program, "compare", judged, result, "--format", "csv")
    pairs = [row for row in csv.DictReader(io.StringIO(compared)) if row["task"] == "age" and row["first"].startswith(tool[0])]
    assert len(pairs) == 3, compared
    for pair in pairs:
        head = pair["second"].split(" ")[0]
        expected = error - metric_of(table, "age", head, "MAE (years)")
        assert abs(float(pair["difference"]) - expected) < 1e-6 and 0 <= float(pair["p_holm"]) <= 1, (pair, expected)
    latex, _ = facefold(program, "compare", judged, result, "--format", "latex")
    assert latex.count(r"\begin{tabular}") == 4, latex
    print(f"{tool[0]}: {error:.2f} years, {100 * right:.1f} % of genders, as NumPy computes them")

    facefold(program, "cv", "--config", result / "run.toml", "--out", again)
    first, second = (without_times(json.loads((path / "report.json").read_text())) for path in (result, again))
    assert first == second, "report.json differs"
    for path in files_below(result):
        if path.suffix == ".csv":
            assert (result / path).read_bytes() == (again / path).read_bytes(), path
    print(f"run.toml repeats it to the bit; {plots} figures as SVG, PDF and PNG")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facefold", type=pathlib.Path, help="the program")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="a new directory for what it writes (default: a temporary one)")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True)
        place = contextlib.nullcontext(str(arguments.keep))
    else:
        place = tempfile.TemporaryDirectory()
    with place as directory:
        job(arguments.facefold.resolve(), pathlib.Path(directory))


if __name__ == "__main__":
    sys.exit(main())
