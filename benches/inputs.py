#!/usr/bin/env python3
"""Writes the inputs of the benchmarks, without torch: the same bytes a torch of today would write, sizes aside.

    python3 benches/inputs.py DIR [--scale 1.0]

big.pt (1 GiB torch zip), legacy.bin (256 MiB torch before 1.6), small/ (2,000 pickles), dense.pkl (200 MB of opcodes),
small.pkl (one small pickle), dense-*.pkl (100 MB of one kind of opcodes each). `--scale 0.01` writes smaller ones, for trying the scripts.
"""

import argparse
import collections
import datetime
import io
import os
import pickle
import random
import struct
import sys
import types
import zipfile


class Storage:
    """A tensor's bytes: known to the pickler by a persistent id only."""

    def __init__(self, key, numel):
        self.key, self.numel = key, numel


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape


def fake_torch():
    """Modules with the names that torch's pickles mention: pickle looks each one up before it writes it."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    utils._rebuild_tensor_v2 = types.FunctionType((lambda *a: None).__code__, {}, "_rebuild_tensor_v2")
    utils._rebuild_tensor_v2.__module__, utils._rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    return torch, utils._rebuild_tensor_v2


TORCH, REBUILD = fake_torch()


class TorchPickler(pickle.Pickler):
    """Pickles a state dict as torch does: protocol 2, storages by persistent id."""

    def __init__(self, file, legacy):
        super().__init__(file, protocol=2)
        self.legacy = legacy

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            known = ("storage", TORCH.FloatStorage, obj.key, "cpu", obj.numel)
            return (*known, None) if self.legacy else known
        return None

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            stride = (obj.shape[1], 1) if len(obj.shape) == 2 else (1,)
            return REBUILD, (obj.storage, 0, obj.shape, stride, False, collections.OrderedDict())
        return NotImplemented


def state_dict(total):
    """(state dict, storages) of about `total` bytes in layers as a transformer has them."""
    side = 4096 if total >= 1 << 28 else 256
    state, storages, size = collections.OrderedDict(), [], 0
    layer = 0
    while size < total:
        for name, shape in (("attn.weight", (side, side)), ("mlp.weight", (side, side)), ("norm.weight", (side,))):
            numel = shape[0] * (shape[1] if len(shape) == 2 else 1)
            storage = Storage(str(len(storages)), numel)
            storages.append(storage)
            state[f"model.layers.{layer}.{name}"] = Tensor(storage, shape)
            size += numel * 4
        layer += 1
    return state, storages


def noise(seed):
    """1 MiB of bytes that look like weights: small floats of both signs."""
    r = random.Random(seed)
    return b"".join(struct.pack("<f", r.gauss(0, 0.02)) for _ in range(1 << 18))


def fill(write, size, seed):
    block = noise(seed)
    while size > 0:
        write(block[: min(size, len(block))])
        size -= len(block)


def torch_zip(path, total):
    """A zip of stored members, each aligned to 64 bytes by padding in the local extra field, as torch writes it."""
    state, storages = state_dict(total)
    data = io.BytesIO()
    TorchPickler(data, legacy=False).dump(state)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as z:

        def member(name, size, write):
            info = zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0))
            at = z.fp.tell() + 30 + len(info.filename)
            pad = (-(at + 4)) % 64
            info.extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
            info.file_size = size
            with z.open(info, "w") as f:
                write(f.write)

        member("data.pkl", len(data.getvalue()), lambda w: w(data.getvalue()))
        member("byteorder", 6, lambda w: w(b"little"))
        for i, s in enumerate(storages):
            member(f"data/{s.key}", s.numel * 4, lambda w, i=i, s=s: fill(w, s.numel * 4, i % 4))
        member("version", 2, lambda w: w(b"3\n"))


def torch_legacy(path, total):
    """Five pickles, then each storage with its count before it."""
    state, storages = state_dict(total)
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as f:
        for head in (0x1950A86A20F9469CFC6C, 1001, sizes):
            pickle.dump(head, f, protocol=2)
        TorchPickler(f, legacy=True).dump(state)
        pickle.dump(sorted(s.key for s in storages), f, protocol=2)
        by_key = {s.key: s for s in storages}
        for i, key in enumerate(sorted(by_key)):
            f.write(struct.pack("<q", by_key[key].numel))
            fill(f.write, by_key[key].numel * 4, i % 4)


def small_pickle(i):
    """A record such as an experiment leaves behind."""
    r = random.Random(i)
    return pickle.dumps(
        {
            "name": f"run-{i}",
            "when": datetime.datetime(2025, 1, 1) + datetime.timedelta(minutes=i),
            "params": collections.OrderedDict((f"p{k}", r.random()) for k in range(20)),
            "vocab": {f"token{k}": k for k in range(200)},
            "scores": [r.random() for _ in range(100)],
            "tags": {"a", "b", f"c{i}"},
        },
        protocol=2 + i % 4,
    )


def dense(path, total):
    """One list of many small dicts, as pickle writes it: an opcode every few bytes."""
    keys = ("id", "token", "weight", "flags")
    with open(path, "wb") as f:
        f.write(b"\x80\x04]\x94(")
        memo, size = [], 0
        r = random.Random(1)
        for k in keys:
            memo.append(k)
        first = b"}\x94(" + b"".join(b"\x8c" + bytes([len(k)]) + k.encode() + b"\x94K\x00" for k in keys) + b"u"
        f.write(first)
        # After the list (0) and the first dict (1) the keys are memo entries 2 to 5.
        while size < total:
            batch = bytearray()
            for i in range(1000):
                batch += b"}\x94("
                batch += b"h\x02J" + struct.pack("<i", r.getrandbits(31))
                batch += b"h\x03\x8c\x06" + b"tok%03d" % i + b"\x94"
                batch += b"h\x04G" + struct.pack(">d", r.random())
                batch += b"h\x05K" + bytes([i % 256]) + b"u"
            f.write(batch)
            f.write(b"e(")
            size += len(batch)
        f.write(b"e.")


def repeated(head, item):
    """A writer of a list of as many items as make up the size, appended by the thousand as pickle does it.
    `item(i)` gives the opcodes of item number i."""

    def write(path, total):
        size = i = 0
        with open(path, "wb") as f:
            f.write(head + b"]\x94")
            while size < total:
                batch = b"(" + b"".join(item(i + k) for k in range(1000)) + b"e"
                f.write(batch)
                size, i = size + len(batch), i + 1000
            f.write(b".")

    return write


def u4(n):
    return struct.pack("<I", n)


def mixed(i):
    """Numbers, truth values and None in no order that a processor could predict."""
    kinds = (b"K\x07", b"M\x01\x02", b"\x88", b"G" + struct.pack(">d", i), b"N", b"J" + u4(i % 1000))
    return kinds[(i * 2654435761 >> 7) % 6]


# Opcodes as pickle writes them, each kind by itself, to find the one that costs the most a byte.
DENSE = {
    # One small integer after the other: two bytes an object.
    "ints": repeated(b"\x80\x04", lambda i: b"K" + bytes([i % 256])),
    "floats": repeated(b"\x80\x04", lambda i: b"G" + struct.pack(">d", i * 0.1)),
    "mixed": repeated(b"\x80\x04", mixed),
    # Short strings, each memoized.
    "strings": repeated(b"\x80\x04", lambda i: b"\x8c\x07%07d\x94" % (i % 10_000_000)),
    # The same with protocol 2: four bytes of length, five of memo index.
    "strings-2": repeated(b"\x80\x02", lambda i: b"X" + u4(7) + b"%07d" % (i % 10_000_000) + b"r" + u4(i + 1)),
    # Nested tuples, memoized.
    "tuples": repeated(b"\x80\x04", lambda i: b"K\x01K\x02\x86\x94K\x03\x86\x94"),
    # A small dict each, memoized, with one key from the memo.
    "dicts": repeated(b"\x80\x04\x8c\x01k\x94", lambda i: b"}\x94h\x00K\x01s"),
    # Empty lists, memoized: two bytes an object with a place of its own.
    "lists": repeated(b"\x80\x04", lambda i: b"]\x94"),
    # Calls of a harmless constructor without arguments.
    "calls": repeated(b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93\x94", lambda i: b"h\x00)R\x94"),
}


def dense_kinds(folder, scale=1.0):
    """Writes what is missing of the dense pickles of one kind each, 100 MB; kind -> path."""
    os.makedirs(folder, exist_ok=True)
    paths = {}
    for kind, write in DENSE.items():
        paths[kind] = os.path.join(folder, f"dense-{kind}.pkl")
        if not os.path.exists(paths[kind]):
            write(paths[kind] + ".part", int(100_000_000 * scale))
            os.rename(paths[kind] + ".part", paths[kind])
    return paths


def write_all(folder, scale=1.0):
    """All inputs; those that exist are kept."""
    os.makedirs(folder, exist_ok=True)
    made = {
        "big.pt": lambda p: torch_zip(p, int((1 << 30) * scale)),
        "legacy.bin": lambda p: torch_legacy(p, int((256 << 20) * scale)),
        "dense.pkl": lambda p: dense(p, int(200_000_000 * scale)),
    }
    for name, make in made.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            make(path + ".part")
            os.rename(path + ".part", path)
    dense_kinds(folder, scale)
    with open(os.path.join(folder, "small.pkl"), "wb") as f:
        f.write(small_pickle(0))
    small = os.path.join(folder, "small")
    os.makedirs(small, exist_ok=True)
    for i in range(max(10, int(2000 * scale))):
        with open(os.path.join(small, f"{i:04}.pkl"), "wb") as f:
            f.write(small_pickle(i))


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("dir")
    a.add_argument("--scale", type=float, default=1.0)
    args = a.parse_args()
    write_all(args.dir, args.scale)
