"""Makes one Python environment a client version, with exact pins, and keeps it until the pins change."""

import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = ("2.4.0", "1.33.0", "1.0.1", "0.36.2", "0.23.5")


def python(folder, name, requirements):
    """The interpreter of the environment `folder/name` in which `requirements` is installed."""
    with open(requirements, "rb") as f:
        want = hashlib.sha256(f.read() + sys.version.encode()).hexdigest()
    env = os.path.join(folder, name)
    exe, mark = os.path.join(env, "bin", "python"), os.path.join(env, ".ready")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as f:
            if f.read() == want:
                return exe
    shutil.rmtree(env, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    run([sys.executable, "-m", "venv", env])
    run([exe, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir", "-r", requirements])
    with open(mark, "w", encoding="utf-8") as f:
        f.write(want)
    return exe


def client(folder, version):
    """The interpreter of a client version."""
    return python(folder, f"hub-{version}", os.path.join(HERE, f"requirements-{version}.txt"))


def run(args):
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise SystemExit(f"cannot make a Python environment: {' '.join(args)}: {' | '.join(tail)}")


if __name__ == "__main__":
    for v in VERSIONS:
        print(client(os.path.abspath(sys.argv[1]), v))
