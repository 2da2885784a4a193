#!/usr/bin/env python3
"""Extract a great many drawn pictures, and watch the rate and the memory from start to end.

    load_extraction.py FACEFOLD [--pictures 100000] [--drawn 3000] [--threads N] [--work DIR] [--out FILE]

FACEFOLD is the program. It draws DRAWN pictures of faces that do not exist; each is then copied
many times, with a number in a JPEG comment, so that no two copies have the same key and all are
decoded, detected, aligned and embedded. The pictures and the store lie in DIR meanwhile, by default
a temporary directory: 100,000 take 1.8 GB. Prints the rate and the memory for each tenth of the
pictures, as the program's own progress bar shows them, and writes them to FILE in Markdown. Exits
with 1 if the last tenth was more than a tenth slower or faster than the first, by the processor
time that it took, or if the memory grew by more than a tenth from the second tenth to the last.
"""
import argparse
import fcntl
import json
import os
import pathlib
import platform
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

PROGRESS = re.compile(rb"([\d,]+)/([\d,]+)")


def machine() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    return f"{name}, {os.cpu_count()} cores, load average {load}, commit {commit}, {time.strftime('%d %B %Y')}"


def draw(facefold: str, work: pathlib.Path, drawn: int, pictures: int) -> pathlib.Path:
    """A folder with that many pictures, no two with the same bytes."""
    target = work / "pictures"
    if target.exists():
        return target
    command = [facefold, "data", "generate", str(work / "drawn"), "--pictures", str(drawn), "--subjects", str(max(drawn // 20, 8))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    sources = [path.read_bytes() for path in sorted((work / "drawn" / "faces").rglob("*.jpg"))]
    for number in range(pictures):
        content = sources[number % len(sources)]
        comment = f"{number:08}".encode()
        # After the start of image: the marker of a comment, and its length with these two bytes.
        head = content[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment
        path = target / f"{number // 1000:04}" / f"{number:08}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + content[2:])
    return target


class Watch:
    """The program under a terminal of its own, whose progress bar is read."""

    def __init__(self, command: list[str]):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        environment = dict(os.environ, TERM="xterm")
        self.start, self.done, self.said = time.monotonic(), 0, b""
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
        os.close(theirs)
        self.reader = threading.Thread(target=self.read, args=(ours,), daemon=True)
        self.reader.start()

    def read(self, terminal: int) -> None:
        # At the end of the program the terminal gives an error or nothing.
        try:
            while chunk := os.read(terminal, 1 << 16):
                self.said = (self.said + chunk)[-1 << 12 :]
                if found := PROGRESS.findall(self.said):
                    self.done = max(self.done, int(found[-1][0].replace(b",", b"")))
        except OSError:
            pass

    def sample(self) -> tuple[float, int, float, float]:
        """Seconds, pictures, processor seconds, resident megabytes."""
        folder = pathlib.Path(f"/proc/{self.child.pid}")
        # After the name, which may hold spaces: user and system time are fields 14 and 15.
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        processor = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        pages = int((folder / "statm").read_text().split()[1])
        return time.monotonic() - self.start, self.done, processor, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def tenths(samples: list[tuple[float, int, float, float]], pictures: int) -> list[dict[str, float]]:
    """Rates and memory between the moments at which each tenth was done."""

    def at(done: float) -> list[float]:
        after = next(i for i, sample in enumerate(samples) if sample[1] >= done)
        if after == 0:
            return list(samples[0])
        (a, b), share = samples[after - 1 : after + 1], 1.0
        if b[1] > a[1]:
            share = (done - a[1]) / (b[1] - a[1])
        return [x + share * (y - x) for x, y in zip(a, b)]

    first = at(1)
    rows = []
    for tenth in range(1, 11):
        last = at(pictures * tenth / 10)
        done = last[1] - first[1]
        inside = [sample[3] for sample in samples if first[0] <= sample[0] <= last[0]] or [last[3]]
        rows.append({"seconds": last[0] - first[0], "rate": done / (last[0] - first[0]),
                     "processor_rate": done / (last[2] - first[2]), "memory": last[3], "most": max(inside)})
        first = last
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facefold")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--drawn", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, help="kept afterwards; pictures that are there are taken")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    begin = machine()
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or pathlib.Path(scratch)
        folder = draw(arguments.facefold, work, arguments.drawn, arguments.pictures)
        command = [arguments.facefold, "extract", "folder", str(folder), "--store", str(work / "store"),
                   "--threads", str(arguments.threads), "--json"]
        watch = Watch(command)
        samples = []
        while watch.child.poll() is None:
            try:
                samples.append(watch.sample())
            except (FileNotFoundError, ProcessLookupError, IndexError):
                break
            time.sleep(0.25)
        answer = watch.child.stdout.read()
        if watch.child.wait() != 0:
            sys.exit(f"{' '.join(command)}: {watch.said.decode(errors='replace')}")
        report = json.loads(answer)
    moving = [sample for sample in samples if sample[3] > 0]
    # What the bar said last may be a few pictures short of the end.
    rows = tenths(moving, moving[-1][1])
    rate = rows[-1]["processor_rate"] / rows[0]["processor_rate"]
    growth = rows[-1]["memory"] / rows[1]["memory"]
    held = abs(rate - 1) <= 0.1 and growth <= 1.1
    lines = [
        f"# {report['distinct_pictures']:,} drawn pictures", "",
        f"    scripts/load_extraction.py {' '.join(sys.argv[1:])}", "",
        f"Start: {begin}.", "", f"End: {machine()}.", "",
        f"{report['embedded']:,} embedded, rejected: {json.dumps(report['rejected'])}; {report['execution']}, {arguments.threads} threads, {report['seconds']:.0f} s.", "",
        "| tenth | seconds | pictures a second | a second of processor | memory at its end, MB | most in it, MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *(f"| {number} | {row['seconds']:.1f} | {row['rate']:.1f} | {row['processor_rate']:.1f} | {row['memory']:.0f} | {row['most']:.0f} |" for number, row in enumerate(rows, 1)), "",
        f"Last tenth to first: rate {rows[-1]['rate'] / rows[0]['rate']:.3f} by the clock, {rate:.3f} by processor time. Memory, last tenth to second: {growth:.3f}.",
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(lines) + "\n")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
