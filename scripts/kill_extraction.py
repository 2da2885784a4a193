#!/usr/bin/env python3
"""Kill an extraction with SIGKILL again and again, resume it, and compare the stores.

    kill_extraction.py FACEFOLD KIND ROOT [--kills 20] [--threads 2]

FACEFOLD is the program. It extracts KIND ROOT once undisturbed and once killed KILLS times at
random moments, most of them between writes, then resumes to the end and compares the two stores:
they must hold the same keys and the same bits. Exits with 1 if they do not.
"""
import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time


def log_size(store: str) -> int:
    total = 0
    for directory, _, files in os.walk(store):
        for file in files:
            # The extraction goes on meanwhile: a temporary file may be gone by now.
            with contextlib.suppress(FileNotFoundError):
                total += os.path.getsize(os.path.join(directory, file))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facefold")
    parser.add_argument("kind")
    parser.add_argument("root")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        def command(store: str) -> list[str]:
            return [arguments.facefold, "extract", arguments.kind, arguments.root, "--store", store,
                    "--threads", str(arguments.threads), "--json"]

        whole, killed = os.path.join(scratch, "whole"), os.path.join(scratch, "killed")
        start = time.time()
        report = json.loads(subprocess.run(command(whole), check=True, capture_output=True).stdout)
        seconds = time.time() - start
        print(f"undisturbed: {report['rows']} rows, {report['embedded']} embedded, {seconds:.1f} s")
        between_writes = 0
        for number in range(arguments.kills):
            before = log_size(killed)
            child = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Past the start, so that a kill falls among the writes: the log has grown.
            deadline = time.time() + 60
            while log_size(killed) <= before and child.poll() is None and time.time() < deadline:
                time.sleep(0.002)
            time.sleep(random.uniform(0.0, 0.8 * seconds / arguments.kills))
            alive = child.poll() is None
            grown = log_size(killed)
            child.send_signal(signal.SIGKILL)
            child.wait()
            between_writes += alive and grown > before
        print(f"{arguments.kills} kills, {between_writes} of them after a write and before the end")
        report = json.loads(subprocess.run(command(killed), check=True, capture_output=True).stdout)
        print(f"resumed: {report['known']} known, {report['embedded']} embedded")
        subprocess.run([arguments.facefold, "store", "verify", killed], check=True)
        subprocess.run([arguments.facefold, "store", "compare", whole, killed], check=True)


if __name__ == "__main__":
    main()
