#!/usr/bin/env python3
"""Real huggingface_hub clients, five versions, against the gate: in front of `dir:` and of the stand-in hub.

    python3 tests/clients/run.py --binary target/debug/weighbridge --venvs .venvs
    python3 tests/clients/run.py --direct --venvs .venvs            the same against the stand-in itself, no gate

Prints a row a case, `ok client case` or `FAIL client case: why`, and closes with `clients: N passed, N failed`.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fixtures  # noqa: E402
import gate as servers  # noqa: E402
import raw  # noqa: E402
import venvs  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
# Slower than the gate keeps a client waiting (18 hops of 8 s), and done soon after: 80 kB in 180 s.
THROTTLE = 450


class Run:
    """One upstream with everything before it, and the rows it gave."""

    def __init__(self, args, upstream, tmp, interpreters):
        self.args, self.upstream, self.tmp = args, upstream, os.path.join(tmp, upstream)
        self.interpreters, self.rows, self.lock = interpreters, [], threading.Lock()
        os.makedirs(self.tmp)
        tree = os.path.join(self.tmp, "tree")
        self.stub = self.gate = None
        self.trap = servers.Trap()
        repos = fixtures.common()
        fixtures.write(tree, repos)
        if upstream == "hub":
            more, meta = fixtures.hub_only(list(interpreters), throttle=THROTTLE)
            fixtures.write(tree, more, copy.deepcopy(meta), self.trap.url)
            # Without a gate to take them out, Xet and links to the canonical host lead clients away.
            extra = [] if args.direct else ["--xet", "--page", "25"]
            self.stub = servers.Stub(tree, self.tmp, [fixtures.GOOD, fixtures.OTHER], extra)
        if not args.direct:
            source = self.stub.url if self.stub else f"dir:{tree}"
            hosts = [f"localhost:{self.stub.cdn_port}"] if self.stub else []
            # It tells all it ever tells: a case looks for tokens in it.
            self.gate = servers.Gate(args.binary, source, self.tmp, hosts=hosts, env={"WEIGHBRIDGE_LOG": "debug"})
        self.settings = {
            "endpoint": self.gate.url if self.gate else self.stub.url,
            "tree": tree,
            "upstream": upstream,
            "gate": self.gate is not None,
            "tokens": {"good": fixtures.GOOD, "other": fixtures.OTHER},
            "files": {f"{t} {rid}": sorted(files) for (t, rid), files in repos.items()},
            "filter": args.words,
        }

    def row(self, client, name, ok, detail=""):
        with self.lock:
            self.rows.append(ok)
            line = f"{'ok  ' if ok else 'FAIL'} {client} {self.upstream}: {name}"
            print(line + (f": {detail}" if detail else ""), flush=True)

    def client(self, version, phases):
        """All cases of some phases in one client's environment."""
        home = os.path.join(self.tmp, f"{version}-{phases[0]}")
        os.makedirs(home)
        log = os.path.join(home, "cut.log")
        proxy = servers.CutProxy(self.settings["endpoint"], log)
        settings = {
            **self.settings,
            "tmp": home,
            "version": version,
            "phases": phases,
            "cut": {"endpoint": proxy.url, "log": log, "path": "weights.safetensors"},
        }
        path = os.path.join(home, "settings.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(settings, f)
        env = {"PATH": os.environ.get("PATH", ""), "HOME": home, "LANG": "C.UTF-8"}
        args = [self.interpreters[version], os.path.join(HERE, "cases.py"), path]
        with open(os.path.join(home, "stderr"), "w", encoding="utf-8") as err:
            p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL, env=env, text=True)
            guard = threading.Timer(self.args.timeout, p.kill)
            guard.start()
            for line in p.stdout:
                try:
                    r = json.loads(line)
                except ValueError:
                    continue
                self.row(version, r["case"], r["ok"], r["detail"])
            code = p.wait()
            guard.cancel()
        if code != 0:
            with open(os.path.join(home, "stderr"), encoding="utf-8") as err:
                tail = " | ".join(err.read().strip().splitlines()[-2:])
            self.row(version, f"all cases ran ({phases[0]})", False, f"exit {code}: {tail}")

    def clients(self, *phases, workers=None):
        with ThreadPoolExecutor(workers or self.args.jobs) as pool:
            list(pool.map(lambda v: self.client(v, list(phases)), self.interpreters))

    def all(self):
        plain = raw.Raw(self.settings, self.gate, self.stub, self.trap, self.args.binary) if self.gate else None
        slow = None
        try:
            if self.stub and plain and not self.args.no_slow:
                # Beside everything else, each client waiting for a slow file of its own.
                slow = threading.Thread(target=self.clients, args=("slow",), kwargs={"workers": len(self.interpreters)})
                slow.start()
            self.clients("up")
            if plain:
                for row in plain.run(self.args.words):
                    self.row("raw-http", *row)
            if slow:
                slow.join()
            if plain and not self.args.words:
                for row in plain.after():
                    self.row("raw-http", *row)
                if self.stub:
                    self.down(plain)
        finally:
            if slow:
                slow.join()
            for server in (self.gate, self.stub):
                if server:
                    server.stop()

    def down(self, plain):
        self.stub.stop()
        self.clients("down", workers=len(self.interpreters))
        for row in plain.down():
            self.row("raw-http", *row)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", help="the gate; without it only --direct works")
    a.add_argument("--venvs", default=".venvs", help="where the environments are kept")
    a.add_argument("--versions", nargs="*", default=list(venvs.VERSIONS))
    a.add_argument("--upstreams", nargs="*", default=["dir", "hub"])
    a.add_argument("--direct", action="store_true", help="clients against the stand-in itself")
    a.add_argument("--no-slow", action="store_true", help="leave out the throttled upstream (four minutes)")
    a.add_argument("--timeout", type=int, default=900, help="seconds for one client")
    a.add_argument("--jobs", type=int, default=2, help="clients at once")
    a.add_argument("--keep", action="store_true", help="keep logs and data")
    a.add_argument("words", nargs="*", help="only cases that hold all these words")
    args = a.parse_args()
    if args.direct:
        args.upstreams = ["hub"]
    elif not args.binary or not os.path.exists(args.binary):
        a.error("--binary: no gate there; build it with: cargo build -p weighbridge")
    args.binary = args.binary and os.path.abspath(args.binary)
    folder = os.path.abspath(args.venvs)
    interpreters = {v: venvs.client(folder, v) for v in args.versions}
    tmp, rows = servers.Tmp(args.keep), []
    try:
        for upstream in args.upstreams:
            run = Run(args, upstream, tmp.path, interpreters)
            run.all()
            rows += run.rows
    finally:
        tmp.close()
    failed = rows.count(False)
    print(f"clients: {len(rows) - failed} passed, {failed} failed")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
