"""What the scripts that put load on the program, or end it, have in common. Linux only."""

import os
import pathlib
import platform
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/facefold"


def add_program(parser):
    """The options that all of these scripts have."""
    parser.add_argument("--facefold", type=pathlib.Path, default=PROGRAM, metavar="FILE", help="the program (default: target/release/facefold)")
    parser.add_argument("--model", default="buffalo_s", help="model pack; its files are looked for in FACEFOLD_MODELS")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help="where pictures and stores lie meanwhile (default: a temporary directory)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="also write the report, Markdown, there")


def program(arguments):
    """The program's full path; ends this script where it is not there."""
    if not arguments.facefold.is_file():
        sys.exit(f"expected the program at {arguments.facefold}; build it with `cargo build --release`, or name it with --facefold")
    return arguments.facefold.resolve()


def machine(facefold):
    """Processor, commit and day, for the head of a report."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    numbers = dict(re.findall(r"^(cpu family|model)\s*: (\d+)$", info, re.MULTILINE))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    version = subprocess.run([facefold, "--version"], capture_output=True, text=True).stdout.strip()
    return f"{name[1] if name else platform.processor()} (family {numbers.get('cpu family')}, model {numbers.get('model')}), {os.cpu_count()} cores; {version}, commit {commit}; {time.strftime('%d %B %Y')}"


def run(*words, **options):
    """Runs a command to its end, which must be a good one, and gives what it printed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def draw(facefold, directory, pictures, seed=0):
    """A synthetic data set in Adience's layout."""
    run(facefold, "data", "generate", directory, "--pictures", pictures, "--subjects", max(pictures // 10, 8), "--seed", seed)
    return directory


def extract(facefold, data, store, model, *options):
    """The command that extracts such a set."""
    return [facefold, "extract", "adience", data, "--tree", "faces", "--store", store, "--model", model, "--offline", *options]


class Server:
    """A running `facefold serve` on a free port of this machine."""

    def __init__(self, facefold, *options, environment=None):
        command = [facefold, "serve", "--listen", "127.0.0.1:0", "--offline", *options]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        line = self.process.stdout.readline()
        if "http://" not in line:
            sys.exit(f"{' '.join(map(str, command))}: expected an address in its first line, found {line!r}")
        host, port = line.strip().split("http://", 1)[1].split(":")
        self.address = (host, int(port))

    def stop(self):
        """Asks it to stop; gives its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=90)


def status(pid):
    """Kilobytes resident, kilobytes of them in no file, open files and threads of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = {key: int(value) for key, value in re.findall(r"^(VmRSS|RssAnon|Threads):\s+(\d+)", text, re.MULTILINE)}
    return fields["VmRSS"], fields["RssAnon"], len(os.listdir(f"/proc/{pid}/fd")), fields["Threads"]
