"""What the stand-in hub holds: folders read as repositories, one commit per distinct content.

Every commit ever seen stays readable, as on the real Hub, because contents are kept by digest.
"""

import fnmatch
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import tempfile
import threading

TYPES = ("models", "datasets", "spaces")
LFS_EXT = (
    "*.bin *.safetensors *.pt *.pth *.ckpt *.pkl *.pickle *.joblib *.h5 *.keras *.onnx *.gguf *.msgpack *.npz "
    "*.npy *.zip *.tar *.gz *.7z *.parquet *.model *.nemo *.tflite *.pb"
).split()
SECRET = b"stub"


def sig(text):
    """The signature of a CDN link: without it the CDN answers 403."""
    return hmac.new(SECRET, text.encode(), "sha256").hexdigest()[:32]


def pointer(sha, size):
    """The git-lfs pointer file of an object."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n".encode()


def git_oid(data):
    """The git blob id: the ETag of small files."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_lfs(name, patterns=LFS_EXT):
    return any(fnmatch.fnmatch(os.path.basename(name), p) for p in patterns)


def sha256_file(path):
    h, size = hashlib.sha256(), 0
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
            size += len(block)
    return h.hexdigest(), size


class Repos:
    """All repositories under one folder ROOT/{models,datasets,spaces}/<ns>/<name>."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.state = tempfile.mkdtemp(prefix="stubhub-")
        self.lock = threading.RLock()
        self.index, self.snapshots, self.blobs = {}, {}, {}
        self.counts = {}
        self.have_git = shutil.which("git") is not None
        os.makedirs(os.path.join(self.state, "blobs"))

    def close(self):
        shutil.rmtree(self.state, ignore_errors=True)

    def count(self, key):
        """How often this was asked before now: faults that begin after the n-th request need it."""
        with self.lock:
            self.counts[key] = self.counts.get(key, -1) + 1
            return self.counts[key]

    def folder(self, rtype, rid):
        return os.path.join(self.root, rtype, rid)

    def meta(self, rtype, rid):
        """The repository's .hub.json, read anew each time so that a test can change it while it runs."""
        try:
            with open(os.path.join(self.folder(rtype, rid), ".hub.json"), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return {}

    def keep(self, path, sha):
        """Keeps a copy by digest: older commits stay readable when the working file changes."""
        kept = os.path.join(self.state, "blobs", sha)
        if not os.path.exists(kept):
            shutil.copyfile(path, kept)
        self.blobs[sha] = kept
        return kept

    def load(self, rtype, rid):
        """(meta, commit, {path: entry}) of the newest commit, or None where there is no such repository."""
        folder = self.folder(rtype, rid)
        if ".." in rid or not os.path.isdir(folder):
            return None
        meta = self.meta(rtype, rid)
        patterns = meta.get("lfs", LFS_EXT)
        files, stamp = {}, []
        for parent, _, names in os.walk(folder):
            for name in sorted(names):
                path = os.path.join(parent, name)
                rel = os.path.relpath(path, folder)
                if rel == ".hub.json":
                    continue
                st = os.stat(path)
                stamp.append((rel, st.st_size, st.st_mtime_ns))
                files[rel] = path
        key, stamp = (rtype, rid), hash((tuple(sorted(stamp)), json.dumps(patterns)))
        with self.lock:
            known = self.index.get(key)
            if known and known[0] == stamp:
                return meta, known[1], self.snapshots[key, known[1]]
            entries, blobs = self.read(files, patterns)
            sha = self.commit(rtype, rid, entries, blobs)
            self.index[key] = (stamp, sha)
            self.snapshots[key, sha] = entries
            return meta, sha, entries

    def read(self, files, patterns):
        """({path: entry}, {path: what git stores})."""
        if ".gitattributes" not in files:
            attrs = "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in patterns).encode()
            path = os.path.join(self.state, hashlib.sha1(attrs).hexdigest())
            with open(path, "wb") as f:
                f.write(attrs)
            files = {**files, ".gitattributes": path}
        entries, blobs = {}, {}
        for rel, path in files.items():
            sha, size = sha256_file(path)
            lfs = is_lfs(rel, patterns)
            kept = self.keep(path, sha)
            if lfs:
                blob = pointer(sha, size)
            else:
                with open(kept, "rb") as f:
                    blob = f.read()
            entries[rel] = {
                "size": size,
                "sha256": sha,
                "lfs": lfs,
                "file": kept,
                "ptr": len(blob),
                "oid": git_oid(blob),
            }
            blobs[rel] = blob
        return entries, blobs

    def commit(self, rtype, rid, entries, blobs):
        """A real git commit where git is installed (so that it can be cloned), else a made-up id."""
        if not self.have_git:
            tree = sorted((p, e["oid"]) for p, e in entries.items())
            return hashlib.sha1(json.dumps([rid, tree]).encode()).hexdigest()
        bare, work = os.path.join(self.state, rtype, rid + ".git"), tempfile.mkdtemp(dir=self.state)
        for rel, blob in blobs.items():
            path = os.path.join(work, rel)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(blob)
        if not os.path.isdir(bare):
            os.makedirs(os.path.dirname(bare), exist_ok=True)
            git(["init", "-q", "--bare", "-b", "main", bare])
        env = dict(os.environ, GIT_DIR=bare, GIT_WORK_TREE=work, GIT_CONFIG_GLOBAL="/dev/null")
        for who in ("AUTHOR", "COMMITTER"):
            env.update({f"GIT_{who}_NAME": "h", f"GIT_{who}_EMAIL": "h@x", f"GIT_{who}_DATE": "2025-01-01T00:00:00Z"})
        plain = ["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"]
        git([*plain, "add", "-A", "-f", "."], env=env, cwd=work)
        git(["commit", "-q", "--allow-empty", "-m", "commit"], env=env, cwd=work)
        sha = git(["rev-parse", "HEAD"], env=env)
        shutil.rmtree(work)
        return sha


def git(args, **kw):
    return subprocess.run(["git", *args], check=True, capture_output=True, **kw).stdout.decode().strip()
