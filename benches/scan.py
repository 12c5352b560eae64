#!/usr/bin/env python3
"""The scanner beside picklescan, fickling, modelscan and modelaudit, and `--hash` beside openssl, on the same files by turns.

    cargo build --release
    python3 benches/scan.py --binary target/release/weighbridge --inputs /tmp/bench-inputs --venvs .venvs

Prints Markdown tables: wall time of the whole process (median), CPU, peak memory, and how often we are faster.
"""

import argparse
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "clients")]
import inputs  # noqa: E402
import measure  # noqa: E402
import venvs  # noqa: E402

# (file, what, rounds)
FILES = (
    ("small.pkl", "small pickle, 5 kB", 41),
    ("small", "2,000 small pickles", 15),
    ("big.pt", "torch zip, 1 GiB", 15),
    ("legacy.bin", "torch legacy, 256 MiB", 15),
    ("dense.pkl", "dense pickle, 200 MB", 3),
)
PEERS = ("picklescan", "fickling", "modelscan", "modelaudit")
# A peer that takes longer than SLOW seconds in its first round is not run again; one that takes longer than LIMIT is ended.
SLOW, LIMIT = 0.3, 120
# Nothing is sent home while time is taken.
QUIET = {"DO_NOT_TRACK": "1", "NO_ANALYTICS": "1", "PROMPTFOO_DISABLE_TELEMETRY": "1"}
# fickling takes one file a call: a folder is gone through in one process, as its documentation shows.
FICKLING = """
import pathlib, sys, fickling
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    fickling.is_likely_safe(path)
"""


def peer(name, bin_dir, path):
    """The command of a scanner for a file or folder."""
    if name == "picklescan":
        return [f"{bin_dir}/picklescan", "--path", path]
    if name == "modelscan":
        return [f"{bin_dir}/modelscan", "-p", path]
    if name == "modelaudit":
        return [f"{bin_dir}/modelaudit", "scan", "--no-cache", path]
    if os.path.isdir(path):
        return [f"{bin_dir}/python", "-c", FICKLING, path]
    return [f"{bin_dir}/fickling", "--check-safety", "--json-output", "/dev/null", path]


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", default="target/release/weighbridge")
    a.add_argument("--inputs", required=True, help="a folder; what is missing in it is written first (3 GB)")
    a.add_argument("--venvs", default=".venvs")
    a.add_argument("--scale", type=float, default=1.0, help="smaller inputs, for trying the script")
    a.add_argument("--rounds", type=int, help="in place of the rounds chosen a file")
    args = a.parse_args()
    binary, folder = os.path.abspath(args.binary), os.path.abspath(args.inputs)
    # By another process: what this one occupies is the least memory it can tell.
    subprocess.run([sys.executable, inputs.__file__, folder, "--scale", str(args.scale)], check=True)
    bin_dir = os.path.dirname(
        venvs.python(os.path.abspath(args.venvs), "scanners", os.path.join(HERE, "requirements.txt"))
    )
    os.environ.update(QUIET)
    print(f"{measure.machine()}; files in the page cache\n")
    rows = []
    for name, what, rounds in FILES:
        path = os.path.join(folder, name)
        warm(path)
        w, took = beside(binary, bin_dir, path, args.rounds or rounds)
        row = [what, measure.seconds(w.wall), f"{w.mib:.0f} MiB"]
        for t in (took[p] for p in PEERS):
            row += [shown(t), f"{t.mib:.0f} MiB", f"{t.wall / w.wall:.1f}x" if t.code >= 0 else "-"]
        rows.append(row)
        print(f"# {what}: {row[1:]}", file=sys.stderr)
    head = ["input", "weighbridge", "peak"]
    for p in PEERS:
        head += [p, "peak", "ratio"]
    print(measure.table(head, rows))
    reading(binary, folder, args.rounds or 15)
    dense(binary, folder, args.rounds or 3)
    hashing(binary, folder, args.rounds or 5)


def beside(binary, bin_dir, path, rounds):
    """(ours, {peer: its time}): all by turns; slow peers once."""
    commands = {"weighbridge": [binary, "scan", path]}
    once = {}
    for name in PEERS:
        command = peer(name, bin_dir, path)
        first = measure.run(command, limit=LIMIT)
        if first.wall > SLOW or first.code < 0:
            once[name] = first
        else:
            commands[name] = command
    took = measure.paired(commands, rounds)
    return took.pop("weighbridge"), took | once


def shown(t):
    if t.code >= 0:
        return measure.seconds(t.wall)
    return f"ended after {t.wall:.0f} s"


def reading(binary, folder, rounds):
    """The small files beside `cat`: how near judging is to reading."""
    path = os.path.join(folder, "small")
    files = [os.path.join(path, f) for f in sorted(os.listdir(path))]
    took = measure.paired({"ours": [binary, "scan", path], "cat": ["cat", *files]}, rounds)
    ours, cat = took["ours"].wall, took["cat"].wall
    row = [f"{len(files):,} small pickles", measure.seconds(ours), measure.seconds(cat), f"{ours / cat:.2f}x"]
    print("\n" + measure.table(["input", "scan", "cat", "of cat"], [row]))


def dense(binary, folder, rounds):
    """Pickles that are opcodes only, one kind each: time and memory a byte."""
    rows = []
    files = {"records": "dense.pkl", **{kind: f"dense-{kind}.pkl" for kind in inputs.DENSE}}
    for kind, name in files.items():
        path = os.path.join(folder, name)
        warm(path)
        t = measure.paired({"ours": [binary, "scan", path]}, rounds)["ours"]
        size = os.path.getsize(path)
        judged = {0: "complete", 1: "complete", 2: "partial"}[t.code]
        rate = f"{size / t.wall / 1e9:.2f}"
        rows.append([kind, f"{size / 1e6:.0f} MB", measure.seconds(t.wall), rate, f"{t.mib:.0f} MiB", judged])
    print("\n" + measure.table(["dense pickle", "size", "time", "GB/s", "peak", "judged"], rows))


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
            while f.read(1 << 20):
                pass


if __name__ == "__main__":
    main()
