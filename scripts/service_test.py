#!/usr/bin/env python3
"""Runs `facefold serve` as deploy/ says: behind nginx at a sub-path, called by generated clients, its unit, and in the image's steps.

Needs nginx and npm (Debian's packages, or yours) and Python's venv; what a check lacks is named, and the check skipped.
It draws its own faces and trains a bundle on them with the untrained network. Generators are fetched: openapi-python-client,
and @hey-api/openapi-ts with typescript and @types/node.

    scripts/service_test.py target/debug/facefold
    scripts/service_test.py target/release/facefold --image   # as root, with Debian's mmdebstrap: deploy/Dockerfile, step by step

There is no Docker in it: --image makes Debian's root file system in a temporary directory and does there what deploy/Dockerfile says,
but for the build, in whose place it takes the program that it was given.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "crates/serve/assets/openapi.json"
TOKEN = "a-token-of-the-test"
BASE = "/faces"

PYTHON_CALL = """
import io, json, sys
from client import AuthenticatedClient
from client.api.pictures import embed, models, predict
from client.models import PredictFilesBody, Problem
from client.types import File

address, token, *pictures = sys.argv[1:]
client = AuthenticatedClient(base_url=address, token=token)
def file(path):
    return File(payload=open(path, "rb"), file_name=path)
def answer(operation, **arguments):
    reply = operation.sync_detailed(client=client, **arguments)
    assert reply.parsed is not None, (reply.status_code, reply.content, reply.headers)
    return reply.parsed
one = answer(predict, body=file(pictures[0]))
several = answer(predict, body=PredictFilesBody(pictures=[file(path) for path in pictures]))
embedding = answer(embed, body=file(pictures[0])).pictures[0].faces[0].embedding
refused = answer(predict, body=File(payload=io.BytesIO(b"no picture")))
assert isinstance(refused, Problem) and refused.status == 415, refused
print(json.dumps({
    "bundle": answer(models).bundles[0].name,
    "one": one.pictures[0].faces[0].predictions[0].to_dict(),
    "several": [picture.faces[0].predictions[0].to_dict() for picture in several.pictures],
    "columns": len(embedding),
}))
"""

TYPESCRIPT_CALL = """
import { openAsBlob } from "node:fs";
import { createClient } from "./client/client";
import { embed, models, predict } from "./client";
import type { Prediction } from "./client";

async function main() {
  const [address, token, ...pictures] = process.argv.slice(2);
  const client = createClient({ baseUrl: address, auth: token });
  const body = await openAsBlob(pictures[0]!);
  const one = await predict({ client, body, throwOnError: true });
  const several: Prediction[] = [];
  for (const path of pictures) {
    const reply = await predict({ client, body: await openAsBlob(path), throwOnError: true });
    several.push(reply.data.pictures[0]!.faces[0]!.predictions![0]!);
  }
  const embedded = await embed({ client, body, throwOnError: true });
  const refused = await predict({ client, body: new Blob(["no picture"]) });
  if (refused.error?.status !== 415) throw new Error(JSON.stringify(refused.error));
  const served = await models({ client, throwOnError: true });
  console.log(JSON.stringify({
    bundle: served.data.bundles[0]!.name,
    one: one.data.pictures[0]!.faces[0]!.predictions![0],
    several,
    columns: embedded.data.pictures[0]!.faces[0]!.embedding!.length,
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
"""


def run(*command, **options):
    """Runs a command; its output, or what it said where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen([str(part) for part in command], **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers or {})
    reply = connection.getresponse()
    return reply.status, dict((name.lower(), value) for name, value in reply.getheaders()), reply.read()


@contextlib.contextmanager
def served(facefold, bundle, port):
    command = [facefold, "serve", "--bundle", bundle, "--listen", f"127.0.0.1:{port}", "--offline", "--base-path", BASE, "--results", ROOT / "results"]
    with running(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "FACEFOLD_TOKEN": TOKEN}) as process:
        line = process.stdout.readline()
        assert line.strip() == f"listening on http://127.0.0.1:{port}{BASE}", line
        yield


@contextlib.contextmanager
def behind_nginx(directory, upstream):
    """nginx with deploy/nginx.conf in a server of its own; its port."""
    port = free_port()
    location = (ROOT / "deploy/nginx.conf").read_text()
    assert "http://127.0.0.1:8080" in location
    location = location.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{upstream}")
    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; {temporary}\nserver {{ listen 127.0.0.1:{port}; server_name localhost;\nlocation / {{ return 404; }}\n{location}\n}} }}\n")
    with running(["nginx", "-c", configuration, "-p", directory], stderr=subprocess.DEVNULL):
        for _ in range(100):
            with contextlib.suppress(OSError):
                if get(port, f"{BASE}/ready")[0] == 200:
                    break
            time.sleep(0.1)
        yield port


def check_pages(port):
    """What a browser is led through: each address relative to the last, none outside of the sub-path."""
    status, headers, _ = get(port, BASE)
    assert (status, headers.get("location")) == (308, "faces/"), (status, headers)
    status, _, page = get(port, f"{BASE}/")
    assert status == 200, status
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page.decode())
    for address in (address for address in addresses if not address.startswith("data:")):
        assert not address.startswith(("/", "http")), address
        assert get(port, f"{BASE}/{address}")[0] == 200, address
    status = get(port, "/v1/models")[0]
    assert status == 404, f"nginx passes on what is outside of {BASE}: {status}"
    authorised = {"authorization": f"Bearer {TOKEN}"}
    reports = json.loads(get(port, f"{BASE}/v1/results", authorised)[2])
    assert reports, "no reports"
    status, headers, _ = get(port, f"{BASE}/v1/results/{reports[0]['name']}/report.html", authorised)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8"), status
    status = get(port, f"{BASE}/v1/models")[0]
    assert status == 401, f"without a token: {status}"


def check_answers(found, expected):
    assert found["bundle"] == "faces" and found["columns"] == 512, found
    assert len(found["several"]) == len(expected) and found["several"][0] == found["one"], found
    for one, other in zip(found["several"], expected):
        for key in ("gender", "age", "age_low", "age_high", "familiarity"):
            assert one[key] == other[key], f"{key}: a client got {one[key]}, `predict` says {other[key]}"


def python_client(directory, port, pictures):
    venv = directory / "venv"
    run(sys.executable, "-m", "venv", venv)
    run(venv / "bin/pip", "install", "--quiet", "openapi-python-client==0.29.1")
    run(venv / "bin/openapi-python-client", "generate", "--path", DOCUMENT, "--output-path", directory / "client", "--meta", "none")
    (directory / "call.py").write_text(PYTHON_CALL)
    return json.loads(run(venv / "bin/python", "call.py", f"http://127.0.0.1:{port}{BASE}", TOKEN, *pictures, cwd=directory))


def typescript_client(directory, port, pictures):
    run("npm", "init", "--yes", cwd=directory)
    run("npm", "install", "--silent", "--no-fund", "--no-audit", "@hey-api/openapi-ts@0.95.0", "typescript@5", "@types/node@20", cwd=directory)
    run("npx", "openapi-ts", "--input", DOCUMENT, "--output", "client", cwd=directory)
    (directory / "call.ts").write_text(TYPESCRIPT_CALL)
    run("npx", "tsc", "--strict", "--noUncheckedIndexedAccess", "--skipLibCheck", "--target", "es2022", "--module", "commonjs", "--moduleResolution", "node10",
        "--lib", "es2022,dom,dom.iterable", "--outDir", "made", "call.ts", cwd=directory)
    return json.loads(run("node", "made/call.js", f"http://127.0.0.1:{port}{BASE}", TOKEN, *pictures, cwd=directory))


def instructions(text):
    """The instructions of a Dockerfile, as pairs of a word and the rest."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def check_image(directory, facefold, bundle):
    """Does what the last stage of deploy/Dockerfile says, then what a container's start and health check do."""
    stages = []
    for word, rest in instructions((ROOT / "deploy/Dockerfile").read_text()):
        if word == "FROM":
            stages.append((rest, []))
        else:
            stages[-1][1].append((word, rest))
    (build, build_steps), (base, steps) = stages
    assert re.fullmatch(r"rust:\S+-slim-bookworm AS build", build) and base == "debian:bookworm-slim", (build, base)
    assert ("RUN", "cargo build --locked --release --package facefold-cli") in build_steps
    root = directory / "root"
    run("mmdebstrap", "--variant=minbase", "bookworm", root)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    variables, user, health, entry, command = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, "root", None, [], []
    for word, rest in steps:
        if word == "RUN":
            # Its packages are Debian's: from the mirrors that made the file system.
            run("chroot", root, "bash", "-ec", rest, env=variables)
        elif word == "COPY":
            source, target = rest.removeprefix("--from=build ").split()
            assert source == "/build/target/release/facefold", source
            shutil.copy(facefold, root / target.lstrip("/"))
        elif word == "USER":
            user = rest
        elif word == "ENV":
            name, value = rest.split("=", 1)
            variables[name] = value
        elif word == "HEALTHCHECK":
            health = json.loads(rest[rest.index("CMD") + 3:])
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        elif word == "CMD":
            command = json.loads(rest)
        else:
            assert word in ("VOLUME", "EXPOSE"), word
    variables["FACEFOLD_TOKEN"] = TOKEN
    inside = ["chroot", f"--userspec={user}", root]
    assert run(*inside, "id", "--user", env=variables).strip() != "0", "the container runs as root"
    run(*inside, "touch", "/models/can-be-written", env=variables)
    assert subprocess.run([*inside, *health], env=variables, capture_output=True).returncode != 0, "healthy before it runs"
    # With the drawn faces' bundle, whose network needs no weights; `predict` of the embedded one needs them.
    shutil.copy(bundle, root / "models/faces.facefold")
    with running([*inside, *entry, *command, "--bundle", "/models/faces.facefold"], env=variables, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.strip() == "listening on http://0.0.0.0:8080", line
        run(*inside, *health, env=variables)
    assert process.returncode == 0, f"the container's program ends with {process.returncode}"


def check_unit(directory, facefold):
    """systemd finds nothing to complain of in deploy/facefold.service, with the program in its place."""
    unit = (ROOT / "deploy/facefold.service").read_text()
    assert "/usr/local/bin/facefold" in unit
    path = directory / "facefold.service"
    path.write_text(unit.replace("/usr/local/bin/facefold", facefold))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facefold", help="the program")
    parser.add_argument("--image", action="store_true", help="do the steps of deploy/Dockerfile too (root, mmdebstrap)")
    arguments = parser.parse_args()
    facefold = str(pathlib.Path(arguments.facefold).resolve())
    for program in ["nginx", "npm", *(["mmdebstrap"] if arguments.image else [])]:
        if not shutil.which(program):
            sys.exit(f"no {program}: apt-get install {program}")
    with tempfile.TemporaryDirectory(prefix="facefold-service-") as temporary:
        directory = pathlib.Path(temporary)
        faces, store, bundle = directory / "drawn", directory / "store", directory / "faces.facefold"
        run(facefold, "data", "generate", faces, "--subjects", 12, "--pictures", 60, "--seed", 3)
        run(facefold, "extract", "adience", faces, "--store", store, "--model", "untrained")
        run(facefold, "train", "--store", store, "--task", "gender,age", "--head", "linear", "--out", bundle)
        pictures = [str(path) for path in sorted(faces.rglob("*.jpg"))[:3]]
        expected = [json.loads(run(facefold, "predict", "--bundle", bundle, "--json", picture))[0] for picture in pictures]
        upstream = free_port()
        with served(facefold, bundle, upstream), behind_nginx(directory, upstream) as port:
            check_pages(port)
            print("behind nginx: the page, its files, reports and tokens are below the sub-path")
            for name, call in [("python", python_client), ("typescript", typescript_client)]:
                place = directory / name
                place.mkdir()
                check_answers(call(place, port, pictures), expected)
                print(f"a generated {name} client: predictions as `facefold predict` gives them, embeddings, problems")
        if shutil.which("systemd-analyze"):
            check_unit(directory, facefold)
            print("the unit: systemd-analyze verify finds nothing")
        else:
            print("skipped: the unit, as there is no systemd-analyze")
        if arguments.image:
            check_image(directory, facefold, bundle)
            print("the image's steps: runs as its own user, is healthy, ends at SIGTERM")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"service test failed: {error}")
