#!/usr/bin/env python3
"""The gate dies by kill -9 at random moments while clients pull, and starts again on the same DATA.

    python3 tests/kill/run.py --binary target/debug/weighbridge --rounds 8 [--seed N]

After every death the audit chain must verify. At the end every answer that a client's own log saw begin must be on
the audit, nothing refused may have been delivered, and nothing delivered may differ from the upstream. Prints a row a
check, as the other tests do.
"""

import argparse
import collections
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import fixtures  # noqa: E402
import gate as servers  # noqa: E402

AGENT = "unknown/None; hf_hub/2.4.0; python/3.11.7"
REPO = "acme/mixed"


def repository(files):
    """Harmless and poisoned files of many sizes, each with bytes of its own."""
    tree = {"config.json": b"{}\n"}
    for i in range(files):
        tree[f"weights-{i:02}.safetensors"] = fixtures.safetensors(f"kill-{i}", 500 + 20_000 * (i % 5))
        if i % 3 == 0:
            # The same call with padding after STOP: other bytes, other digest.
            tree[f"bad-{i:02}.bin"] = fixtures.PICKLE_CALL + b"%d" % i
    return tree


class Log:
    """What the clients saw: (path, status, digest of the body or None where it was cut off)."""

    def __init__(self):
        self.rows, self.lock = [], threading.Lock()

    def add(self, *row):
        with self.lock:
            self.rows.append(row)


class Puller(threading.Thread):
    """One client: asks for random files until told to stop, and writes down each answer that began."""

    def __init__(self, run, seed):
        super().__init__(daemon=True)
        self.run_, self.random, self.stopping = run, random.Random(seed), False

    def run(self):
        while not self.stopping:
            path = self.random.choice(self.run_.paths)
            try:
                self.pull(path)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    def pull(self, path):
        run, port = self.run_, self.run_.port
        url = f"/{REPO}/resolve/main/{path}"
        for _ in range(25):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                c.request("GET", url, headers={"User-Agent": AGENT})
                r = c.getresponse()
                if r.status == 307:
                    url = r.getheader("Location")
                    continue
                # From here on the decision must be on the audit, whether the body arrives whole or not.
                digest = None
                try:
                    body = r.read()
                    digest = hashlib.sha256(body).hexdigest()
                finally:
                    run.log.add(path, r.status, digest)
            finally:
                c.close()
            return


class Run:
    def __init__(self, args, tmp):
        self.args, self.tmp, self.log = args, tmp, Log()
        self.files, self.random = repository(args.files), random.Random(args.seed)
        tree = os.path.join(tmp, "tree")
        # A slow upstream keeps fetches in flight for longer.
        faults = {p: {"throttle": 400_000} for p in self.files if p.endswith("3.safetensors")}
        fixtures.write(tree, {("models", REPO): self.files}, {("models", REPO): {"faults": faults}})
        self.paths = sorted(self.files)
        self.stub = servers.Stub(tree, tmp, [])
        self.data, self.port, self.failed, self.passed = os.path.join(tmp, "data"), 0, 0, 0
        os.makedirs(self.data, mode=0o700)

    def row(self, ok, name, detail=""):
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} kill: {name}" + (f": {detail}" if detail and not ok else ""), flush=True)

    def start(self):
        hosts = [f"localhost:{self.stub.cdn_port}"]
        gate = servers.Gate(self.args.binary, self.stub.url, self.tmp, data=self.data, hosts=hosts)
        self.port = gate.port
        return gate

    def verify(self):
        args = [self.args.binary, "audit", "verify", "--data", self.data]
        return subprocess.run(args, capture_output=True, text=True, timeout=120, check=False)

    def all(self):
        pullers = [Puller(self, self.args.seed * 100 + i) for i in range(self.args.clients)]
        gate = self.start()
        for p in pullers:
            p.start()
        for n in range(self.args.rounds):
            time.sleep(self.random.uniform(0.05, 2.5))
            gate.stop(kill=True)
            done = self.verify()
            self.row(done.returncode == 0, f"audit verifies after death {n + 1}", done.stdout + done.stderr)
            gate = self.start()
        time.sleep(2)
        for p in pullers:
            p.stopping = True
        for p in pullers:
            p.join(60)
        try:
            self.judge(self.audit(gate))
        finally:
            gate.stop()
        done = self.verify()
        self.row(done.returncode == 0, "audit verifies after an orderly stop", done.stdout + done.stderr)

    def audit(self, gate):
        """All rows, by (path, action) with the digests that were released."""
        rows, before = [], None
        while True:
            path = "/api/v1/decisions?limit=1000" + (f"&before={before}" if before is not None else "")
            c = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60)
            c.request("GET", path, headers={"Authorization": f"Bearer {gate.admin_token()}"})
            r = c.getresponse()
            page = json.loads(r.read())
            rows += page["rows"]
            if not page["more"]:
                return rows
            before = page["rows"][-1]["seq"]

    def judge(self, rows):
        audit, released = collections.Counter(), set()
        for row in rows:
            e = row["entry"]
            action = {"allow": "pass", "warn": "pass"}.get(e.get("action"), e.get("action"))
            audit[e.get("path"), action] += 1
            if action == "pass":
                released.add((e.get("path"), e.get("sha256")))
        seen, wrong, unknown, statuses = collections.Counter(), [], [], collections.Counter()
        for path, status, digest in self.log.rows:
            statuses[status if digest else "cut"] += 1
            if status == 200:
                seen[path, "pass"] += 1
                if digest is None:
                    continue
                if digest != hashlib.sha256(self.files[path]).hexdigest():
                    wrong.append(path)
                if (path, digest) not in released:
                    unknown.append(path)
            elif status == 403:
                seen[path, "block"] += 1
        print(f"     clients saw {dict(statuses)}, the audit holds {len(rows)} rows", flush=True)
        lost = {k: (n, audit[k]) for k, n in seen.items() if audit[k] < n}
        delivered = sorted({p for p, a in seen if a == "pass" and p.startswith("bad-")})
        refused = sorted({p for p, a in seen if a == "block" and not p.startswith("bad-")})
        self.row(
            statuses[200] >= self.args.rounds and statuses[403] >= self.args.rounds,
            "clients saw both answers",
            str(statuses),
        )
        self.row(not lost, "every answer the clients saw is on the audit", f"(path, action): (seen, audited) {lost}")
        self.row(not unknown, "every released digest is on the audit", str(sorted(set(unknown))[:5]))
        self.row(not wrong, "delivered bytes equal the upstream's", str(sorted(set(wrong))[:5]))
        self.row(not delivered, "nothing poisoned was delivered", str(delivered[:5]))
        self.row(not refused, "nothing harmless was refused", str(refused[:5]))


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", required=True)
    a.add_argument("--venvs", help="not used: the clients here are plain requests with a log of their own")
    a.add_argument("--rounds", type=int, default=8)
    a.add_argument("--clients", type=int, default=6)
    a.add_argument("--files", type=int, default=24)
    a.add_argument("--seed", type=int, default=int(time.time()), help="repeats the moments of death")
    a.add_argument("--keep", action="store_true")
    args = a.parse_args()
    args.binary = os.path.abspath(args.binary)
    print(f"     seed {args.seed}")
    tmp = servers.Tmp(args.keep)
    run = None
    try:
        run = Run(args, tmp.path)
        run.all()
    finally:
        if run:
            run.stub.stop()
        tmp.close()
    print(f"kill: {run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
