"""The cases one real client goes through. Runs inside that client's own environment:

    python cases.py SETTINGS.json

Prints one JSON line a case: {"case": …, "ok": bool, "detail": …}. Works with huggingface_hub 0.23 to 2.x.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

with open(sys.argv[1], encoding="utf-8") as f:
    S = json.load(f)

# Before the import: the client reads its environment once.
os.environ.update(
    HF_HOME=tempfile.mkdtemp(dir=S["tmp"]),
    HF_ENDPOINT=S["endpoint"],
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_SYMLINKS_WARNING="1",
)
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
    os.environ.pop(name, None)

import huggingface_hub as hub  # noqa: E402
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, hf_hub_url, snapshot_download  # noqa: E402

VERSION = tuple(int(x) for x in hub.__version__.split(".")[:3])
API = HfApi(endpoint=S["endpoint"], token=False)
CASES = []


def case(name, on=("dir", "hub"), gate=True, phase="up", since=(0,)):
    """Registers a case: the upstreams it makes sense on, whether it needs the gate, its phase and oldest client."""

    def register(f):
        CASES.append((name, f, on, gate, phase, since))
        return f

    return register


def fresh():
    return tempfile.mkdtemp(dir=S["tmp"])


def want(rid, path, rtype="models"):
    with open(os.path.join(S["tree"], rtype, rid, path), "rb") as f:
        return f.read()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def same(rid, path, rtype="model", **kw):
    """Pulls a file into an empty cache and compares every byte."""
    kw.setdefault("cache_dir", fresh())
    kw.setdefault("token", False)
    got = read(hf_hub_download(rid, path, repo_type=rtype, **kw))
    assert got == want(rid, path, rtype + "s"), f"{path} differs from the upstream's bytes"
    return got


def fails(f, *args, **kw):
    """The exception of a call that must fail."""
    try:
        got = f(*args, **kw)
    except Exception as e:  # noqa: BLE001 - every kind of refusal counts, its text is checked by the caller
        return e
    raise AssertionError(f"succeeded with {got!r}")


def kind(e, *names):
    found = {c.__name__ for c in type(e).__mro__}
    assert found & set(names), f"raised {type(e).__name__} ({last_line(e)}), not one of {names}"


def last_line(e):
    lines = [x.strip() for x in str(e).splitlines() if x.strip()]
    return lines[-1] if lines else ""


def explains(text, path):
    """A refusal names file, cause, rule and report."""
    for what, pattern in (
        ("the file", re.escape(path)),
        ("the cause", r"(posix|os)\.system"),
        ("a rule id", r"\bWB-[A-Z0-9]+-\d+\b"),
        ("a report url", r"https?://\S+/r/[a-z2-7]{26}\b"),
    ):
        assert re.search(pattern, text), f"{what} is missing in: {text}"


def no_copy_of(folder, data):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            assert read(path) != data, f"a refused file was delivered to {path}"


# ---- what an allowed pull looks like


@case("hf_hub_download small", gate=False)
def _():
    same("acme/tiny", "config.json")


@case("hf_hub_download lfs", gate=False)
def _():
    same("acme/tiny", "model.safetensors")


@case("hf_hub_download path with spaces", gate=False)
def _():
    same("acme/tiny", "sub/dir/vocab with space.txt")


@case("hf_hub_download plain pickle", gate=False)
def _():
    same("acme/tiny", "plain.pkl")


@case("hf_hub_download local_dir", gate=False)
def _():
    folder = fresh()
    hf_hub_download("acme/tiny", "sub/dir/vocab with space.txt", local_dir=folder, token=False)
    assert read(os.path.join(folder, "sub/dir/vocab with space.txt")) == b"a\nb\nc\n"


@case("hf_hub_download twice, second from the client's cache", gate=False)
def _():
    cache = fresh()
    same("acme/tiny", "model.safetensors", cache_dir=cache)
    same("acme/tiny", "model.safetensors", cache_dir=cache)


@case("snapshot_download", gate=False)
def _():
    folder = snapshot_download("acme/tiny", cache_dir=fresh(), token=False)
    for path in S["files"]["models acme/tiny"]:
        assert read(os.path.join(folder, path)) == want("acme/tiny", path), path


@case("snapshot_download of a pinned commit", gate=False)
def _():
    sha = API.model_info("acme/tiny").sha
    folder = snapshot_download("acme/tiny", revision=sha, cache_dir=fresh(), token=False)
    assert os.path.basename(folder) == sha, folder
    assert read(os.path.join(folder, "config.json")) == want("acme/tiny", "config.json")


@case("hf_hub_download of a pinned commit", gate=False)
def _():
    sha = API.model_info("acme/tiny").sha
    path = hf_hub_download("acme/tiny", "config.json", revision=sha, cache_dir=fresh(), token=False)
    assert f"snapshots/{sha}/" in path, path


@case("snapshot_download allow_patterns", gate=False)
def _():
    folder = snapshot_download("acme/tiny", allow_patterns=["*.json"], cache_dir=fresh(), token=False)
    assert sorted(os.listdir(folder)) == ["config.json"], os.listdir(folder)


@case("dataset", gate=False)
def _():
    same("acme/ds", "data/train.csv", "dataset")
    folder = snapshot_download("acme/ds", repo_type="dataset", cache_dir=fresh(), token=False)
    assert read(os.path.join(folder, "data/train.csv")) == want("acme/ds", "data/train.csv", "datasets")


@case("space", gate=False)
def _():
    same("acme/app", "data/labels.txt", "space")


@case("model_info", gate=False)
def _():
    info = API.model_info("acme/tiny", files_metadata=True)
    got = {s.rfilename: s.size for s in info.siblings}
    for path in S["files"]["models acme/tiny"]:
        assert got.get(path) == len(want("acme/tiny", path)), (path, got)
    assert re.fullmatch(r"[0-9a-f]{40}", info.sha), info.sha


@case("dataset_info and space_info", gate=False)
def _():
    assert API.dataset_info("acme/ds").id == "acme/ds"
    assert API.space_info("acme/app").id == "acme/app"


@case("list_repo_files", gate=False)
def _():
    got = set(API.list_repo_files("acme/tiny"))
    assert set(S["files"]["models acme/tiny"]) <= got, got


@case("list_repo_tree over several pages", gate=False)
def _():
    got = {x.path for x in API.list_repo_tree("acme/many", recursive=True)}
    missing = set(S["files"]["models acme/many"]) - got
    assert not missing, f"missing {sorted(missing)[:5]}"


@case("list_repo_tree of a folder", gate=False)
def _():
    got = [x.path for x in API.list_repo_tree("acme/tiny", path_in_repo="sub/dir")]
    assert got == ["sub/dir/vocab with space.txt"], got


@case("get_paths_info", gate=False)
def _():
    got = {x.path: x for x in API.get_paths_info("acme/tiny", ["config.json", "sub", "absent.bin"])}
    assert set(got) == {"config.json", "sub"}, got
    assert got["config.json"].size == len(want("acme/tiny", "config.json"))


@case("list_repo_refs", gate=False)
def _():
    assert [b.name for b in API.list_repo_refs("acme/tiny").branches] == ["main"]


@case("file metadata", gate=False)
def _():
    meta = hub.get_hf_file_metadata(hf_hub_url("acme/tiny", "model.safetensors", endpoint=S["endpoint"]), token=False)
    assert meta.size == len(want("acme/tiny", "model.safetensors"))
    assert meta.etag and re.fullmatch(r"[0-9a-f]{40}", meta.commit_hash or ""), meta
    assert getattr(meta, "xet_file_data", None) is None, "xet is offered"


@case("HfFileSystem list and ranged read", gate=False)
def _():
    fs = HfFileSystem(endpoint=S["endpoint"], token=False)
    assert "acme/tiny/config.json" in fs.ls("acme/tiny", detail=False)
    with fs.open("acme/tiny/model.safetensors", "rb", block_size=65536) as f:
        f.seek(100_000)
        assert f.read(1000) == want("acme/tiny", "model.safetensors")[100_000:101_000]


@case("command line download", gate=False)
def _():
    code, text, folder = command_line("acme/tiny", "model.safetensors", "config.json")
    assert code == 0, text
    assert read(os.path.join(folder, "model.safetensors")) == want("acme/tiny", "model.safetensors")


def command_line(rid, *files):
    bin_dir, folder = os.path.dirname(sys.executable), fresh()
    tool = os.path.join(bin_dir, "hf")
    if not os.path.exists(tool):
        tool = os.path.join(bin_dir, "huggingface-cli")
    env = dict(os.environ, HF_HOME=fresh(), NO_COLOR="1")
    args = [tool, "download", rid, *files, "--local-dir", folder]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr, folder


@case("resume after a cut connection")
def _():
    # The endpoint here is a proxy before the gate that cuts the first answer in half.
    cache, path = fresh(), S["cut"]["path"]
    for _ in range(3):
        try:
            got = hf_hub_download("acme/large", path, endpoint=S["cut"]["endpoint"], cache_dir=cache, token=False)
            break
        except Exception as e:  # noqa: BLE001 - older clients give up and resume at the next command
            last = e
    else:
        raise AssertionError(f"never resumed: {last_line(last)}")
    assert read(got) == want("acme/large", path), "resumed file differs"
    with open(S["cut"]["log"], encoding="utf-8") as f:
        seen = f.read()
    assert "bytes=" in seen, f"no range was asked for: {seen}"


# ---- refusals and warnings


@case("refused pickle: last line says why")
def _():
    cache = fresh()
    e = fails(hf_hub_download, "acme/poisoned", "pytorch_model.bin", cache_dir=cache, token=False)
    explains(last_line(e), "pytorch_model.bin")
    no_copy_of(cache, want("acme/poisoned", "pytorch_model.bin"))


@case("refused torch zip: last line says why")
def _():
    cache = fresh()
    e = fails(hf_hub_download, "acme/poisoned", "zipped.pt", cache_dir=cache, token=False)
    explains(last_line(e), "zipped.pt")
    no_copy_of(cache, want("acme/poisoned", "zipped.pt"))


@case("refused snapshot: last line says why")
def _():
    cache = fresh()
    e = fails(snapshot_download, "acme/poisoned", cache_dir=cache, token=False, max_workers=1)
    line = last_line(e)
    explains(line, "zipped.pt" if "zipped.pt" in line else "pytorch_model.bin")
    for path in ("pytorch_model.bin", "zipped.pt"):
        no_copy_of(cache, want("acme/poisoned", path))


@case("refused file beside an allowed one")
def _():
    same("acme/poisoned", "config.json")


@case("refused on the command line")
def _():
    code, text, folder = command_line("acme/poisoned", "pytorch_model.bin")
    assert code != 0, text
    explains(text, "pytorch_model.bin")
    no_copy_of(folder, want("acme/poisoned", "pytorch_model.bin"))


@case("refused ranged read")
def _():
    fs = HfFileSystem(endpoint=S["endpoint"], token=False)

    def first_bytes():
        with fs.open("acme/poisoned/pytorch_model.bin", "rb", block_size=16) as f:
            return f.read(8)

    fails(first_bytes)


@case("refused configuration: the code it names is to blame")
def _():
    for path in ("config.json", "net.py"):
        cache = fresh()
        e = fails(hf_hub_download, "acme/names-evil", path, cache_dir=cache, token=False)
        explains(last_line(e), path)
        assert "part.py" in last_line(e), last_line(e)
        no_copy_of(cache, want("acme/names-evil", path))
    same("acme/names-evil", "model.safetensors")


@case("refused snapshot with code: last line says why")
def _():
    cache = fresh()
    e = fails(snapshot_download, "acme/names-evil", cache_dir=cache, token=False, max_workers=1)
    explains(last_line(e), "part.py")
    for path in ("config.json", "net.py", "part.py"):
        no_copy_of(cache, want("acme/names-evil", path))


@case("configuration with honest code arrives")
def _():
    folder = snapshot_download("acme/names-good", cache_dir=fresh(), token=False)
    for path in S["files"]["models acme/names-good"]:
        assert read(os.path.join(folder, path)) == want("acme/names-good", path), path


@case("warned file arrives")
def _():
    same("acme/warned", "head.pkl")


@case("warning prints once", since=(1, 2, 0))
def _():
    # In a process of its own: the client prints each warning once a process.
    code = (
        "import sys; from huggingface_hub import hf_hub_download as d\n"
        "for _ in range(2): d('acme/warned', 'head.pkl', cache_dir=sys.argv.pop(), token=False)"
    )
    args = [sys.executable, "-c", code, fresh(), fresh()]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr[-500:]
    n = done.stderr.count("head.pkl")
    assert n == 1, f"printed {n} times: {done.stderr!r}"


@case("writes are refused")
def _():
    api = HfApi(endpoint=S["endpoint"], token=S["tokens"]["good"])
    for e in (fails(api.create_repo, "acme/new"), fails(api.delete_file, "config.json", "acme/tiny")):
        assert "405" in str(e), f"{type(e).__name__}: {e}"


# ---- names that are not there


@case("unknown file", gate=False)
def _():
    kind(fails(same, "acme/tiny", "absent.bin"), "EntryNotFoundError")


@case("unknown revision", gate=False)
def _():
    kind(fails(same, "acme/tiny", "config.json", revision="absent"), "RevisionNotFoundError")


@case("unknown repository")
def _():
    kind(fails(same, "acme/absent", "config.json"), "RepositoryNotFoundError")


@case("unknown repository, info")
def _():
    kind(fails(API.model_info, "acme/absent"), "RepositoryNotFoundError")


# ---- access, as the hub grants it


@case("renamed", on=("hub",), gate=False)
def _():
    for path in ("config.json", "model.safetensors"):
        got = hf_hub_download("acme/old", path, cache_dir=fresh(), token=False)
        assert read(got) == want("acme/tiny", path)


@case("gated: nothing without a token", on=("hub",), gate=False)
def _():
    kind(fails(same, "acme/gated", "model.safetensors"), "GatedRepoError")


@case("gated: bytes for the granted token", on=("hub",), gate=False)
def _():
    same("acme/gated", "model.safetensors", token=S["tokens"]["good"])


@case("gated: nothing from the cache for another token", on=("hub",), gate=False)
def _():
    same("acme/gated", "model.safetensors", token=S["tokens"]["good"])
    kind(fails(same, "acme/gated", "model.safetensors", token=S["tokens"]["other"]), "GatedRepoError")
    kind(fails(same, "acme/gated", "model.safetensors"), "GatedRepoError")


@case("private: bytes for the reader's token", on=("hub",), gate=False)
def _():
    same("acme/private", "model.safetensors", token=S["tokens"]["good"])
    assert HfApi(endpoint=S["endpoint"], token=S["tokens"]["good"]).model_info("acme/private").private


@case("private: nothing from the cache for another token", on=("hub",))
def _():
    good = HfApi(endpoint=S["endpoint"], token=S["tokens"]["good"])
    sha = good.model_info("acme/private").sha
    for path in ("config.json", "model.safetensors"):
        same("acme/private", path, token=S["tokens"]["good"])
        for token in (S["tokens"]["other"], False):
            kind(fails(same, "acme/private", path, token=token), "RepositoryNotFoundError")
            kind(fails(same, "acme/private", path, token=token, revision=sha), "RepositoryNotFoundError")
    other = HfApi(endpoint=S["endpoint"], token=S["tokens"]["other"])
    for call in (other.model_info, other.list_repo_files):
        kind(fails(call, "acme/private"), "RepositoryNotFoundError")


@case("invalid token", on=("hub",), gate=False)
def _():
    fails(same, "acme/tiny", "config.json", token="hf_never_issued_000000000000000000000000")


# ---- a lying, broken or slow upstream


def never(path):
    cache = fresh()
    e = fails(hf_hub_download, "acme/faulty", path, cache_dir=cache, token=False)
    no_copy_of(cache, want("acme/faulty", path))
    return e


for fault in ("flipped", "longer", "mislabelled", "broken", "redirected"):

    @case(f"upstream {fault}: refused, not delivered", on=("hub",))
    def _(fault=fault):
        e = never(f"{fault}-{S['version']}.safetensors")
        # 0.36 repeats a 502 and 503 by itself and then shows the bare status, whatever came with it.
        shown = str(e).lower()
        bare = VERSION[:2] == (0, 36) and re.search(r"\b50[23] server error", shown)
        assert "upstream" in shown or bare, f"blames nobody: {last_line(e)}"


@case("upstream cuts: resumed, never cut short", on=("hub",))
def _():
    path = f"cut-{S['version']}.safetensors"
    try:
        same("acme/faulty", path)
    except AssertionError:
        raise
    except Exception as e:  # noqa: BLE001 - giving up is right too
        assert re.search(r"upstream|\b50[23]\b", str(e).lower()), last_line(e)


@case("upstream flipped, small file", on=("hub",))
def _():
    never(f"flipped-{S['version']}.json")


@case("upstream changing bytes under a fixed name", on=("hub",))
def _():
    path, other = (f"{x}-{S['version']}.safetensors" for x in ("changing", "changed"))
    sha = API.model_info("acme/faulty").sha
    same("acme/faulty", path, revision=sha)
    for revision in (sha, "main"):
        cache = fresh()
        try:
            got = read(hf_hub_download("acme/faulty", path, revision=revision, cache_dir=cache, token=False))
        except Exception:  # noqa: BLE001 - refusing is right
            got = None
        assert got in (None, want("acme/faulty", path)), "other bytes were delivered under the same commit"
        no_copy_of(cache, want("acme/faulty", other))


@case("throttled upstream: readable, then success", on=("hub",), phase="slow")
def _():
    path = f"slow-{S['version']}.safetensors"
    start, said = time.monotonic(), None
    while time.monotonic() - start < 420:
        try:
            same("acme/slow", path)
            break
        except Exception as e:  # noqa: BLE001 - the text is checked
            said = str(e)
            assert re.search(r"being judged", said) and re.search(r"repeat the command", said), last_line(e)
    else:
        raise AssertionError(f"never succeeded; last said: {said}")
    # 0.36 and 1.33 or later repeat by themselves what the gate asks to repeat.
    alone = VERSION >= (1, 33) or VERSION[:2] == (0, 36)
    assert said or alone, "the first try must end in a readable refusal"


@case("upstream down: says so, delivers nothing new", on=("hub",), phase="down")
def _():
    start = time.monotonic()
    e = fails(API.model_info, "acme/many")
    assert "upstream" in str(e).lower(), f"does not say that the upstream is down: {last_line(e)}"
    assert time.monotonic() - start < 60, "took longer than a minute"


def main():
    for name, run, on, gate, phase, since in CASES:
        if S["upstream"] not in on or (gate and not S["gate"]) or phase not in S["phases"] or VERSION < since:
            continue
        if not all(word in name for word in S["filter"]):
            continue
        start = time.monotonic()
        try:
            run()
            ok, detail = True, ""
        except Exception as e:  # noqa: BLE001 - a case that raises is a failed case
            ok, detail = False, f"{type(e).__name__}: {' | '.join(str(e).split(chr(10)))}"[:600]
        row = {"case": name, "ok": ok, "detail": detail, "seconds": round(time.monotonic() - start, 2)}
        print(json.dumps(row), flush=True)


main()
