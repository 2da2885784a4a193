#!/usr/bin/env python3
"""Measures `facefold serve` on this machine and writes results/bench/serve.md.

Needs a release build and nothing else but Python's standard library:

    cargo build --release
    scripts/bench_serve.py target/release/facefold                  the long form: under 14 minutes
    scripts/bench_serve.py target/release/facefold --seconds 20 --out /tmp/serve.md      a short one: 2 minutes

It ends with exit code 1 where a figure is not what is wanted.

It draws its own faces. Load is sent to 127.0.0.1 only, by this script, bounded in time. The script
itself takes cores from the server; figures are of both together. Single runs of `extract` and of the
server, with and without batching, are interleaved, and medians given.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROUNDS = 3
# Times the server's capacity.
OVERLOAD = 10
HEADS = ["mlp", "mlp-ensemble", "mlp-multi-task", "mlp-groups-from-age", "mlp-residual", "svm", "svm-linear", "trees", "knn", "linear", "majority"]


class Client:
    """A kept connection that sends prepared requests and reads whole answers."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def ask(self, request):
        """Status and body."""
        self.socket.sendall(request)
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lower = head.lower()
        length = int(lower.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        while len(self.buffer) < length:
            self.more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(head[9:12]), body

    def more(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server hung up")
        self.buffer += piece


def get(path):
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def embed(picture):
    return posted("/v1/embed", picture)


def posted(path, picture):
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: {len(picture)}\r\n\r\n"
    return head.encode() + picture


class Server:
    def __init__(self, facefold, *options):
        command = [facefold, "serve", "--listen", "127.0.0.1:0", "--offline", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "http://" not in line:
            sys.exit("facefold serve did not start; does the model have to be fetched first?")
        self.address = line.strip().split("http://", 1)[1]

    def metric(self, name):
        _, body = Client(self.address).ask(get("/metrics"))
        for line in body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            sys.exit("facefold serve did not end well")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def closed_loop(server, requests, clients, seconds):
    """Requests a second with so many clients that each wait for their answer; CPU-seconds a request."""
    end = time.monotonic() + seconds

    def one(start):
        client, done = Client(server.address), 0
        while time.monotonic() < end:
            status, _ = client.ask(requests[(start + done) % len(requests)])
            assert status in (200, 422), status
            done += 1
        return done

    before, start = server.cpu_seconds(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(one, range(0, 31 * clients, 31)))
    return done / (time.monotonic() - start), (server.cpu_seconds() - before) / done


def open_loop(server, requests, rate, seconds, clients):
    """Times from when a request was due to its answer, and counts by status, at a steady rate."""
    start = time.monotonic()
    times, counts, lock = [], {}, threading.Lock()
    next_one = iter(range(int(rate * seconds)))

    def one(_):
        client, mine, seen = Client(server.address), [], {}
        while True:
            with lock:
                number = next(next_one, None)
            if number is None or time.monotonic() > start + seconds + 5:
                break
            due = start + number / rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            status, _ = client.ask(requests[number % len(requests)])
            seen[status] = seen.get(status, 0) + 1
            mine.append(time.monotonic() - due)
        with lock:
            times.extend(mine)
            for status, count in seen.items():
                counts[status] = counts.get(status, 0) + count

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(clients)))
    return times, counts, time.monotonic() - start


def offline_rate(facefold, model, drawn, count, directory, number):
    """Pictures a second of `extract`, start and end included, and its CPU-seconds a picture."""
    def cpu_seconds():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    store = directory / f"store-{number}"
    before, start = cpu_seconds(), time.monotonic()
    command = [facefold, "extract", "adience", drawn, "--store", store, "--model", model, "--offline", "--json"]
    extracted = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    # The synthetic dataset holds every picture twice, under both of Adience's trees.
    done = json.loads(extracted.stdout)["distinct_pictures"]
    if done != count:
        sys.exit(f"expected `extract` to do the {count} pictures that the server is sent, found {done}")
    return count / (time.monotonic() - start), (cpu_seconds() - before) / count


def bundles(facefold, model, drawn, directory):
    """A bundle for each kind of head, of this model's embeddings of the drawn faces."""
    store, made = directory / "heads-store", []
    run = lambda *words: subprocess.run([facefold, *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("extract", "adience", drawn, "--store", store, "--model", model, "--offline")
    for head in HEADS:
        task = "age-group" if head == "mlp-groups-from-age" else "gender,age" if head == "mlp-multi-task" else "gender"
        made.append(directory / f"{head}.facefold")
        run("train", "--store", store, "--task", task, "--head", head, "--set", "mlp.epochs=2", "--out", made[-1])
    return made


def answers(facefold, model, drawn, directory, requests, count):
    """Memory of a server with every kind of head, a tenth of so many answers after the start and at the end."""
    options = [word for bundle in bundles(facefold, model, drawn, directory) for word in ("--bundle", bundle)]
    with Server(facefold, *options) as server:
        def ask(number):
            client = Client(server.address)
            for at in range(number):
                status, _ = client.ask(requests[at % len(requests)])
                assert status in (200, 422), status

        clients, memory = 2 * os.cpu_count(), []
        for part in (0.1, 0.9):
            with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                list(pool.map(ask, [int(part * count / clients)] * clients))
            memory.append(server.metric("process_resident_memory_bytes"))
    return memory


def overload(server, requests, capacity, seconds):
    """Ten times the capacity; looks at /health and at memory once a second."""
    health, memory, is_over = [], [], threading.Event()

    def watch():
        client = Client(server.address)
        start = time.monotonic()
        while not is_over.wait(1.0):
            asked = time.monotonic()
            status, _ = client.ask(get("/health"))
            health.append((status, time.monotonic() - asked))
            memory.append((time.monotonic() - start, server.metric("process_resident_memory_bytes")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    clients = min(200, max(40, int(OVERLOAD * capacity / 5)))
    _, counts, took = open_loop(server, requests, OVERLOAD * capacity, seconds, clients)
    is_over.set()
    watcher.join()
    warm = statistics.median(bytes for at, bytes in memory if at <= max(10.0, seconds / 10))
    late = statistics.median(bytes for at, bytes in memory if at >= 0.9 * seconds) if memory[-1][0] >= 0.9 * seconds else memory[-1][1]
    most = max(bytes for at, bytes in memory if at > max(10.0, seconds / 10)) if memory[-1][0] > max(10.0, seconds / 10) else late
    return counts, took, health, (warm, late, most)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facefold", help="the program, built with --release")
    parser.add_argument("--model", default="buffalo_s", help="model pack; `untrained` needs no file and has no detector")
    parser.add_argument("--seconds", type=float, default=600, help="length of the overload; other parts are a tenth, 5 to 12")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--answers", type=int, default=20_000, help="answers of /v1/predict by every kind of head, after which memory is as before")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/bench/serve.md"))
    arguments = parser.parse_args()
    facefold = str(pathlib.Path(arguments.facefold).resolve())
    part = min(12.0, max(5.0, arguments.seconds / 10))
    threads = os.cpu_count()
    with tempfile.TemporaryDirectory(prefix="facefold-bench-") as temporary:
        directory = pathlib.Path(temporary)
        drawn = directory / "drawn"
        subprocess.run([facefold, "data", "generate", str(drawn), "--pictures", str(arguments.pictures)], check=True, stdout=subprocess.DEVNULL)
        files = [path.read_bytes() for path in sorted((drawn / "aligned").rglob("*.jpg"))]
        requests = [embed(content) for content in files]
        offline, batched, single = [], [], []
        for number in range(ROUNDS):
            offline.append(offline_rate(facefold, arguments.model, drawn, len(requests), directory, number))
            for rates, options in [(batched, ()), (single, ("--batch", 1))]:
                with Server(facefold, "--model", arguments.model, *options) as server:
                    closed_loop(server, requests, 2, 1)
                    rates.append(closed_loop(server, requests, 8 * threads, part))
        rate = lambda rates: statistics.median(rate for rate, _ in rates)
        cpu = lambda rates: statistics.median(cpu for _, cpu in rates)
        capacity = rate(batched)
        with Server(facefold, "--model", arguments.model) as server:
            alone, _, _ = open_loop(server, requests[:200], 0.1 * capacity, part, 1)
            half, half_counts, _ = open_loop(server, requests, 0.5 * capacity, part, 16)
            counts, took, health, memory = overload(server, requests, capacity, arguments.seconds)
        asked = [posted("/v1/predict", content) for content in files]
        warm, end = answers(facefold, arguments.model, drawn, directory, asked, arguments.answers)
    milliseconds = lambda seconds: f"{1000 * seconds:.1f} ms"
    mebibytes = lambda bytes: f"{bytes / 2**20:.0f} MiB"
    answered = counts.get(200, 0) + counts.get(422, 0)
    ratio, tail = capacity / rate(offline), percentile(half, 0.99) / statistics.median(alone)
    growth = memory[1] / memory[0] - 1
    met = lambda good: "yes" if good else "NO"
    unhealthy = sum(status != 200 for status, _ in health)
    others = {status: count for status, count in counts.items() if status not in (200, 422, 429)}
    lines = [
        "# `facefold serve` under load", "",
        f"{datetime.date.today()}, {platform.machine()}, {threads} cores; model `{arguments.model}`, {len(requests)} drawn pictures, one a request,",
        "`/v1/embed`. Load generator (Python) and server share the cores. Made by", "",
        f"    scripts/bench_serve.py {arguments.facefold} --model {arguments.model} --seconds {arguments.seconds:g}", "",
        "| what | measured | wanted | |", "| --- | ---: | ---: | --- |",
        f"| offline rate of `extract`, median of {ROUNDS} | {rate(offline):.1f}/s | | |",
        f"| served, {8 * threads} clients, median of {ROUNDS} | {capacity:.1f}/s | | |",
        f"| served / offline | {ratio:.2f} | >= 0.8 | {met(ratio >= 0.8)} |",
        f"| served with --batch 1 | {rate(single):.1f}/s | | |",
        f"| CPU a picture: `extract` / served / --batch 1 | {' / '.join(milliseconds(cpu(way)) for way in (offline, batched, single))} | | |",
        f"| one request at a time, median | {milliseconds(statistics.median(alone))} | | |",
        f"| at half load, median / p99 | {milliseconds(statistics.median(half))} / {milliseconds(percentile(half, 0.99))} | | |",
        f"| p99 at half load / one at a time | {tail:.2f} | <= 3 | {met(tail <= 3)} |",
        f"| {OVERLOAD} times the capacity for {took:.0f} s: requests sent | {sum(counts.values())} | | |",
        f"| of these answered / refused (429) | {answered} / {counts.get(429, 0)} | | |",
        f"| other statuses | {json.dumps(others)} | none | {met(not others)} |",
        f"| answered a second while overloaded | {answered / took:.1f}/s | | |",
        f"| `/health` asked / not 200 / slowest | {len(health)} / {unhealthy} / {milliseconds(max(time for _, time in health))} | 0 | {met(unhealthy == 0)} |",
        f"| memory after warm-up / at the end / most | {' / '.join(map(mebibytes, memory))} | within 5 % | {met(abs(growth) <= 0.05)} |",
        f"| memory of {len(HEADS)} kinds of heads after {arguments.answers // 10} / {arguments.answers} answers of `/v1/predict` | {mebibytes(warm)} / {mebibytes(end)} | within 5 % | {met(end <= 1.05 * warm)} |",
        "", f"Statuses at half load: {json.dumps(half_counts)}. All offline rates: {', '.join(f'{value:.1f}' for value, _ in offline)};",
        f"batched: {', '.join(f'{value:.1f}' for value, _ in batched)}; single: {', '.join(f'{value:.1f}' for value, _ in single)}.", "",
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines))
    print("\n".join(lines))
    if any(line.endswith("| NO |") for line in lines):
        sys.exit("some figures are not what is wanted")


if __name__ == "__main__":
    main()
