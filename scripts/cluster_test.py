#!/usr/bin/env python3
"""A cluster on one machine: its store is that of one process, though executors are killed and the scheduler is restarted.

A scheduler and three executors of facefold-cluster extract generated pictures, on encrypted connections; who lacks the credentials is
refused. An executor is killed twice (SIGKILL; another one takes its place), the scheduler is killed and started again once, and
the process that works for an executor is killed, which that one starts again. The store must equal the one that `facefold extract` makes: the same keys,
the same bits; so must those of pictures on object storage and in Parquet files. Then two executors of one thread each are timed against two threads of one process, one after the other, in turns.

    scripts/cluster_test.py                                  # 2,000 pictures
    scripts/cluster_test.py --pictures 20000 --model buffalo_s --report results/bench/cluster.md

It builds both programs in release mode, unless --programs says where they are.
"""

import argparse
import atexit
import csv
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from harness import ROOT, draw, machine, run


def kill(process):
    """Kills a process and those that it has started, with SIGKILL."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port(used):
    """A port that nothing listens on, and the next one: an executor takes two."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port < 65000 and not {port, port + 1} & used:
            used |= {port, port + 1}
            return port


def listens(port):
    with socket.socket() as one:
        one.settimeout(0.2)
        return one.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A scheduler and executors, which can be killed."""

    def __init__(self, program, directory):
        self.program, self.directory, self.used = program, directory, set()
        self.scheduler_port = free_port(self.used)
        self.credentials = directory / "credentials"
        if not self.credentials.is_dir():
            run(program, "credentials", self.credentials)
        self.scheduler, self.executors = None, []
        self.log = open(directory / "cluster.log", "ab")
        # Also where a check fails.
        atexit.register(self.stop)
        self.start_scheduler()

    def spawn(self, *arguments):
        return subprocess.Popen(
            [self.program, *arguments, "--credentials", self.credentials], stdout=self.log, stderr=self.log, start_new_session=True)

    def client(self):
        """Options of a client."""
        return ["--scheduler", f"127.0.0.1:{self.scheduler_port}", "--credentials", self.credentials]

    def refuse_strangers(self):
        """A client with the credentials is served; one without, or with those of another cluster, is not."""
        query = [self.program, "sql", "SELECT 40 + 2 AS answer"]
        assert "42" in run(*query, *self.client())
        other = self.directory / "other-credentials"
        run(self.program, "credentials", other)
        for options in ([], ["--credentials", other]):
            command = [*query, "--scheduler", f"127.0.0.1:{self.scheduler_port}", *options]
            refused = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
            assert refused.returncode != 0 and "42" not in refused.stdout, refused
        shutil.rmtree(other)

    def start_scheduler(self):
        self.scheduler = self.spawn("scheduler", "--listen", f"127.0.0.1:{self.scheduler_port}")
        wait_for(lambda: listens(self.scheduler_port), "the scheduler")

    def start_executor(self, threads=1):
        port = free_port(self.used)
        work = self.directory / f"work-{port}"
        executor = self.spawn(
            "executor", "--scheduler", f"127.0.0.1:{self.scheduler_port}", "--listen", f"127.0.0.1:{port}",
            "--threads", str(threads), "--work", str(work))
        self.executors.append(executor)
        wait_for(lambda: listens(port), "an executor")

    def kill_executor(self):
        kill(self.executors.pop(0))

    def kill_worker(self):
        """The process that works for an executor; the executor starts another."""
        subprocess.run(["pkill", "-KILL", "-P", str(self.executors[0].pid)], check=True)

    def restart_scheduler(self):
        kill(self.scheduler)
        self.start_scheduler()

    def stop(self):
        for process in [*self.executors, self.scheduler]:
            if process and process.poll() is None:
                kill(process)


def wait_for(ready, what, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"{what} does not answer within {seconds} s")
        time.sleep(0.05)


def survive(facefold, cluster_program, directory, arguments):
    """An extraction during which executors and the scheduler are killed; gives what was killed when."""
    draw(facefold, directory / "set", arguments.pictures)
    shared = ["--model", arguments.model, "--taps"]
    single = directory / "single"
    run(facefold, "extract", "adience", directory / "set", "--store", single, *shared)

    cluster = Cluster(cluster_program, directory)
    for _ in range(3):
        cluster.start_executor()
    cluster.refuse_strangers()
    store = directory / "store"
    client = subprocess.Popen(
        [str(word) for word in (cluster_program, "extract", "adience", directory / "set", "--store", store, *shared, "--pictures", 64, *cluster.client())],
        stdout=subprocess.PIPE, stderr=cluster.log, text=True)

    def stored():
        log = store / "log"
        shards = sum(path.stat().st_size for path in (store / "shards").glob("*")) if (store / "shards").is_dir() else 0
        return shards + (log.stat().st_size if log.exists() else 0)

    # At a fifth, two, three and four fifths of all.
    all_bytes = sum(path.stat().st_size for path in (single / "shards").glob("*"))
    killed, restarted = "an executor killed", "the scheduler killed and started again"
    events = [(cluster.kill_executor, killed), (cluster.restart_scheduler, restarted), (cluster.kill_executor, killed), (cluster.kill_worker, "an executor's own process killed")]
    done = []
    for number, (event, words) in enumerate(events, 1):
        wait_for(lambda: stored() > number * all_bytes / 5 or client.poll() is not None, "the store", 3600)
        if client.poll() is not None:
            sys.exit("the extraction was over before everything was killed: give more --pictures")
        event()
        if event == cluster.kill_executor:
            cluster.start_executor()
        done.append(f"{words} at {stored() / all_bytes:.0%}")
    out, _ = client.communicate(timeout=7200)
    cluster.stop()
    if client.returncode != 0:
        sys.exit(f"the extraction ends with {client.returncode}; {directory / 'cluster.log'}")
    print(out, flush=True)
    difference = json.loads(run(facefold, "store", "compare", single, store, "--json"))
    verified = json.loads(run(facefold, "store", "verify", store, "--json"))
    assert difference["equal"] and verified["ok"], (difference, verified)
    exported = []
    for name in (single, store):
        run(facefold, "store", "export", name, "--format", "csv", "--out", directory / "export")
        exported.append((directory / "export/embeddings.csv").read_bytes())
    assert exported[0] == exported[1], "label rows in another order"
    print(f"equal to one process after {', '.join(done)}", flush=True)

    return done


def from_objects(facefold, cluster, directory, shared):
    """Pictures that executors read from an object store, here one of files, are those of the directory."""
    pictures = directory / "pictures"
    draw(facefold, pictures, 200)
    run(facefold, "extract", "pictures", pictures, "--store", directory / "of-files", *shared)
    run(cluster.program, "extract", "pictures", f"file://{pictures}", "--store", directory / "of-objects", *shared, *cluster.client())
    difference = json.loads(run(facefold, "store", "compare", directory / "of-files", directory / "of-objects", "--json"))
    assert difference["equal"], difference
    print("pictures of an object store: equal", flush=True)
    if "buffalo_s" in shared:
        # What the embedded bundle needs.
        ours = run(facefold, "predict", "--format", "csv", "--offline", pictures)
        theirs = run(cluster.program, "predict", f"file://{pictures}", *cluster.client())
        ours, theirs = ([*csv.DictReader(text.splitlines())] for text in (ours, theirs))
        assert len(ours) == len(theirs), (len(ours), len(theirs))
        for one, other in zip(ours, theirs):
            same = one["status"] == other["status"] and one["gender"] == other["gender"][:1] and other["path"].endswith(one["path"].split("pictures/")[-1])
            assert same and abs(float(one["age"] or 0) - float(other["age"] or 0)) < 0.06, (one, other)
        print("predictions: equal", flush=True)


# Pictures of a directory and labels as a Parquet file, row groups of 50, and as a list.
TABLE = """
import csv, pathlib, sys
import pyarrow, pyarrow.parquet
root, table, labels = map(pathlib.Path, sys.argv[1:])
paths = sorted(path for path in root.rglob("*") if path.suffix == ".jpg")
rows = [{"path": str(path.relative_to(root)), "age": 20 + number % 50, "gender": "fm"[number % 2], "subject": f"s{number // 3}"} for number, path in enumerate(paths)]
contents = [path.read_bytes() for path in paths]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {"content": content} for row, content in zip(rows, contents)]), table, row_group_size=50)
with open(labels, "w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
"""


def from_tables(facefold, cluster, directory, shared):
    """Pictures and labels in a Parquet file give the store of the same pictures and a list."""
    python = os.environ.get("FACEFOLD_PARITY_PYTHON", ROOT / "target/peers/bin/python")
    pictures, table, labels = directory / "pictures", directory / "faces.parquet", directory / "labels.csv"
    if subprocess.run([python, "-c", "import pyarrow.parquet"], capture_output=True).returncode != 0:
        sys.exit(f"expected pyarrow in {python}; scripts/test makes it, or name a Python that has it in FACEFOLD_PARITY_PYTHON")
    run(python, "-c", TABLE, pictures, table, labels)
    run(facefold, "extract", "manifest", pictures, "--labels", labels, "--store", directory / "of-list", *shared)
    run(cluster.program, "extract", "parquet", table, "--store", directory / "of-table", *shared, *cluster.client())
    difference = json.loads(run(facefold, "store", "compare", directory / "of-list", directory / "of-table", "--json"))
    assert difference["equal"], difference
    exported = []
    for name in ("of-list", "of-table"):
        run(facefold, "store", "export", directory / name, "--format", "csv", "--out", directory / "export")
        exported.append((directory / "export/embeddings.csv").read_bytes())
    assert exported[0] == exported[1], "other label rows"
    print("pictures in a Parquet file: equal", flush=True)
    if "buffalo_s" in shared:
        ours = run(facefold, "predict", "--format", "csv", "--offline", *sorted(pictures.rglob("*.jpg")))
        theirs = run(cluster.program, "predict", table, *cluster.client())
        ours, theirs = ([*csv.DictReader(text.splitlines())] for text in (ours, theirs))
        assert [one["status"] for one in ours] == [one["status"] for one in theirs], (len(ours), len(theirs))
        print("predictions for a Parquet file: equal", flush=True)


def rates(facefold, cluster_program, directory, arguments):
    """Pictures a second of two executors of one thread, and of two threads of one process, in turns; medians."""
    shared = ["--model", arguments.model, "--taps"]
    draw(facefold, directory / "timed", arguments.timed_pictures)
    cluster = Cluster(cluster_program, directory)
    for _ in range(2):
        cluster.start_executor()
    found = {"threads": [], "executors": []}
    for number in range(arguments.rounds + 1):
        for kind in found:
            target = directory / f"timed-{kind}"
            shutil.rmtree(target, ignore_errors=True)
            if kind == "threads":
                command = [facefold, "extract", "adience", directory / "timed", "--store", target, *shared, "--threads", 2]
            else:
                command = [cluster_program, "extract", "adience", directory / "timed", "--store", target, *shared, *cluster.client()]
            start = time.monotonic()
            run(*command)
            # The first round loads the executors' networks.
            if number > 0:
                found[kind].append(arguments.timed_pictures / (time.monotonic() - start))
    print(json.dumps(found), flush=True)
    from_objects(facefold, cluster, directory, shared)
    from_tables(facefold, cluster, directory, shared)
    cluster.stop()
    return {kind: statistics.median(of_rounds) for kind, of_rounds in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000, help="of the extraction during which processes are killed; 0 for rates alone")
    parser.add_argument("--timed-pictures", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="untrained")
    parser.add_argument("--programs", type=pathlib.Path, help="directory of facefold and facefold-cluster")
    parser.add_argument("--report", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.programs is None:
        run("cargo", "build", "--locked", "--release", "--manifest-path", ROOT / "Cargo.toml")
        run("cargo", "build", "--locked", "--release", "--manifest-path", ROOT / "crates/cluster/Cargo.toml", "--target-dir", ROOT / "target/cluster")
        programs = [ROOT / "target/release/facefold", ROOT / "target/cluster/release/facefold-cluster"]
    else:
        programs = [arguments.programs / name for name in ("facefold", "facefold-cluster")]
    facefold, cluster_program = programs

    directory = pathlib.Path(tempfile.mkdtemp(prefix="facefold-cluster-"))
    lines = []
    if arguments.pictures > 0:
        done = survive(facefold, cluster_program, directory, arguments)
        lines.append(
            f"- one scheduler, three executors of one thread, mutual TLS, {arguments.pictures} generated pictures; {', '.join(done)} of its bytes: the store "
            "equals that of one process (keys, bits, order of label rows), `store verify` says sound.")
    medians = rates(facefold, cluster_program, directory, arguments)
    ratio = medians["executors"] / medians["threads"]
    lines.append(
        f"- two executors of one thread against two threads of one process, {arguments.timed_pictures} pictures, whole commands, in turns, "
        f"medians of {arguments.rounds}: {medians['executors']:.1f} against {medians['threads']:.1f} pictures/s, ratio {ratio:.2f}.")
    text = "\n".join(["# A cluster on one machine", "", f"`scripts/cluster_test.py --pictures {arguments.pictures} --model {arguments.model}`. {machine(facefold)}.", "", *lines, ""])
    print(text)
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(text)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
