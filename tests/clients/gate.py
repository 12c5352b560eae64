"""Starts and stops what the tests need: the stand-in hub, the gate, a proxy that cuts, a trap that must stay unused."""

import http.client
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
STUB = os.path.join(HERE, "..", "standin", "stub_hub.py")
_taken = set()


def free_port():
    """A port nobody listens on. Not handed out twice in one run."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _taken:
            _taken.add(port)
            return port


def wait_for(url, process, log, seconds=30):
    """Waits until a server answers anything at all."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    process.kill()
    with open(log, encoding="utf-8", errors="replace") as f:
        raise SystemExit(f"{url} did not come up; its last words: {f.read()[-2000:]}")


class Process:
    """A server in a process of its own."""

    def __init__(self, args, log, ready, **kw):
        self.log = log
        with open(log, "ab") as f:
            self.popen = subprocess.Popen(args, stdout=f, stderr=f, stdin=subprocess.DEVNULL, **kw)
        wait_for(ready, self.popen, log)

    def stop(self, kill=False):
        if self.popen.poll() is None:
            self.popen.kill() if kill else self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


class Stub(Process):
    """The stand-in hub over a folder."""

    def __init__(self, root, tmp, tokens, extra=("--xet", "--page", "25")):
        self.port, self.cdn_port = free_port(), free_port()
        self.url, self.requests = f"http://127.0.0.1:{self.port}", os.path.join(tmp, f"stub-{self.port}.requests")
        args = [sys.executable, STUB, "--root", root, "--port", str(self.port), "--cdn-port", str(self.cdn_port)]
        args += ["--log", self.requests, *extra]
        for t in tokens:
            args += ["--token", t]
        super().__init__(args, os.path.join(tmp, f"stub-{self.port}.log"), self.url + "/api/whoami-v2")

    def seen(self):
        """The request log so far."""
        try:
            with open(self.requests, encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""


class Gate(Process):
    """The gate before an upstream. `data` is kept, so that a test can start a second gate on it."""

    def __init__(self, binary, upstream, tmp, data=None, hosts=(), extra=(), env=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = data or tempfile.mkdtemp(prefix="data-", dir=tmp)
        args = [binary, "serve", "--upstream", upstream, "--listen", f"127.0.0.1:{self.port}", "--data", self.data]
        for host in hosts:
            args += ["--upstream-host", host]
        home = tempfile.mkdtemp(prefix="home-", dir=tmp)
        clean = {"PATH": os.environ.get("PATH", ""), "HOME": home, **(env or {})}
        log = os.path.join(tmp, f"gate-{self.port}.log")
        super().__init__([*args, *extra], log, self.url + "/healthz", env=clean)

    def admin_token(self):
        with open(os.path.join(self.data, "admin-token"), encoding="utf-8") as f:
            return f.read().strip()


class Trap:
    """A server that nobody may dial: it counts who did."""

    def __init__(self):
        self.hits = []
        trap = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                trap.hits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"secret")

            do_HEAD = do_GET

            def log_message(self, *a):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/latest/meta-data/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class CutProxy:
    """Passes everything to the gate, but ends the first answer to each asked content half-way."""

    def __init__(self, target, log):
        self.log, proxy = log, self
        self.cut, self.lock = set(), threading.Lock()
        open(log, "w", encoding="utf-8").close()
        host, port = target.split("//")[1].split(":")

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                c = http.client.HTTPConnection(host, int(port), timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "host")}
                c.request(self.command, self.path, headers={**headers, "Host": f"{host}:{port}"})
                r = c.getresponse()
                body = r.read()
                content = self.command == "GET" and "/resolve/" in self.path and r.status in (200, 206)
                with proxy.lock:
                    first = content and self.path not in proxy.cut
                    if first:
                        proxy.cut.add(self.path)
                    if content:
                        with open(proxy.log, "a", encoding="utf-8") as f:
                            f.write(f"{self.path} Range={self.headers.get('Range')} -> {r.status}\n")
                self.send_response(r.status)
                for k, v in r.getheaders():
                    if k.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(k, v)
                length = r.getheader("Content-Length") if self.command == "HEAD" else len(body)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: len(body) // 2] if first else body)
                if first:
                    self.wfile.flush()
                    self.close_connection = True

            do_HEAD = do_GET

            def log_message(self, *a):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Tmp:
    """A temporary folder, kept when asked for."""

    def __init__(self, keep=False):
        self.path, self.keep = tempfile.mkdtemp(prefix="weighbridge-test-"), keep

    def close(self):
        if self.keep:
            print(f"kept: {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)
