"""Repositories for the client tests: small honest files, poisoned ones that only ever echo, and misbehaving ones.

Nothing here is ever unpickled. The poisoned pickles are written opcode by opcode.
"""

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile

GOOD, OTHER = "hf_good_token_of_alice_0000000000000000", "hf_other_token_of_bob_00000000000000000"
PICKLE_CALL = b"\x80\x02cposix\nsystem\nX\x18\x00\x00\x00echo weighbridge-fixture\x85R."
UNKNOWN_CLASS = b"\x80\x02cacme_models.heads\nLinearHead\n)\x81}X\x04\x00\x00\x00biasK\x01sb."

NAMES_CODE = b'{"model_type": "net", "auto_map": {"AutoModel": "net.Net"}}\n'


def safetensors(name, elements):
    """A valid safetensors file with one f32 tensor whose bytes depend on `name`."""
    seed = hashlib.sha256(name.encode()).digest()
    data = (seed * (elements * 4 // len(seed) + 1))[: elements * 4]
    head = json.dumps({"weight": {"dtype": "F32", "shape": [elements], "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def torch_zip(data_pkl):
    """A PyTorch zip archive around a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, data in (
            ("data.pkl", data_pkl),
            ("byteorder", b"little"),
            ("data/0", b"\0" * 64),
            ("version", b"3\n"),
        ):
            z.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
    return out.getvalue()


def common():
    """Repositories both upstreams serve: {(type, id): {path: bytes}}."""
    tiny = {
        "config.json": b'{"model_type": "tiny", "hidden_size": 8}\n',
        "README.md": b"---\nlicense: apache-2.0\n---\n# tiny\n",
        "model.safetensors": safetensors("tiny", 750_000),
        "sub/dir/vocab with space.txt": b"a\nb\nc\n",
        "plain.pkl": pickle.dumps({"layers": [1, 2, 3], "name": "tiny"}, protocol=4),
    }
    many = {f"part/{i:03}.txt": b"%d\n" % i for i in range(60)}
    many["config.json"] = b"{}\n"
    return {
        ("models", "acme/tiny"): tiny,
        ("models", "acme/poisoned"): {
            "config.json": b"{}\n",
            "pytorch_model.bin": PICKLE_CALL,
            "zipped.pt": torch_zip(PICKLE_CALL),
        },
        ("models", "acme/warned"): {"config.json": b"{}\n", "head.pkl": UNKNOWN_CLASS},
        ("models", "acme/many"): many,
        # The code beside the configuration decides about both.
        ("models", "acme/names-evil"): {
            "config.json": NAMES_CODE,
            "net.py": b"from .part import scale\n\nclass Net:\n    pass\n",
            "part.py": b"import os\nos.system('echo weighbridge-fixture')\nscale = 1\n",
            "model.safetensors": safetensors("names-evil", 500),
        },
        ("models", "acme/names-good"): {
            "config.json": NAMES_CODE,
            "net.py": b"from .part import scale\n\nclass Net:\n    pass\n",
            "part.py": b"scale = 1\n",
            "model.safetensors": safetensors("names-good", 500),
        },
        # Old clients write in chunks of 10 MB: only what is larger can be resumed.
        ("models", "acme/large"): {"weights.safetensors": safetensors("large", 6_000_000)},
        ("datasets", "acme/ds"): {"data/train.csv": b"text,label\nhello,1\nworld,0\n", "README.md": b"# ds\n"},
        ("spaces", "acme/app"): {"README.md": b"# app\n", "data/labels.txt": b"cat\ndog\n"},
    }


def hub_only(versions, throttle):
    """Repositories that need the stand-in hub's .hub.json."""
    tree = {
        ("models", "acme/old"): {},
        ("models", "acme/gated"): {"config.json": b'{"gated": 1}\n', "model.safetensors": safetensors("gated", 500)},
        ("models", "acme/private"): {
            "config.json": b'{"secret": 1}\n',
            "model.safetensors": safetensors("private", 500),
        },
        ("models", "acme/faulty"): {},
        ("models", "acme/slow"): {},
    }
    meta = {
        ("models", "acme/old"): {"renamed_to": "acme/tiny"},
        ("models", "acme/gated"): {"gated": "auto", "granted": [GOOD]},
        ("models", "acme/private"): {"private": True, "readers": [GOOD]},
        ("models", "acme/faulty"): {"faults": {}},
        ("models", "acme/slow"): {"faults": {}},
    }
    faulty, faults = tree["models", "acme/faulty"], meta["models", "acme/faulty"]["faults"]
    for v in [*versions, "raw"]:
        for name, fault in (
            ("flipped", {"flip": True}),
            ("longer", {"size": 4096}),
            ("mislabelled", {"digest": "ab" * 32}),
            ("cut", {"cut": 1000}),
            ("broken", {"status": 500}),
        ):
            path = f"{name}-{v}.safetensors"
            faulty[path] = safetensors(path, 5000)
            faults[path] = fault
        faulty[f"flipped-{v}.json"] = b'{"upstream": "lies", "to": "%s", "pad": "%s"}\n' % (v.encode(), b"-" * 64)
        faults[f"flipped-{v}.json"] = {"flip": True}
        faulty[f"redirected-{v}.safetensors"] = safetensors(f"redirected-{v}", 5000)
        faults[f"redirected-{v}.safetensors"] = {"redirect": "TRAP"}
        # Honest bytes, then other bytes under the same commit and name.
        faulty[f"changing-{v}.safetensors"] = safetensors(f"changing-{v}", 5000)
        faulty[f"changed-{v}.safetensors"] = safetensors(f"changed-{v}", 5000)
        faults[f"changing-{v}.safetensors"] = {"alternate": f"changed-{v}.safetensors", "alternate_after": 1}
        slow = f"slow-{v}.safetensors"
        tree["models", "acme/slow"][slow] = safetensors(slow, 20_000)
        meta["models", "acme/slow"]["faults"][slow] = {"throttle": throttle}
    return tree, meta


def write(root, repos, meta=None, trap=None):
    """Writes the repositories under `root`; `trap` replaces the marker TRAP in redirects."""
    for (rtype, rid), files in repos.items():
        folder = os.path.join(root, rtype, rid)
        os.makedirs(folder, exist_ok=True)
        for rel, data in files.items():
            path = os.path.join(folder, rel)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
    for (rtype, rid), behaviour in (meta or {}).items():
        for fault in behaviour.get("faults", {}).values():
            if fault.get("redirect") == "TRAP":
                fault["redirect"] = trap
        with open(os.path.join(root, rtype, rid, ".hub.json"), "w", encoding="utf-8") as f:
            json.dump(behaviour, f)
