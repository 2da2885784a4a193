"""The program that the package is compared with, and the pictures and stores that tests share."""

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = tempfile.TemporaryDirectory(prefix="facefold-python-")


def facefold(*arguments):
    """Runs the program, which must succeed, and gives its stdout."""
    command = [os.environ["FACEFOLD_PROGRAM"], *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def answer(*arguments):
    """Runs the program with --json, and gives its document."""
    return json.loads(facefold(*arguments, "--json"))


def directory(name):
    """A path for a test's own files."""
    return Path(ROOT.name) / name


@functools.cache
def pictures():
    """A synthetic data set of 60 pictures of 12 subjects."""
    root = directory("pictures")
    facefold("data", "generate", root, "--subjects", 12, "--pictures", 60, "--seed", 7)
    return root


@functools.cache
def store():
    """The data set's store, made with the untrained network."""
    path = directory("store")
    facefold("extract", "adience", pictures(), "--store", path, "--model", "untrained", "--taps")
    return path


@functools.cache
def bundle():
    """A bundle that was trained on the store."""
    path = directory("linear.facefold")
    facefold("train", "--store", store(), "--task", "gender,age", "--head", "linear", "--out", path)
    return path


@functools.cache
def exported():
    """What the program exports of the store."""
    path = directory("exported")
    facefold("store", "export", store(), "--format", "npy", "--out", path)
    return path
