#!/usr/bin/env python3
"""A faithful stand-in for the Hugging Face Hub, for tests (standard library only, Python >= 3.9).

    python3 stub_hub.py --root DIR --port 9100 --cdn-port 9101 [--token T]... [--xet] [--page 1000] [--log FILE]

DIR/{models,datasets,spaces}/<ns>/<name>/...files...; a file .hub.json in a repository says how it behaves:

    {"private": true, "readers": ["hf_alice"]}   only these tokens see it (without readers: every valid token)
    {"gated": "auto", "granted": ["hf_alice"]}   metadata for all, files for these tokens (default: every valid token)
    {"disabled": true}  {"renamed_to": "ns/new"}  {"lfs": ["*.bin"]}
    {"faults": {"<file>": {...}}}                how a dishonest, slow or broken upstream misbehaves for one file:
        "delay": seconds            before the first byte of content
        "throttle": bytes/s         of content
        "flip": true                one bit of the content differs from the declared digest
        "flip_after": n             the same, from the n-th content request (counted from 0) on
        "cut": n                    the connection closes after n bytes of content
        "size": n, "digest": "hex"  declared in place of the true ones (headers, tree, siblings)
        "alternate": "other file", "alternate_after": n
                                    from the n-th content request on the name means another file, under the same commit
        "redirect": "URL"           the Location of the content (in place of the CDN's)
        "status": 500               instead of the content

Two origins with different host names, as in the real Hub (huggingface_hub 1.2x-1.33 compares host names only):
    hub  http://127.0.0.1:PORT       metadata, small files (307 -> /api/resolve-cache -> 200), 302 for LFS files
    cdn  http://localhost:CDN_PORT   /lfs/<sha256>?sig=..., Range, no auth, 403 without the signature
Also git smart HTTP, git-lfs batch, uploads and the ollama manifests of "hf.co/ns/name": see stub_more.py.

The log has one line a request: port, method, path, status, user agent, range, whether a token was sent.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from stub_more import More
from stub_repo import TYPES, Repos, pointer, sig

REPO = r"([^/]+/[^/]+)"
SUBS = "revision|tree|paths-info|refs|commits|xet-read-token|xet-write-token|preupload|commit|auth-check"
TEXT = "text/plain; charset=utf-8"


def arguments():
    a = argparse.ArgumentParser(description="stand-in for the Hugging Face Hub")
    a.add_argument("--root", required=True)
    a.add_argument("--port", type=int, default=9100)
    a.add_argument("--cdn-port", type=int, default=9101)
    a.add_argument("--cdn-host", default="localhost")
    a.add_argument("--token", action="append", default=[], help="a valid token; without any, every token is valid")
    a.add_argument("--xet", action="store_true", help="advertise Xet as the real Hub does")
    a.add_argument("--page", type=int, default=1000, help="tree entries a page")
    a.add_argument("--no-resolve-cache", action="store_true", help="answer small files with 200, as before mid-2025")
    a.add_argument("--log")
    return a.parse_args()


class Hub(More, BaseHTTPRequestHandler):
    """One request. `repos` and `args` are set on the class by main()."""

    protocol_version = "HTTP/1.1"
    repos = None
    args = None
    token = None
    authed = False

    def version_string(self):
        return "stubhub"

    def log_message(self, fmt, *a):
        if not self.args.log:
            return
        h = self.headers
        with self.repos.lock, open(self.args.log, "a", encoding="utf-8") as f:
            f.write(
                f"{self.server.server_port} {self.command} {self.path} -> {a[1] if len(a) > 1 else a}"
                f" | UA={h.get('User-Agent')} Range={h.get('Range')} AE={h.get('Accept-Encoding')}"
                f" Auth={'yes' if h.get('Authorization') else 'no'}\n"
            )

    # ---- answering

    def out(self, code, body=b"", headers=None, ctype="application/json; charset=utf-8"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(code)
        headers = {
            "Content-Type": ctype,
            "X-Request-Id": f"Root=1-{os.urandom(4).hex()}-{os.urandom(12).hex()}",
            "X-Powered-By": "huggingface-moon",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def err(self, code, xcode, message, headers=None):
        named = {"X-Error-Code": xcode} if xcode else {}
        self.out(code, {"error": message}, {**named, "X-Error-Message": message, **(headers or {})})

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while n := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def send_file(self, path, headers, ctype="application/octet-stream", faults=None):
        faults = faults or {}
        size = os.path.getsize(path)
        lo, hi, code = 0, size - 1, 200
        etag = self.headers.get("If-None-Match")
        if etag and etag == headers.get("ETag"):
            return self.out(304, b"", headers)
        m = re.fullmatch(r"bytes=(\d*)-(\d*)", (self.headers.get("Range") or "").strip())
        if m and (m[1] or m[2]):
            lo, hi = (int(m[1]), min(int(m[2] or size - 1), size - 1)) if m[1] else (max(0, size - int(m[2])), size - 1)
            if lo >= size or lo > hi:
                return self.out(416, b"", {"Content-Range": f"bytes */{size}"})
            code, headers = 206, {**headers, "Content-Range": f"bytes {lo}-{hi}/{size}"}
        if self.command != "HEAD" and faults.get("delay"):
            time.sleep(faults["delay"])
        length = max(0, hi - lo + 1)
        headers = {**headers, "Accept-Ranges": "bytes", "Content-Length": str(length), "Content-Type": ctype}
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.send_content(path, lo, length, size, faults)

    def send_content(self, path, start, length, size, faults):
        rate, sent, cut = faults.get("throttle"), 0, faults.get("cut")
        block = min(1 << 20, max(1, rate // 4)) if rate else 1 << 20
        with open(path, "rb") as f:
            f.seek(start)
            while sent < length and (data := f.read(min(block, length - sent))):
                if faults.get("flip"):
                    data = flip(data, start + sent, size // 2)
                if cut is not None and sent + len(data) > cut:
                    self.wfile.write(data[: cut - sent])
                    self.close_connection = True
                    return
                self.wfile.write(data)
                sent += len(data)
                if rate:
                    time.sleep(len(data) / rate)

    # ---- the CDN's origin

    def cdn(self):
        u = urlsplit(self.path)
        m, q = re.fullmatch(r"/lfs/([0-9a-f]{64})", u.path), parse_qs(u.query)
        if self.command == "PUT" and m:
            return self.put_object(m[1])
        if not m or m[1] not in self.repos.blobs or q.get("sig") != [sig(m[1])]:
            return self.out(403, b"<Error><Code>AccessDenied</Code></Error>", ctype="application/xml")
        faults = json.loads(q["fault"][0]) if "fault" in q else {}
        if faults.get("status"):
            return self.out(faults["status"], b"upstream fault", ctype=TEXT)
        disp = q.get("response-content-disposition", ["inline"])[0]
        self.send_file(self.repos.blobs[m[1]], {"ETag": f'"{m[1][:32]}"', "Content-Disposition": disp}, faults=faults)

    # ---- the hub's origin

    def hub(self):
        u = urlsplit(self.path)
        path, q = unquote(u.path), parse_qs(u.query)
        auth = self.headers.get("Authorization", "")
        self.token = None
        if auth.startswith("Bearer "):
            self.token = auth[7:]
        elif auth.startswith("Basic "):
            self.token = base64.b64decode(auth[6:]).decode().split(":", 1)[-1]
        self.authed = bool(self.token) and (not self.args.token or self.token in self.args.token)
        if self.token and not self.authed:
            return self.err(401, None, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            if not self.authed:
                return self.err(401, None, "Invalid username or password.")
            role = {"type": "access_token", "accessToken": {"role": "write"}}
            return self.out(
                200, {"type": "user", "id": "1", "name": "tester", "fullname": "T", "orgs": [], "auth": role}
            )
        if path == "/api/repos/create" and self.command == "POST":
            return self.create()
        if path[5:] in TYPES and path.startswith("/api/"):
            return self.listing(path[5:], q)
        if m := re.fullmatch(rf"/api/resolve-cache/({'|'.join(TYPES)})/{REPO}/([0-9a-f]{{40}})/(.+)", path):
            return self.resolve(m[1], m[2], m[3], m[4], final=True)
        if m := re.fullmatch(rf"/(?:(datasets|spaces)/)?{REPO}/(resolve|raw)/(.+)", path):
            # The revision is one segment of the raw url; its slashes are %2F.
            rev, _, f = u.path.split(f"/{m[3]}/", 1)[1].partition("/")
            return self.resolve(m[1] or "models", m[2], unquote(rev), unquote(f), pointers=m[3] == "raw")
        if m := re.fullmatch(rf"/api/({'|'.join(TYPES)})/{REPO}(?:/({SUBS})(?:/(.*))?)?", path):
            sub = m[3]
            rest = u.path.split(f"/{sub}/", 1)[1] if sub and f"/{sub}/" in u.path else ""
            return self.api(m[1], m[2], sub, rest, q)
        if not self.more(path, u.query):
            self.err(404, None, "Sorry, we can't find the page you are looking for.")

    def repo(self, t, rid, rev="main", content=False):
        """Access as the real Hub grants it: (meta, commit, entries), or an answer sent and None."""
        loaded = self.repos.load(t, rid)
        absent = (
            (404, "RepoNotFound", "Repository not found")
            if self.authed
            else (401, None, "Invalid username or password.")
        )
        if loaded is None:
            return self.err(*absent)
        meta, sha, entries = loaded
        if meta.get("renamed_to"):
            return self.out(307, b"", {"Location": self.path.replace(f"/{rid}", f"/{meta['renamed_to']}", 1)})
        if meta.get("private") and not self.may(meta.get("readers")):
            return self.err(*(absent if self.authed else (401, "RepoNotFound", "Invalid username or password.")))
        if meta.get("disabled"):
            return self.err(403, None, "Access to this resource is disabled.")
        if meta.get("gated") and content and not self.may(meta.get("granted")):
            how = "You are not in the authorized list." if self.authed else "Please log in."
            text = f"Access to {t[:-1]} {rid} is restricted. You must have access to it and be authenticated. {how}"
            return self.err(403 if self.authed else 401, "GatedRepo", text)
        if rev not in ("main", sha):
            if ((t, rid), rev) not in self.repos.snapshots:
                return self.err(404, "RevisionNotFound", f"Invalid rev id: {rev}")
            sha, entries = rev, self.repos.snapshots[(t, rid), rev]
        return meta, sha, entries

    def may(self, names):
        return self.authed and (names is None or self.token in names)

    def fault(self, meta, t, rid, path, entries, content):
        """(entry, faults) of a file; a content request advances the count that `*_after` faults look at."""
        entry, faults = entries.get(path), dict(meta.get("faults", {}).get(path, {}))
        if entry is None or not faults:
            return entry, faults
        key = (t, rid, path)
        n = self.repos.count(key) if content else self.repos.counts.get(key, -1) + 1
        if "flip_after" in faults:
            faults["flip"] = n >= faults["flip_after"]
        if "alternate" in faults and n >= faults.get("alternate_after", 0):
            entry = entries[faults["alternate"]]
        entry = {**entry, "size": faults.get("size", entry["size"])}
        if "digest" in faults:
            entry["declared"] = faults["digest"]
        return entry, faults

    def resolve(self, t, rid, rev, path, final=False, pointers=False):
        got = self.repo(t, rid, rev, content=True)
        if got is None:
            return
        meta, sha, entries = got
        counts = self.command == "GET" and (
            final or self.args.no_resolve_cache or (path in entries and entries[path]["lfs"])
        )
        e, faults = self.fault(meta, t, rid, path, entries, counts)
        if e is None:
            return self.err(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": sha})
        h = {
            "X-Repo-Commit": sha,
            "Accept-Ranges": "bytes",
            "Vary": "Origin, Accept",
            "Cross-Origin-Opener-Policy": "same-origin",
            "RateLimit": '"resolvers";r=2999;t=172',
            "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300',
        }
        name = os.path.basename(path)
        disp = f"inline; filename*=UTF-8''{quote(name)}; filename=\"{name}\";"
        if pointers and e["lfs"]:
            return self.out(200, pointer(e["sha256"], e["size"]), {**h, "ETag": f'"{e["oid"]}"'}, TEXT)
        if e["lfs"]:
            return self.redirect_lfs(t, rid, sha, e, faults, h, disp)
        etag = f'"{e.get("declared", e["oid"])}"'
        if not final and not self.args.no_resolve_cache:
            back = quote(urlsplit(self.path).path, safe="")
            to = f"/api/resolve-cache/{t}/{rid}/{sha}/{quote(path)}?{back}=&etag={quote(etag, safe='')}"
            return self.out(307, b"Temporary Redirect", {**h, "Location": faults.get("redirect", to)}, TEXT)
        if faults.get("status"):
            return self.out(faults["status"], b"upstream fault", ctype=TEXT)
        self.send_file(e["file"], {**h, "ETag": etag, "Content-Disposition": disp}, TEXT, faults)

    def redirect_lfs(self, t, rid, sha, e, faults, h, disp):
        digest, expires = e["sha256"], int(time.time()) + 3600
        cdn = f"http://{self.args.cdn_host}:{self.args.cdn_port}"
        loc = f"{cdn}/lfs/{digest}?response-content-disposition={quote(disp)}&Expires={expires}&sig={sig(digest)}"
        if faults:
            loc += "&fault=" + quote(json.dumps(faults))
        loc = faults.get("redirect", loc)
        h = {**h, "X-Linked-Size": str(e["size"]), "X-Linked-ETag": f'"{e.get("declared", digest)}"', "Location": loc}
        if self.args.xet:
            xet, route = xet_hash(e), f"https://huggingface.co/api/{t}/{rid}/xet-read-token/{sha}"
            info = f'<{cdn}/v1/reconstructions/{xet}>; rel="xet-reconstruction-info"'
            h.update({"X-Xet-Hash": xet, "X-Xet-Refresh-Route": route, "Link": f'<{route}>; rel="xet-auth", {info}'})
        self.out(302, f"Found. Redirecting to {loc}".encode(), h, TEXT)

    def entry(self, path, e):
        d = {"type": "file", "oid": e["oid"], "size": e["size"], "path": path}
        if e["lfs"]:
            d["lfs"] = {"oid": e.get("declared", e["sha256"]), "size": e["size"], "pointerSize": e["ptr"]}
            if self.args.xet:
                d["xetHash"] = xet_hash(e)
        elif "declared" in e:
            d["oid"] = e["declared"]
        return d

    def api(self, t, rid, sub, rest, q):
        if sub in ("preupload", "commit"):
            return self.upload(t, rid, sub)
        rev, _, below = rest.partition("/")
        rev, below = unquote(rev) or "main", unquote(below)
        got = self.repo(t, rid, rev, content=sub == "auth-check")
        if got is None:
            return
        meta, sha, entries = got
        entries = {p: self.fault(meta, t, rid, p, entries, False)[0] for p in entries}
        if sub in (None, "revision"):
            return self.out(200, self.info(t, rid, meta, sha, entries, bool(q.get("blobs"))))
        if sub == "tree":
            return self.tree(rev, sha, entries, below, q)
        if sub == "paths-info":
            body = self.body()
            asked = (
                json.loads(body)["paths"]
                if "json" in self.headers.get("Content-Type", "")
                else parse_qs(body.decode()).get("paths", [])
            )
            found = [
                self.entry(p, entries[p]) if p in entries else folder(p)
                for p in asked
                if p in entries or any(x.startswith(p + "/") for x in entries)
            ]
            return self.out(200, found)
        if sub == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": sha}
            return self.out(200, {"branches": [main], "tags": [], "converts": []})
        if sub == "commits":
            return self.out(
                200, [{"id": sha, "title": "commit", "message": "", "authors": [], "date": "2025-01-01T00:00:00.000Z"}]
            )
        if sub == "xet-read-token":
            cdn, exp = f"http://{self.args.cdn_host}:{self.args.cdn_port}", int(time.time()) + 3600
            headers = {"X-Xet-Cas-Url": cdn, "X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": str(exp)}
            return self.out(200, {"accessToken": "x", "exp": exp, "casUrl": cdn}, headers)
        if sub == "auth-check":
            return self.out(200, {})
        self.err(404, None, "not here")

    def info(self, t, rid, meta, sha, entries, blobs):
        def sibling(path, e):
            d = {"rfilename": path}
            if blobs:
                d.update({"size": e["size"], "blobId": e["oid"]})
                if e["lfs"]:
                    d["lfs"] = {"sha256": e.get("declared", e["sha256"]), "size": e["size"], "pointerSize": e["ptr"]}
            return d

        j = {
            "_id": "66" + hashlib.sha1(rid.encode()).hexdigest()[:22],
            "id": rid,
            "author": rid.split("/")[0],
            "sha": sha,
            "lastModified": "2025-01-01T00:00:00.000Z",
            "createdAt": "2025-01-01T00:00:00.000Z",
            "private": bool(meta.get("private")),
            "gated": meta.get("gated", False),
            "disabled": bool(meta.get("disabled")),
            "downloads": 0,
            "likes": 0,
            "tags": ["region:us"],
            "cardData": {},
            "siblings": [sibling(p, e) for p, e in sorted(entries.items())],
            "usedStorage": sum(e["size"] for e in entries.values()),
        }
        if t == "models":
            j.update({"modelId": rid, "library_name": "transformers", "pipeline_tag": "text-generation", "config": {}})
        return j

    def tree(self, rev, sha, entries, below, q):
        recursive = q.get("recursive", ["false"])[0].lower() in ("1", "true")
        prefix, items, seen = below.rstrip("/") + "/" if below else "", [], set()
        for path, e in sorted(entries.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for i in range(1, len(parts)):
                parent = prefix + "/".join(parts[:i])
                if parent not in seen and (recursive or i == 1):
                    seen.add(parent)
                    items.append(folder(parent))
            if recursive or len(parts) == 1:
                items.append(self.entry(path, e))
        if not items and below:
            return self.err(404, "EntryNotFound", f'{below} does not exist on "{rev}"', {"X-Repo-Commit": sha})
        start = int(q.get("cursor", ["0"])[0])
        end, headers = start + self.args.page, {"X-Repo-Commit": sha}
        if end < len(items):
            qs = "&".join(f"{k}={quote(v[0])}" for k, v in q.items() if k != "cursor")
            # Absolute and on the canonical host, as the real Hub sends it: a gateway must rewrite it.
            headers["Link"] = f'<https://huggingface.co{urlsplit(self.path).path}?{qs}&cursor={end}>; rel="next"'
        self.out(200, items[start:end], headers)

    def handle_any(self):
        try:
            self.cdn() if self.server.server_port == self.args.cdn_port else self.hub()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any


def flip(data, offset, at):
    """`data`, which starts at `offset`, with one bit changed at the absolute position `at`."""
    if not offset <= at < offset + len(data):
        return data
    data = bytearray(data)
    data[at - offset] ^= 1
    return bytes(data)


def folder(path):
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def xet_hash(entry):
    return hashlib.sha256(b"xet" + entry["sha256"].encode()).hexdigest()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True


def main():
    args = arguments()
    Hub.args, Hub.repos = args, Repos(args.root)
    cdn = Server(("127.0.0.1", args.cdn_port), Hub)
    hub = Server(("127.0.0.1", args.port), Hub)
    threading.Thread(target=cdn.serve_forever, daemon=True).start()
    print(f"hub http://127.0.0.1:{args.port} cdn http://{args.cdn_host}:{args.cdn_port} root {args.root}", flush=True)
    try:
        hub.serve_forever()
    finally:
        Hub.repos.close()


if __name__ == "__main__":
    main()
