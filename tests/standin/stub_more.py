"""Parts of the stand-in hub beside plain pulls: git smart HTTP, git-lfs, uploads, listings, ollama manifests."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess

from stub_repo import is_lfs, sig

REPO = r"([^/]+/[^/]+?)"


class More:
    """A part of the request handler in stub_hub.py."""

    def more(self, path, query):
        """Answers the routes of this file; False when the path is none of them."""
        if m := re.fullmatch(rf"/(?:(datasets|spaces)/)?{REPO}(?:\.git)?/info/lfs/objects/batch", path):
            self.lfs_batch(m[1] or "models", m[2])
        elif m := re.fullmatch(rf"/(?:(datasets|spaces)/)?{REPO}(?:\.git)?/(info/refs|git-upload-pack)", path):
            self.git_http(m[1] or "models", m[2], m[3], query)
        elif m := re.fullmatch(r"/v2/([^/]+/[^/]+)/(manifests|blobs)/(.+)", path):
            self.ollama(m[1], m[2], m[3])
        elif path == "/v2/":
            self.out(200, {})
        else:
            return False
        return True

    def url(self, rest):
        return f"http://127.0.0.1:{self.args.port}/{rest}"

    def cdn_url(self, digest):
        return f"http://{self.args.cdn_host}:{self.args.cdn_port}/lfs/{digest}?sig={sig(digest)}"

    def listing(self, t, q):
        base, found = os.path.join(self.repos.root, t), []
        for ns in sorted(os.listdir(base) if os.path.isdir(base) else []):
            for name in sorted(os.listdir(os.path.join(base, ns))):
                rid = f"{ns}/{name}"
                wanted = q.get("search", [""])[0] in rid and q.get("author", [ns])[0] == ns
                loaded = self.repos.load(t, rid) if wanted else None
                if loaded and not loaded[0].get("private"):
                    found.append(
                        {"_id": "0", "id": rid, "modelId": rid, "sha": loaded[1], "private": False, "tags": []}
                    )
        self.out(200, found[: int(q.get("limit", ["1000"])[0])])

    def create(self):
        b = json.loads(self.body())
        rid = f"{b.get('organization') or 'tester'}/{b['name']}"
        folder = self.repos.folder((b.get("type") or "model") + "s", rid)
        if os.path.isdir(folder):
            return self.out(409, {"error": "You already created this model repo", "url": self.url(rid)})
        os.makedirs(folder)
        self.out(200, {"url": self.url(rid), "name": rid, "id": "1"})

    def upload(self, t, rid, sub):
        if not self.authed:
            return self.err(401, None, "Invalid username or password.")
        folder = self.repos.folder(t, rid)
        if not os.path.isdir(folder):
            return self.err(404, "RepoNotFound", "Repository not found")
        if sub == "preupload":
            modes = []
            for f in json.loads(self.body())["files"]:
                mode = "lfs" if is_lfs(f["path"]) or f["size"] > 10 << 20 else "regular"
                modes.append({"path": f["path"], "uploadMode": mode, "shouldIgnore": False})
            return self.out(200, {"files": modes})
        for line in self.body().splitlines():
            change = json.loads(line)
            kind, value = change["key"], change["value"]
            if kind == "header":
                continue
            path = os.path.normpath(os.path.join(folder, value["path"]))
            if not path.startswith(folder + os.sep):
                return self.err(400, None, "bad path")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if kind == "deletedFile":
                os.remove(path)
            elif kind == "file":
                with open(path, "wb") as f:
                    f.write(base64.b64decode(value["content"]))
            elif kind == "lfsFile":
                shutil.copyfile(self.repos.blobs[value["oid"]], path)
        sha = self.repos.load(t, rid)[1]
        prefix = "" if t == "models" else t + "/"
        url = self.url(f"{prefix}{rid}/commit/{sha}")
        self.out(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def put_object(self, digest):
        data = self.body()
        if hashlib.sha256(data).hexdigest() != digest:
            return self.out(422, b"sha mismatch", ctype="text/plain")
        path = os.path.join(self.repos.state, "blobs", digest)
        with open(path, "wb") as f:
            f.write(data)
        self.repos.blobs[digest] = path
        self.out(200, b"")

    def lfs_batch(self, t, rid):
        got = self.repo(t, rid, content=True)
        if got is None:
            return
        asked, objects, known = json.loads(self.body()), [], {e["sha256"] for e in got[2].values()}
        for o in asked["objects"]:
            link = {"href": self.cdn_url(o["oid"]), "expires_in": 3600}
            answer = {"oid": o["oid"], "size": o["size"], "authenticated": True}
            if asked["operation"] != "download":
                if o["oid"] not in self.repos.blobs:
                    answer["actions"] = {"upload": link}
            elif o["oid"] in known:
                answer["actions"] = {"download": link}
            else:
                answer["error"] = {"code": 404, "message": "Object does not exist"}
            objects.append(answer)
        body = {"transfer": "basic", "objects": objects, "hash_algo": "sha256"}
        self.out(200, body, ctype="application/vnd.git-lfs+json")

    def git_http(self, t, rid, what, query):
        got = self.repo(t, rid, content=True)
        if got is None:
            return
        if not self.repos.have_git:
            return self.err(501, None, "git is not installed beside the stand-in hub")
        body = self.body() if self.command == "POST" else b""
        env = dict(
            os.environ,
            GIT_PROJECT_ROOT=os.path.join(self.repos.state, t),
            GIT_HTTP_EXPORT_ALL="1",
            PATH_INFO=f"/{rid}.git/{what}",
            QUERY_STRING=query,
            REQUEST_METHOD=self.command,
            CONTENT_TYPE=self.headers.get("Content-Type", ""),
            CONTENT_LENGTH=str(len(body)),
            GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
            REMOTE_ADDR="127.0.0.1",
        )
        answer = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, rest = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        self.out(status, rest, headers, headers.pop("Content-Type", "text/plain"))

    def ollama(self, rid, kind, ref):
        """What huggingface.co serves to `ollama run hf.co/ns/name[:QUANT]`: an OCI-like manifest, layers by digest."""
        got = self.repo("models", rid, content=True)
        if got is None:
            return
        models = [(p, e) for p, e in sorted(got[2].items()) if p.endswith(".gguf")]
        if not models:
            return self.out(400, {"error": "Repository is not GGUF or is not compatible with llama.cpp"})
        _, e = next(((p, e) for p, e in models if ref.lower() in p.lower()), models[0])
        config = {"model_format": "gguf", "model_family": "llama", "model_type": "1B", "file_type": "F16"}
        config.update({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        config = json.dumps(config).encode()
        config_digest = hashlib.sha256(config).hexdigest()
        if kind == "manifests":
            image, media = (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.distribution.manifest.v2+json",
            )
            layer = {
                "mediaType": "application/vnd.ollama.image.model",
                "digest": f"sha256:{e['sha256']}",
                "size": e["size"],
            }
            head = {"mediaType": image, "digest": f"sha256:{config_digest}", "size": len(config)}
            return self.out(
                200, {"schemaVersion": 2, "mediaType": media, "config": head, "layers": [layer]}, ctype=media
            )
        digest = ref[7:] if ref.startswith("sha256:") else ref
        if digest == config_digest:
            return self.out(200, config, ctype="application/octet-stream")
        if digest not in {x["sha256"] for _, x in models}:
            return self.out(404, {"error": "not found"})
        self.out(307, b"", {"Location": self.cdn_url(digest)})
