"""Cases no client library shows: plain requests to the gate, each header looked at."""

import http.client
import json
import os
import re
import subprocess
import time
from urllib.parse import quote

HUB_AGENT = "unknown/None; hf_hub/2.4.0; python/3.11.7"
CURL = "curl/8.5.0"
XET = ("x-xet-hash", "x-xet-refresh-route", "x-xet-cas-url")


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers}, body

    def get(self, name):
        return self.headers.get(name)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]!r}"


class Raw:
    """The cases, over one running gate. `settings` is what the clients got too."""

    def __init__(self, settings, gate, stub, trap, binary):
        self.s, self.gate, self.stub, self.trap, self.binary = settings, gate, stub, trap, binary
        self.rows = []

    def ask(self, method, path, agent=HUB_AGENT, token=None, body=None, **headers):
        """One request; 307 hops of the gate (a judgement under way) are followed, others are not."""
        sent = {"User-Agent": agent, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        for _ in range(40):
            c = http.client.HTTPConnection("127.0.0.1", self.gate.port, timeout=60)
            c.request(method, path, body=body, headers=sent)
            r = c.getresponse()
            answer = Answer(r.status, r.getheaders(), r.read())
            c.close()
            to = answer.get("location") or ""
            if answer.status != 307 or "/_w/" not in to:
                return answer
            path = to
        raise AssertionError("more than 40 hops")

    def want(self, rid, path, rtype="models"):
        with open(os.path.join(self.s["tree"], rtype, rid, path), "rb") as f:
            return f.read()

    def run(self, words=()):
        """Runs every case that holds all the words; rows are (case, ok, detail)."""
        for name in [n for n in dir(self) if n.startswith("case_")]:
            title = name[len("case_") :].replace("_", " ")
            on_hub = title.startswith("hub ")
            if (on_hub and self.s["upstream"] != "hub") or not all(w in title for w in words):
                continue
            try:
                getattr(self, name)()
                self.rows.append((title, True, ""))
            except Exception as e:  # noqa: BLE001 - a case that raises is a failed case
                self.rows.append((title, False, f"{type(e).__name__}: {e}"[:600]))
        return self.rows

    # ---- what must be there

    def case_healthz(self):
        a = self.ask("GET", "/healthz")
        assert a.status == 200, a

    def case_head_has_what_clients_need(self):
        a = self.ask("HEAD", "/acme/tiny/resolve/main/model.safetensors")
        data = self.want("acme/tiny", "model.safetensors")
        assert a.status == 200, a
        assert int(a.get("content-length")) == len(data) == int(a.get("x-linked-size") or len(data)), a
        assert re.fullmatch(r'"[0-9a-f]{40,64}"', a.get("etag") or ""), a
        assert re.fullmatch(r"[0-9a-f]{40}", a.get("x-repo-commit") or ""), a
        assert a.get("accept-ranges") == "bytes" and not a.get("location") and not a.get("content-encoding"), a

    def case_if_none_match(self):
        path = "/acme/tiny/resolve/main/model.safetensors"
        etag = self.ask("GET", path).get("etag")
        a = self.ask("GET", path, If_None_Match=etag)
        assert a.status == 304 and not a.body, a
        assert self.ask("GET", path, If_None_Match='"other"').status == 200

    def case_ranges(self):
        path, data = "/acme/tiny/resolve/main/model.safetensors", self.want("acme/tiny", "model.safetensors")
        n = len(data)
        for asked, lo, hi in (("0-0", 0, 0), ("100-199", 100, 199), (f"{n - 5}-", n - 5, n - 1), ("-7", n - 7, n - 1)):
            a = self.ask("GET", path, Range=f"bytes={asked}")
            assert a.status == 206 and a.get("content-range") == f"bytes {lo}-{hi}/{n}", (asked, a)
            assert a.body == data[lo : hi + 1], asked
        a = self.ask("GET", path, Range=f"bytes={n}-")
        assert a.status == 416 and a.get("content-range") == f"bytes */{n}", a
        a = self.ask("GET", path, Range="bytes=0-1,5-6")
        assert a.status == 200 and a.body == data, "several ranges are answered whole"

    def case_link_to_next_page_stays_on_the_gate(self):
        a = self.ask("GET", "/api/models/acme/many/tree/main?recursive=true&limit=10")
        link = a.get("link")
        if self.s["upstream"] == "hub":
            assert link, "the stand-in pages by 25"
        assert not link or link.startswith(f"<{self.s['endpoint']}/") or link.startswith("</"), link

    # ---- xet is off in all three places

    def case_hub_xet_is_off(self):
        a = self.ask("HEAD", "/acme/tiny/resolve/main/model.safetensors")
        assert not any(a.get(h) for h in XET) and "xet" not in (a.get("link") or ""), a
        a = self.ask("GET", "/acme/tiny/resolve/main/model.safetensors")
        assert not any(a.get(h) for h in XET) and "xet" not in (a.get("link") or ""), a
        a = self.ask("GET", "/api/models/acme/tiny/tree/main?recursive=true")
        assert a.status == 200 and b"xetHash" not in a.body and b'"lfs"' in a.body, a
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        a = self.ask("POST", "/api/models/acme/tiny/paths-info/main", body="paths=model.safetensors", **form)
        assert a.status == 200 and b"xetHash" not in a.body and b"model.safetensors" in a.body, a
        sha = self.ask("HEAD", "/acme/tiny/resolve/main/config.json").get("x-repo-commit")
        assert self.ask("GET", f"/api/models/acme/tiny/xet-read-token/{sha}").status == 404

    # ---- refusals

    def refused(self, a, status=403):
        assert a.status == status, a
        text = a.get("x-error-message")
        assert text and "\n" not in text and text.isascii() and not text.endswith("."), a
        return text

    def case_refusal_by_agent(self):
        path, data = "/acme/poisoned/resolve/main/pytorch_model.bin", self.want("acme/poisoned", "pytorch_model.bin")
        a = self.ask("HEAD", path)
        assert a.status == 200 and int(a.get("content-length")) == len(data), "hf_hub agents get true metadata"
        for agent in (HUB_AGENT, CURL, "hf-hub/1.0.0; rust", "llama-cpp/b5000"):
            a = self.ask("GET", path, agent=agent)
            self.refused(a)
            assert data not in a.body and "pytorch_model.bin" in json.loads(a.body)["error"], a
            assert not a.get("x-error-code"), "an error code hides the reason in some clients"
        for agent in (CURL, "hf-hub/1.0.0; rust"):
            self.refused(self.ask("HEAD", path, agent=agent))

    def case_refusal_of_ranges(self):
        for rng in ("bytes=0-0", "bytes=0-", "bytes=-4", "bytes=3-9"):
            self.refused(self.ask("GET", "/acme/poisoned/resolve/main/zipped.pt", Range=rng))

    def case_refused_bytes_leave_by_no_route(self):
        sha = self.ask("HEAD", "/acme/poisoned/resolve/main/pytorch_model.bin").get("x-repo-commit")
        data = self.want("acme/poisoned", "pytorch_model.bin")
        f = "pytorch_model.bin"
        for path in (
            f"/acme/poisoned/raw/main/{f}",
            f"/acme/poisoned/blob/main/{f}",
            f"/acme/poisoned/resolve/{sha}/{f}",
            f"/acme/poisoned/resolve/main/./{f}",
            f"/acme/poisoned/resolve/main/x/../{f}",
            f"/acme/poisoned/resolve/main/x%2F..%2F{f}",
            f"/acme/poisoned/resolve/main//{f}",
            f"/acme/poisoned/resolve/main/{quote(f).replace('_', '%5F')}",
            f"/api/resolve-cache/models/acme/poisoned/{sha}/{f}",
            f"/models/acme/poisoned/resolve/main/{f}",
            f"/api/models/acme/poisoned/resolve/main/{f}",
            f"/_w/0/0/acme/poisoned/resolve/main/{f}",
        ):
            for agent in (HUB_AGENT, CURL):
                a = self.ask("GET", path, agent=agent)
                assert a.status >= 400 and data not in a.body, (path, a)

    def case_report_page(self):
        text = json.loads(self.ask("GET", "/acme/poisoned/resolve/main/pytorch_model.bin").body)["error"]
        m = re.search(r"https?://[^/\s]+(/r/[a-z2-7]{26})\b", text)
        assert m, text
        a = self.ask("GET", m[1], agent="Mozilla/5.0")
        assert a.status == 200 and "text/html" in a.get("content-type"), a
        assert b"pytorch_model.bin" in a.body and b"system" in a.body, a
        assert "script" not in (a.get("content-security-policy") or "") or "'none'" in a.get(
            "content-security-policy"
        ), a
        other = m[1][:4] + ("a" if m[1][4] != "a" else "b") + m[1][5:]
        assert self.ask("GET", other, agent="Mozilla/5.0").status == 404

    # ---- what is not served

    def case_writes_are_405(self):
        before = self.stub.seen().count(" POST ") if self.stub else 0
        for method, path in (
            ("POST", "/api/repos/create"),
            ("DELETE", "/api/repos/delete"),
            ("POST", "/api/models/acme/tiny/commit/main"),
            ("POST", "/api/models/acme/tiny/preupload/main"),
            ("PUT", "/acme/tiny/resolve/main/config.json"),
            ("DELETE", "/acme/tiny/resolve/main/config.json"),
        ):
            a = self.ask(method, path, token=self.s["tokens"]["good"], body="{}", Content_Type="application/json")
            self.refused(a, 405)
        if self.stub:
            assert self.stub.seen().count(" POST ") == before, "a write reached the upstream"

    def case_connection_lives_on_after_a_refused_write(self):
        c = http.client.HTTPConnection("127.0.0.1", self.gate.port, timeout=30)
        headers = {"User-Agent": HUB_AGENT, "Content-Type": "application/json"}
        for _ in range(30):
            for path in ("/api/repos/create", "/acme/tiny.git/git-receive-pack", "/nothing/here/at/all"):
                c.request("POST", path, body=b"{" + b" " * 2000 + b"}", headers=headers)
                r = c.getresponse()
                assert r.status in (403, 404, 405) and r.getheader("connection") != "close", (path, r.status)
                r.read()
        c.request("GET", "/acme/tiny/resolve/main/config.json", headers=headers)
        assert c.getresponse().status == 200

    def case_unknown_routes_are_404(self):
        for path in (
            "/api/agent-harnesses",
            "/nothing/here/at/all",
            "/api/models/acme/tiny/unknown-part",
            "/..%2f..%2fetc/passwd",
        ):
            assert self.ask("GET", path).status == 404, path

    def case_git_is_refused_with_text(self):
        a = self.ask("GET", "/acme/tiny.git/info/refs?service=git-upload-pack", agent="git/2.47.3")
        assert a.status in (403, 404) and len(a.body) > 20, a
        a = self.ask("POST", "/acme/tiny.git/git-receive-pack", agent="git/2.47.3", body="0000")
        assert a.status in (403, 404, 405), a

    def case_admin_routes_need_the_admin_token(self):
        for path in ("/api/v1/decisions", "/api/v1/verdicts/" + "0" * 64, "/metrics"):
            a = self.ask("GET", path)
            assert a.status in (401, 403), (path, a)
            a = self.ask("GET", path, token=self.s["tokens"]["good"])
            assert a.status in (401, 403), (path, a)
            a = self.ask("GET", path, token=self.gate.admin_token())
            assert a.status in (200, 404), (path, a)

    # ---- a lying upstream, seen from outside

    def case_hub_lies_are_502(self):
        for fault in ("flipped", "longer", "mislabelled", "broken", "redirected"):
            path = f"{fault}-raw.safetensors"
            a = self.ask("GET", f"/acme/faulty/resolve/main/{path}", agent=CURL)
            # What answers with an error may be well again in a minute; a lie is final.
            assert a.status == (503 if fault == "broken" else 502), (fault, a)
            assert self.want("acme/faulty", path)[100:300] not in a.body, fault
            self.refused(a, a.status)
        a = self.ask("GET", "/acme/faulty/resolve/main/flipped-raw.json", agent=CURL)
        assert a.status == 502, a

    # ---- looked at when all clients are done

    def after(self):
        """Cases that look back at the whole run."""
        checks = [("audit verify", self.check_audit), ("no token is logged or kept", self.check_secrets)]
        if self.stub:
            checks += [
                ("token stays with the hub", self.check_tokens),
                ("forbidden address never dialled", self.check_trap),
            ]
        for title, check in checks:
            try:
                check()
                yield title, True, ""
            except Exception as e:  # noqa: BLE001
                yield title, False, f"{type(e).__name__}: {e}"[:600]

    def check_audit(self):
        args = [self.binary, "audit", "verify", "--data", self.gate.data]
        done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def check_secrets(self):
        secrets = {name: token.encode() for name, token in self.s["tokens"].items()}
        admin = self.gate.admin_token().encode()
        # Both were used, so that there is something to look for.
        assert self.ask("GET", "/acme/tiny/resolve/main/config.json", token=self.s["tokens"]["good"]).status == 200
        assert self.ask("GET", "/api/v1/decisions", token=admin.decode()).status == 200
        with open(self.gate.log, "rb") as f:
            log = f.read()
        assert b"DEBUG" in log and b"released" in log, "the log tells less than it could"
        for name, token in {**secrets, "admin": admin}.items():
            assert token not in log, f"the {name} token is in the log"
        assert not re.search(rb"/r/[a-z2-7]{26}", log), "the id of a report is in the log"
        for folder, _, names in os.walk(self.gate.data):
            for path in [os.path.join(folder, n) for n in names]:
                kept = read(path)
                for name, token in secrets.items():
                    assert token not in kept, f"the {name} token is in {path}"
                assert admin not in kept or path.endswith("/admin-token"), f"the admin token is in {path}"

    def check_tokens(self):
        lines = [x for x in self.stub.seen().splitlines() if x.startswith(f"{self.stub.cdn_port} ")]
        assert lines, "nothing was fetched from the cdn at all"
        leaked = [x for x in lines if "Auth=yes" in x]
        assert not leaked, leaked[0]

    def check_trap(self):
        assert any("redirected-" in x and " -> 302" in x for x in self.stub.seen().splitlines()), "never redirected"
        assert not self.trap.hits, self.trap.hits[:3]

    def down(self):
        """Cases once the stand-in was stopped: the gate says so, and gives nothing away."""
        for title, check in (
            ("upstream down: says so", self.check_down),
            ("upstream down: nothing private from the cache", self.check_down_private),
        ):
            try:
                check()
                yield title, True, ""
            except Exception as e:  # noqa: BLE001
                yield title, False, f"{type(e).__name__}: {e}"[:600]

    def check_down(self):
        start = time.monotonic()
        a = self.ask("GET", "/acme/many/resolve/main/part/059.txt", agent=CURL)
        assert a.status in (502, 503, 504), a
        assert "upstream" in self.refused(a, a.status), a
        assert time.monotonic() - start < 60, "took longer than a minute"

    def check_down_private(self):
        data = self.want("acme/private", "model.safetensors")
        for token in (self.s["tokens"]["other"], None, "hf_never_issued_0000000000000000000000"):
            for agent in (HUB_AGENT, CURL):
                a = self.ask("GET", "/acme/private/resolve/main/model.safetensors", agent=agent, token=token)
                assert a.status >= 400 and data not in a.body, a
                assert not a.get("etag") and not a.get("x-repo-commit"), "metadata of a private file was given away"
