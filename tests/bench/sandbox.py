#!/usr/bin/env python3
"""What the sandbox costs a request: one binary, with and without it, in interleaved runs of one session.

The binary is a release build that also knows the variable with which tests leave the sandbox out; the
shipped one does not. As in `run.py`, the server has CPU 0 and the client, wrk, CPU 1.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from run import ROOT, WASM, Server, manifest, measure, need  # noqa: E402

LEAVE_OUT = "HATCHERY_TEST_NO_SANDBOX"
BINARY = ROOT / "target/bench/hatchery-sandbox"


def build():
    """Debug assertions for this package only, kept beside what is shipped."""
    build = ["cargo", "build", "--locked", "--release", "--bin", "hatchery"]
    wrapper = ROOT / "tests/bench/assertions.sh"
    subprocess.run(build, check=True, cwd=ROOT, env={**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(wrapper)})
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "target/release/hatchery", BINARY)
    subprocess.run(build, check=True, cwd=ROOT)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    options.wrk = need("wrk", "apt-get install wrk")
    build()
    with tempfile.TemporaryDirectory() as folder:

        def start(name, wasm):
            app = manifest(folder, name, WASM / wasm, "resident")
            return Server(name, [BINARY, "run", app, "--home", f"{folder}/{name}-home"])

        pairs = []
        for version, wasm in (("0.3", "hello_p3.wasm"), ("0.2", "hello_p2.wasm")):
            os.environ.pop(LEAVE_OUT, None)
            inside = start(f"inside-{version[2:]}", wasm)
            os.environ[LEAVE_OUT] = "1"
            pairs.append((version, inside, start(f"outside-{version[2:]}", wasm)))
        os.environ.pop(LEAVE_OUT)
        try:
            for _, inside, outside in pairs:
                measure(inside, options, 1)
                measure(outside, options, 1)
            for turn in range(options.rounds):
                for _, *pair in pairs:
                    # Who comes first changes, as the machine may tire.
                    for server in pair if turn % 2 == 0 else reversed(pair):
                        server.rates.append(measure(server, options, options.seconds))
        finally:
            for _, inside, outside in pairs:
                inside.stop()
                outside.stop()
    for version, inside, outside in pairs:
        # Of each round by itself, as what the machine does changes from round to round.
        costs = sorted(1 - a / b for a, b in zip(inside.rates, outside.rates))
        print(
            f"WASI {version}: {statistics.median(inside.rates):,.0f} requests/s inside, "
            f"{statistics.median(outside.rates):,.0f} outside; the sandbox costs {statistics.median(costs):.1%} "
            f"(median of {len(costs)} rounds; {costs[0]:.1%} to {costs[-1]:.1%})"
        )


if __name__ == "__main__":
    main()
