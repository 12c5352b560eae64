#!/usr/bin/env python3
"""The gate beside a plain nginx (benches/nginx.conf): hits, misses, look-ups, and the time before the first byte.

    python3 benches/serve.py --binary target/release/weighbridge

Needs nginx, wrk (`sudo apt-get install -y nginx-light wrk`) and rustc. Load generator, gate and nginx share the machine's
cores; each pair is measured one after the other in the same run.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "clients")]
import fixtures  # noqa: E402
import gate as servers  # noqa: E402
import measure  # noqa: E402

AGENT = "unknown/None; hf_hub/2.4.0; python/3.11.7"
LUA = 'wrk.headers["User-Agent"] = "{agent}"\n{more}'


def need(program, package):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{program} is not installed; sudo apt-get install -y {package}")
    return found


class Bench:
    def __init__(self, args, tmp):
        self.args, self.tmp = args, tmp
        self.wrk, nginx = need("wrk", "wrk"), need("nginx", "nginx-light")
        tree = os.path.join(tmp, "tree")
        files = {
            "small.json": b'{"hidden_size": 768, "pad": "' + b"x" * 960 + b'"}',
            "medium.safetensors": fixtures.safetensors("medium", 1 << 20),
        }
        for i in range(args.misses):
            files[f"miss-{i:03}.safetensors"] = fixtures.safetensors(f"miss-{i}", 1 << 20)
        big = fixtures.safetensors("big", int((1 << 28) * args.scale) // 4)
        files["big.safetensors"] = big
        for i in range(3):
            files[f"big-miss-{i}.safetensors"] = fixtures.safetensors(f"big-{i}", int((1 << 28) * args.scale) // 4)
        self.sizes = {k: len(v) for k, v in files.items()}
        fixtures.write(tree, {("models", "acme/bench"): files})
        self.static, self.proxy = servers.free_port(), servers.free_port()
        conf = os.path.join(tmp, "nginx.conf")
        with open(os.path.join(HERE, "nginx.conf"), encoding="utf-8") as f:
            text = f.read()
        for k, v in {"DIR": tmp, "ROOT": tree, "STATIC": self.static, "PROXY": self.proxy}.items():
            text = text.replace(f"@{k}@", str(v))
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(tmp, 0o755)
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        run = [nginx, "-c", conf, "-e", f"{tmp}/nginx.log", *user]
        self.nginx = servers.Process(run, f"{tmp}/nginx.out", f"http://127.0.0.1:{self.static}/")
        self.gate = servers.Gate(args.binary, f"dir:{tree}", tmp)
        self.token = self.gate.admin_token()
        # A folder upstream is hashed once; that is no part of any miss.
        start = time.perf_counter()
        pull(self.urls("small.json")["gate"])
        total = sum(self.sizes.values()) >> 20
        print(f"\nfirst request, while the folder of {total} MiB is hashed: {time.perf_counter() - start:.2f} s")

    def stop(self):
        self.gate.stop()
        self.nginx.stop()

    def urls(self, file):
        return {
            "gate": f"{self.gate.url}/acme/bench/resolve/main/{file}",
            "nginx static": f"http://127.0.0.1:{self.static}/models/acme/bench/{file}",
            "nginx proxy": f"http://127.0.0.1:{self.proxy}/models/acme/bench/{file}",
        }

    def load(self, url, connections, token=None):
        """(requests/s, p50 ms, p99 ms, errors) under wrk."""
        lua = os.path.join(self.tmp, "wrk.lua")
        more = f'wrk.headers["Authorization"] = "Bearer {token}"\n' if token else ""
        with open(lua, "w", encoding="utf-8") as f:
            f.write(LUA.format(agent=AGENT, more=more))
        threads = str(min(2, connections))
        args = [
            self.wrk,
            "-t",
            threads,
            "-c",
            str(connections),
            "-d",
            f"{self.args.seconds}s",
            "--latency",
            "-s",
            lua,
            url,
        ]
        text = subprocess.run(args, capture_output=True, text=True, check=True).stdout
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        p = {q: to_ms(re.search(rf"\s{q}%\s+([\d.]+)(us|ms|s)", text)) for q in ("50", "99")}
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        return rate, p["50"], p["99"], int(bad[1]) if bad else 0

    def hits(self):
        rows = []
        for file, connections in (("small.json", 1), ("small.json", 16), ("medium.safetensors", 4)):
            pull(self.urls(file)["gate"])
            for name, url in self.urls(file).items():
                rate, p50, p99, bad = self.load(url, connections)
                size = self.sizes[file]
                rows.append(
                    [
                        f"{file} ({size:,} B)",
                        connections,
                        name,
                        f"{rate:,.0f}",
                        f"{rate * size / 1e9:.2f}",
                        f"{p50:.2f}",
                        f"{p99:.2f}",
                        bad,
                    ]
                )
        head = ["hit", "connections", "server", "requests/s", "GB/s", "p50 ms", "p99 ms", "errors"]
        print("\n" + measure.table(head, rows), flush=True)

    def streams(self):
        rows = []
        size = self.sizes["big.safetensors"]
        for name, url in self.urls("big.safetensors").items():
            pull(url)
            best = min(pull(url)[1] for _ in range(5))
            rows.append([name, "hit", f"{size / best / 1e9:.2f}"])
        # A miss: fetched, hashed, judged, put into the store, committed, served.
        times = [pull(self.urls(f"big-miss-{i}.safetensors")["gate"])[1] for i in range(3)]
        rows.append(["gate", "miss", f"{size / sorted(times)[1] / 1e9:.2f}"])
        print("\n" + measure.table([f"one stream, {size >> 20} MiB", "", "GB/s"], rows), flush=True)

    def misses(self):
        """Time to the first byte of 4 MiB files never seen before, beside nginx."""
        rows = []
        for name in ("gate", "nginx proxy"):
            firsts = sorted(pull(self.urls(f"miss-{i:03}.safetensors")[name])[0] for i in range(self.args.misses))
            rows.append([name, len(firsts), *(f"{quantile(firsts, q) * 1e3:.2f}" for q in (0.5, 0.9, 0.99, 1.0))])
        head = ["miss, 4 MiB: first byte", "files", "p50 ms", "p90 ms", "p99 ms", "max ms"]
        print("\n" + measure.table(head, rows), flush=True)

    def first_byte(self):
        """What a committed decision adds before the first byte of a file that is known."""
        rows = {}
        for name, url in self.urls("small.json").items():
            firsts = sorted(first_bytes(url, self.args.requests))
            rows[name] = [quantile(firsts, q) * 1e3 for q in (0.5, 0.99)]
        table = [[name, f"{p50:.3f}", f"{p99:.3f}"] for name, (p50, p99) in rows.items()]
        added = [rows["gate"][i] - rows["nginx static"][i] for i in (0, 1)]
        table.append(["added by the gate", f"{added[0]:.3f}", f"{added[1]:.3f}"])
        print("\n" + measure.table(["first byte, 1 kB, known", "p50 ms", "p99 ms"], table), flush=True)

    def lookups(self):
        """Verdicts by digest through the API, and HEAD answered from what is known."""
        c = http.client.HTTPConnection("127.0.0.1", self.gate.port)
        c.request("GET", "/api/v1/decisions?limit=1", headers={"Authorization": f"Bearer {self.token}"})
        digest = json.loads(c.getresponse().read())["rows"][0]["entry"]["sha256"]
        url = f"{self.gate.url}/api/v1/verdicts/{digest}"
        self.paced(url)
        rows = []
        for connections in (1, 8, 32):
            rate, p50, p99, bad = self.load(url, connections, self.token)
            rows.append(["GET verdicts/{sha256}", connections, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", bad])
        print(
            "\n" + measure.table(["look-up", "connections", "requests/s", "p50 ms", "p99 ms", "errors"], rows),
            flush=True,
        )


    def paced(self, url):
        """Look-ups at a fixed rate (benches/paced.rs): what a client sees of a gate that is not saturated."""
        program = os.path.join(self.tmp, "paced")
        subprocess.run(["rustc", "-O", "--edition", "2024", "-o", program, os.path.join(HERE, "paced.rs")], check=True)
        host, path = url.split("//", 1)[1].split("/", 1)
        rows = []
        for rate, connections in ((5_000, 8), (20_000, 8), (25_000, 16), (40_000, 16)):
            run = [program, host, "/" + path, str(rate), str(connections), str(self.args.seconds)]
            run.append(f"Authorization: Bearer {self.token}")
            done, *times = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
            rows.append([f"{rate:,}", connections, f"{int(done):,}", *times])
        head = ["look-ups offered/s", "connections", "answered/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "late", "errors"]
        print("\n" + measure.table(head, rows), flush=True)


def quantile(ordered, q):
    return ordered[int((len(ordered) - 1) * q)]


def to_ms(m):
    return float(m[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[m[2]]


def pull(url):
    """(seconds to the first byte of the body, seconds to the last)."""
    host, path = url.split("//", 1)[1].split("/", 1)
    path, start = "/" + path, time.perf_counter()
    while True:
        c = http.client.HTTPConnection(host, timeout=120)
        c.request("GET", path, headers={"User-Agent": AGENT})
        r = c.getresponse()
        if r.status != 307:
            break
        r.read()
        path = r.getheader("Location")
    if r.status != 200:
        raise SystemExit(f"{url}: {r.status} {r.getheader('x-error-message')}")
    buf = memoryview(bytearray(1 << 20))
    r.readinto(buf[:1])
    first = time.perf_counter() - start
    while r.readinto(buf):
        pass
    c.close()
    return first, time.perf_counter() - start


def first_bytes(url, n):
    host, path = url.split("//", 1)[1].split("/", 1)
    c = http.client.HTTPConnection(host, timeout=60)
    out = []
    for _ in range(n):
        start = time.perf_counter()
        c.request("GET", "/" + path, headers={"User-Agent": AGENT})
        r = c.getresponse()
        r.read(1)
        out.append(time.perf_counter() - start)
        r.read()
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", default="target/release/weighbridge")
    a.add_argument("--seconds", type=int, default=10, help="of each load")
    a.add_argument("--requests", type=int, default=5000, help="of the first-byte measurement")
    a.add_argument("--misses", type=int, default=200)
    a.add_argument("--scale", type=float, default=1.0, help="of the 256 MiB file")
    args = a.parse_args()
    args.binary = os.path.abspath(args.binary)
    tmp = tempfile.mkdtemp(prefix="weighbridge-bench-")
    bench = None
    try:
        print(measure.machine())
        bench = Bench(args, tmp)
        bench.misses()
        bench.hits()
        bench.streams()
        bench.first_byte()
        bench.lookups()
    finally:
        if bench:
            bench.stop()
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
