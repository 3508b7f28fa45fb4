#!/usr/bin/env python3
"""The board in each language, measured in one run, as a table for the README.

The server's processes are pinned to CPU 0 and the client, wrk, to CPU 1. One worker and one agent; each variant
starts from an empty home, so that its compile time is seen.

    just release; tests/bench/languages.py [VARIANT...]

Times are CPU time, so that what else the machine does counts little: of compiling the component (on one CPU it is
as long), of making one instance (a request to a fresh instance minus one to a resident one), of a request (GET
/where, 16 connections, the worker's whole process). Memory is the worker's PSS afterwards, which counts the code
that agent and worker share by halves.
"""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HATCHERY = pathlib.Path(os.environ.get("HATCHERY_BINARY", ROOT / "target/release/hatchery"))
MADE = ROOT / "guests/target/components"
RUST = ROOT / "guests/target/wasm32-wasip2/release"
VARIANTS = [
    ("Rust", "0.3", RUST / "board_p3.wasm"), ("Rust", "0.2", RUST / "board_p2.wasm"),
    ("C", "0.3", MADE / "board-c-0.3.wasm"), ("C", "0.2", MADE / "board-c.wasm"),
    ("Go", "0.3", MADE / "board-go-0.3.wasm"), ("Go", "0.2", MADE / "board-go.wasm"),
    ("JavaScript (QuickJS)", "0.3", MADE / "board-js-0.3.wasm"),
    ("JavaScript", "0.2", MADE / "board-js.wasm"), ("TypeScript", "0.2", MADE / "board-ts.wasm"),
    ("Python", "0.3", MADE / "board-python-0.3.wasm"), ("Python", "0.2", MADE / "board-python.wasm"),
]
START_DEADLINE = 120
SECONDS = 5


class App:
    """A cluster of one agent and one worker, as long as the `with` block."""

    def __init__(self, wasm, home, instance="resident", agent_only=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hatchery-bench-"))
        shutil.copy(wasm, self.folder / "board.wasm")
        worker = f'[worker]\ncomponent = "board.wasm"\nlisten = "127.0.0.1:0"\nworkers = 1\ninstance = "{instance}"\n'
        (self.folder / "hatchery.toml").write_text(
            f'name = "board"\nversion = "0.1.0"\n{"" if agent_only else worker}[agent]\ncomponent = "board.wasm"\n'
        )
        self.log = open(self.folder / "log", "w+")
        command = ["taskset", "-c", "0", HATCHERY, "run", "--home", home, self.folder]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=self.log, text=True)

    def __enter__(self):
        end = time.time() + START_DEADLINE
        os.set_blocking(self.process.stdout.fileno(), False)
        while time.time() < end and self.process.poll() is None:
            line = self.process.stdout.readline()
            if line.startswith("ready"):
                address = re.search(r"addr=(\S+)", line)
                self.url = address and f"http://{address[1]}"
                return self
            time.sleep(0.01)
        sys.exit(f"languages: not ready; {self.text()}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        shutil.rmtree(self.folder)

    def text(self):
        return (self.folder / "log").read_text()

    def worker(self):
        """Its OS pid."""
        return int(re.findall(r"started .*role=worker .*os_pid=(\d+)", self.text())[-1])

    def request(self, connections):
        """The CPU time of the worker for one request in µs, errors being none."""
        before, pid = cpu(self.worker()), self.worker()
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", f"{self.url}/where"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in said or re.search(r"Socket errors: .*read [1-9]", said) or pid != self.worker():
            sys.exit(f"languages: {said}\n{self.text()[-3000:]}")
        requests = int(re.search(r"(\d+) requests in", said)[1])
        return (cpu(pid) - before) / requests * 1e6


def cpu(pid):
    """Seconds that it has spent."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) / 1024


def measure(wasm):
    home = tempfile.mkdtemp(prefix="hatchery-home-")
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with App(wasm, home, agent_only=True):
            pass
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        compiled = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        with App(wasm, home) as app:
            with urllib.request.urlopen(app.url + "/where") as answer:
                json.load(answer)
            resident = app.request(1)
            busy = app.request(16)
            memory = pss(app.worker())
        with App(wasm, home, instance="per-request") as app:
            fresh = app.request(1)
        return compiled, fresh - resident, busy, memory
    finally:
        shutil.rmtree(home)


def main():
    chosen = sys.argv[1:]
    print("| guest | WASI | component | compile | instance | request | memory |\n|---|---|---|---|---|---|---|")
    for language, wasi, wasm in VARIANTS:
        if chosen and wasm.stem not in chosen:
            continue
        compiled, instance, request, memory = measure(wasm)
        size = wasm.stat().st_size / 1e6
        size = f"{size * 1000:.0f} KB" if size < 1 else f"{size:.1f} MB"
        print(f"| {language} | {wasi} | {size} | {compiled:.2f} s | {instance / 1000:.2f} ms | {request:.0f} µs "
              f"| {memory:.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
