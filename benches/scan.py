#!/usr/bin/env python3
"""The scanner beside picklescan and modelscan, and `--hash` beside openssl, on the same files by turns.

    cargo build --release
    python3 benches/scan.py --binary target/release/weighbridge --inputs /tmp/bench-inputs --venvs .venvs

Prints Markdown tables: wall time of the whole process (median), CPU, peak memory, and how often we are faster.
"""

import argparse
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "clients")]
import inputs  # noqa: E402
import measure  # noqa: E402
import venvs  # noqa: E402

# (file, what, rounds); modelscan is run once, it takes long
FILES = (
    ("small.pkl", "small pickle, 5 kB", 41),
    ("small", "2,000 small pickles", 5),
    ("big.pt", "torch zip, 1 GiB", 5),
    ("legacy.bin", "torch legacy, 256 MiB", 5),
    ("dense.pkl", "dense pickle, 200 MB", 3),
)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", default="target/release/weighbridge")
    a.add_argument("--inputs", required=True, help="a folder; what is missing in it is written first (2 GB)")
    a.add_argument("--venvs", default=".venvs")
    a.add_argument("--scale", type=float, default=1.0, help="smaller inputs, for trying the script")
    a.add_argument("--rounds", type=int, help="in place of the rounds chosen a file")
    args = a.parse_args()
    binary, folder = os.path.abspath(args.binary), os.path.abspath(args.inputs)
    inputs.write_all(folder, args.scale)
    bin_dir = os.path.dirname(
        venvs.python(os.path.abspath(args.venvs), "scanners", os.path.join(HERE, "requirements.txt"))
    )
    print(f"{measure.machine()}; files in the page cache\n")
    rows = []
    for name, what, rounds in FILES:
        path, rounds = os.path.join(folder, name), args.rounds or rounds
        warm(path)
        ours = {"weighbridge": [binary, "scan", path], "picklescan": [f"{bin_dir}/picklescan", "--path", path]}
        took = measure.paired(ours, rounds)
        took["modelscan"] = measure.paired({"modelscan": [f"{bin_dir}/modelscan", "-p", path]}, 1)["modelscan"]
        w = took["weighbridge"]
        row = [what, measure.seconds(w.wall), f"{w.mib:.0f} MiB"]
        for other in ("picklescan", "modelscan"):
            t = took[other]
            row += [measure.seconds(t.wall), f"{t.mib:.0f} MiB", f"{t.wall / w.wall:.1f}x"]
        rows.append(row)
        print(f"# {what}: {row[1:]}", file=sys.stderr)
    head = ["input", "weighbridge", "peak", "picklescan", "peak", "ratio", "modelscan", "peak", "ratio"]
    print(measure.table(head, rows))
    hashing(binary, folder, args.rounds or 5)


def hashing(binary, folder, rounds):
    """`scan --hash` beside `openssl dgst -sha256`: how near we are to the floor."""
    if not shutil.which("openssl"):
        print("\nskipped: 1 (openssl is not installed; sudo apt-get install -y openssl)")
        return
    rows = []
    for name in ("big.pt", "legacy.bin"):
        path = os.path.join(folder, name)
        warm(path)
        commands = {
            "ours": [binary, "scan", "--hash", path],
            "openssl": ["openssl", "dgst", "-sha256", path],
            "sha256sum": ["sha256sum", path],
        }
        took = measure.paired(commands, rounds)
        size = os.path.getsize(path) / 1e9
        rate = {k: f"{size / t.wall:.2f} GB/s" for k, t in took.items()}
        rows.append(
            [name, rate["ours"], rate["openssl"], rate["sha256sum"], f"{took['openssl'].wall / took['ours'].wall:.2f}x"]
        )
    print("\n" + measure.table(["input", "scan --hash", "openssl dgst", "sha256sum", "of openssl"], rows))


def warm(path):
    """Reads everything once, so that all contenders find it in the page cache."""
    files = [path] if os.path.isfile(path) else [os.path.join(path, f) for f in os.listdir(path)]
    for file in files:
        with open(file, "rb", buffering=0) as f:
            while f.read(1 << 22):
                pass


if __name__ == "__main__":
    main()
