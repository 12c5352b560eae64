#!/usr/bin/env python3
"""The gate among programs that a machine may or may not have: nginx before it, git and git-lfs as clients, systemd.

    python3 tests/peers/run.py --binary target/debug/weighbridge

A program that is not installed is `skip`, with the line that installs it.
"""

import argparse
import hashlib
import http.client
import os
import shutil
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "clients"))
import fixtures  # noqa: E402
import gate as servers  # noqa: E402


class Skip(Exception):
    """A program is missing."""


def need(program, package):
    for folder in (None, "/usr/sbin:/sbin"):
        if found := shutil.which(program, path=folder):
            return found
    raise Skip(f"{program} is not installed; sudo apt-get install -y {package}")


class Peers:
    def __init__(self, binary, tmp):
        self.tmp, self.tree, self.binary = tmp, os.path.join(tmp, "tree"), binary
        fixtures.write(self.tree, fixtures.common())
        self.gate = servers.Gate(binary, f"dir:{self.tree}", tmp)

    def git(self, *args):
        env = {"PATH": os.environ["PATH"], "HOME": self.tmp, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(["git", *args], capture_output=True, text=True, env=env, timeout=60, check=False)

    def case_git_clone_is_refused_with_the_reason(self):
        need("git", "git")
        done = self.git("clone", f"{self.gate.url}/acme/tiny", os.path.join(self.tmp, "clone"))
        assert done.returncode != 0 and "weighbridge" in done.stderr, done.stderr
        assert "hf download" in done.stderr or "snapshot_download" in done.stderr, f"no way out named: {done.stderr}"

    def case_git_push_is_refused(self):
        need("git", "git")
        work = os.path.join(self.tmp, "push")
        self.git("init", "-q", work)
        self.git("-C", work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
        done = self.git("-C", work, "push", f"{self.gate.url}/acme/tiny", "HEAD:main")
        assert done.returncode != 0 and "weighbridge" in done.stderr, done.stderr

    def case_git_lfs_objects_do_not_leave(self):
        need("git", "git")
        need("git-lfs", "git-lfs")
        work, data = os.path.join(self.tmp, "lfs"), fixtures.PICKLE_CALL
        digest = hashlib.sha256(data).hexdigest()
        self.git("init", "-q", work)
        with open(os.path.join(work, "pytorch_model.bin"), "w", encoding="utf-8") as f:
            f.write(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n")
        self.git("-C", work, "lfs", "install", "--local")
        self.git("-C", work, "lfs", "track", "*.bin")
        self.git("-C", work, "add", "-A")
        self.git("-C", work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")
        self.git("-C", work, "remote", "add", "origin", f"{self.gate.url}/acme/poisoned")
        self.git("-C", work, "lfs", "fetch", "--all")
        for parent, _, names in os.walk(work):
            for name in names:
                with open(os.path.join(parent, name), "rb") as f:
                    assert f.read() != data, f"{name} holds the poisoned file"

    def case_the_systemd_unit_is_understood(self):
        analyze = need("systemd-analyze", "systemd")
        with open(os.path.join(ROOT, "packaging", "weighbridge.service"), encoding="utf-8") as f:
            unit = f.read()
        assert "/usr/local/bin/weighbridge serve" in unit, "the unit starts something else"
        path = os.path.join(self.tmp, "weighbridge.service")
        with open(path, "w", encoding="utf-8") as f:
            f.write(unit.replace("/usr/local/bin/weighbridge", self.binary))
        done = subprocess.run([analyze, "verify", path], capture_output=True, text=True, timeout=60, check=False)
        # It warns of what it ignores, an unknown key for one, and ends well all the same.
        said = [x for x in done.stderr.splitlines() if "weighbridge.service" in x]
        assert done.returncode == 0 and not said, done.stderr

    def case_behind_nginx(self):
        nginx = need("nginx", "nginx")
        port, conf = servers.free_port(), os.path.join(self.tmp, "nginx.conf")
        with open(os.path.join(ROOT, "packaging", "nginx.conf"), encoding="utf-8") as f:
            site = f.read()
        site = site.replace("127.0.0.1:8080", f"127.0.0.1:{self.gate.port}").replace(
            "listen 80;", f"listen 127.0.0.1:{port};"
        )
        paths = "".join(f"{x}_temp_path {self.tmp}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(conf, "w", encoding="utf-8") as f:
            f.write(
                f"daemon off; pid {self.tmp}/nginx.pid; error_log {self.tmp}/nginx.log;\n"
                f"events {{}}\nhttp {{ access_log off; {paths}\n{site}\n}}\n"
            )
        proxy = servers.Process(
            [nginx, "-c", conf, "-e", os.path.join(self.tmp, "nginx.log")],
            os.path.join(self.tmp, "nginx.out"),
            f"http://127.0.0.1:{port}/healthz",
        )
        try:
            status, headers, body = get(port, "/acme/tiny/resolve/main/model.safetensors")
            assert status == 200 and body == fixtures.common()["models", "acme/tiny"]["model.safetensors"], status
            assert headers.get("x-repo-commit") and headers.get("etag"), headers
            status, headers, body = get(port, "/acme/tiny/resolve/main/model.safetensors", Range="bytes=0-9")
            assert status == 206 and len(body) == 10, status
            status, headers, body = get(port, "/acme/poisoned/resolve/main/pytorch_model.bin")
            assert status == 403 and f":{port}/" in headers.get("x-error-message", ""), headers
        finally:
            proxy.stop()


def get(port, path, **headers):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(25):
        c.request("GET", path, headers={"User-Agent": "unknown/None; hf_hub/2.4.0", **headers})
        r = c.getresponse()
        body = r.read()
        if r.status != 307:
            break
        path = r.getheader("Location")
    return r.status, {k.lower(): v for k, v in r.getheaders()}, body


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--binary", required=True)
    a.add_argument("--venvs", help="not used")
    a.add_argument("words", nargs="*")
    args = a.parse_args()
    tmp = servers.Tmp()
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    why = []
    try:
        peers = Peers(os.path.abspath(args.binary), tmp.path)
        for name in [n for n in dir(peers) if n.startswith("case_")]:
            title = name[5:].replace("_", " ")
            if not all(w in title for w in args.words):
                continue
            try:
                getattr(peers, name)()
                row, detail = "ok", ""
            except Skip as e:
                row, detail = "skip", f": {e}"
                why.append(str(e))
            except Exception as e:  # noqa: BLE001 - a case that raises is a failed case
                row, detail = "FAIL", f": {type(e).__name__}: {e}"
            counts[row] += 1
            print(f"{row:<4} peers: {title}{detail}", flush=True)
        peers.gate.stop()
    finally:
        tmp.close()
    if why:
        print(f"skipped: {len(why)} ({'; '.join(sorted(set(why)))})")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
