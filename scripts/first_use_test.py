#!/usr/bin/env python3
"""From a fresh clone to an answer about an own photograph, and on to an own head: README.md's commands, as they stand there.

It clones this repository's last commit, builds it (minutes), and runs the README's first command on a photograph and then the five
commands of "Your data" on a folder of pictures named as UTKFace's are. Nothing else is given: weights are fetched into a directory
of their own.

    scripts/first_use_test.py photo.jpg utkface/images
    scripts/first_use_test.py photo.jpg utkface/images --pictures 600 --program target/release/facefold     # without the build
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What an answer may take after the build, with the weights fetched.
MOST_SECONDS = 2.0


def commands(readme, heading):
    """The commands of the first shell block below a heading."""
    part = readme.split(f"## {heading}\n", 1)[1]
    block = re.search(r"```sh\n(.*?)```", part, re.DOTALL)[1]
    lines = [line.split("  #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line]


def run(command, directory, environment):
    """Runs a line of the README; what it printed, and the seconds it took."""
    print(f"$ {command}", flush=True)
    start = time.monotonic()
    done = subprocess.run(shlex.split(command), cwd=directory, env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    print(f"  {seconds:.1f} s", flush=True)
    return done.stdout, seconds


def answered(table, picture):
    """Whether a table of predictions has a row for a picture, with a gender, a group and years with their interval."""
    rows = [line for line in table.splitlines() if picture in line]
    return len(rows) == 1 and re.search(r"(female|male) \(\d+ %\).*\(\d+ %\).*\d+ \(\d+ to \d+\)", rows[0]) is not None


def first_answer(clone, environment, photo, build):
    """The README's first command on a photograph: twice, as the first fetches the weights."""
    shutil.copy(photo, clone / "photo.jpg")
    readme = (clone / "README.md").read_text()
    command = re.search(r"^cargo run --release -- predict photo\.jpg", readme, re.MULTILINE)[0]
    if not build:
        command = command.replace("cargo run --release --", "facefold")
    table, first = run(command, clone, environment)
    assert answered(table, "photo.jpg"), table
    again, seconds = run("facefold predict photo.jpg", clone, environment)
    assert again == table, f"another answer the second time:\n{table}{again}"
    assert seconds <= MOST_SECONDS, f"an answer took {seconds:.2f} s: expected at most {MOST_SECONDS}"
    print(f"the first answer: {first:.0f} s with {'build and ' if build else ''}weights, then {seconds:.2f} s")


def own_head(clone, environment, pictures):
    """The README's five commands from a folder of pictures to the answers of an own head."""
    (clone / "data/utkface").mkdir(parents=True)
    for path in pictures:
        shutil.copy(path, clone / "data/utkface")
    (clone / "holiday").mkdir()
    shutil.copy(clone / "photo.jpg", clone / "holiday")
    lines = commands((clone / "README.md").read_text(), "Your data")
    assert len(lines) == 5 and all(line.startswith("facefold ") for line in lines), lines
    for line in lines:
        printed, _ = run(line, clone, environment)
    # The own bundle has no age groups.
    assert re.search(r"photo\.jpg\s+(female|male) \(\d+ %\).*\d+ \(\d+ to \d+\)", printed), printed
    report = json.loads((clone / "results/utkface/report.json").read_text())
    heads = [[head["name"] for head in task["result"]["heads"]] for task in report["tasks"]]
    assert len(heads) == 3 and all({"mlp", "svm", "linear"} <= set(names) for names in heads), heads
    for name in ("report.html", "report.md", "run.toml"):
        assert (clone / "results/utkface" / name).is_file(), name
    assert (clone / "faces.facefold").stat().st_size > 0
    print("an own head: five commands")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=pathlib.Path, help="a photograph with a face")
    parser.add_argument("folder", type=pathlib.Path, help="pictures named AGE_GENDER_RACE_DATE.jpg…")
    parser.add_argument("--pictures", type=int, default=600, metavar="N", help="how many of them, evenly chosen (default: 600)")
    parser.add_argument("--program", type=pathlib.Path, metavar="FILE", help="a program that was built, in place of the build")
    arguments = parser.parse_args()
    pictures = sorted(path for path in arguments.folder.iterdir() if path.name.count("_") == 3)
    pictures = pictures[:: max(len(pictures) // arguments.pictures, 1)][: arguments.pictures]
    if not pictures:
        sys.exit(f"expected pictures in {arguments.folder} that are named AGE_GENDER_RACE_DATE.jpg")

    with tempfile.TemporaryDirectory() as directory:
        clone = pathlib.Path(directory) / "facefold"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        program = arguments.program.resolve().parent if arguments.program else clone / "target/release"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FACEFOLD_")}
        # A home of its own: nothing that was fetched or made before is found.
        home = pathlib.Path(directory) / "home"
        home.mkdir()
        for name in ("CARGO_HOME", "RUSTUP_HOME"):
            environment.setdefault(name, str(pathlib.Path.home() / f".{name.split('_')[0].lower()}"))
        environment.update(HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"), PATH=f"{program}:{environment['PATH']}")
        first_answer(clone, environment, arguments.photo.resolve(), build=not arguments.program)
        own_head(clone, environment, pictures)


if __name__ == "__main__":
    main()
