"""What CPython's unpicklers would import and call, written down and not done.

Two unpicklers of the interpreter that runs this are subclassed: the C one (`_pickle.Unpickler`) and the Python one
(`pickle._Unpickler`). Their `find_class` and `persistent_load` import nothing: they hand out numbered stand-ins,
classes of a recording metaclass, whose every method that an unpickler can reach writes an event and hands out the
next stand-in. So a stream can only ever reach built-in containers and stand-ins. Should anything real be imported,
opened or started all the same, an audit hook ends the process with status 77.

Standard input: batches, `u32 count`, then per stream `u8 profile`, `u8 readers`, `u32 length`, bytes (little endian).
Standard output: per batch `u32 length`, text. Streams are separated by 0x1e, readers by 0x1d, events by newlines,
fields by 0x1f. The first line of a reader is its letter and outcome (`S` for STOP, else the exception's type).

Readers, as bits: 1 `c` the C unpickler on a file that can peek (as open files and bytes are read); 2 `f` the C
unpickler on a file that cannot; 4 `p` the Python unpickler, each of whose events begins with the opcode under way.
Profiles: what stand-ins can do (0 everything; 1 no `__setstate__`; 2 no `extend`, but `__getinitargs__`), together
with the encoding of Python 2 strings.
"""

import builtins
import copyreg
import gc
import io
import os
import pickle
import resource
import signal
import struct
import sys
import types
import warnings
import _compat_pickle
import _pickle

SEP = "\x1f"
MAX_PICKLES = 4
# Extension codes that are registered, see `extension` in the generator.
EXTENSIONS = (1, 2, 3, 7, 200, 255, 256, 300, 65535, 65536, 1 << 30)

EVENTS = []
COUNT = 0
POOL = []
OP = ""


def say(*fields):
    EVENTS.append(OP + SEP.join(fields))


def take():
    """The next stand-in of this stream."""
    global COUNT
    at = COUNT
    COUNT = at + 1
    if at >= len(POOL):
        meta, base = KINDS[PROFILE]
        for n in range(len(POOL), len(POOL) + 64):
            POOL.append(type.__new__(meta, "o", (base,), {"n": n}))
    return POOL[at]


def text(s):
    return s.encode("utf-8", "surrogatepass").hex()


ROOM = 0


def show(v, depth=7):
    """A value, bounded: `?` stands for what is left out."""
    global ROOM
    ROOM -= 1
    if ROOM < 0:
        return "?"
    t = type(v)
    if t is str:
        return "S" + text(v) if len(v) <= 200 else "?"
    if t is int:
        return "I%d" % v if -(1 << 62) < v < (1 << 62) else "?"
    if t in METAS:
        return "#%d" % v.n
    if v is None:
        return "N"
    if t is bool:
        return "B1" if v else "B0"
    if t is bytes:
        return "Y" + v.hex() if len(v) <= 200 else "?"
    if t is bytearray:
        return "A" + v.hex() if len(v) <= 200 else "?"
    if t is float:
        return "F%016x" % struct.unpack("<Q", struct.pack("<d", v))[0]
    if depth == 0:
        return "?"
    if t is dict:
        if len(v) > 40:
            return "?"
        return "D(" + ",".join([show(k, depth - 1) + "," + show(x, depth - 1) for k, x in v.items()]) + ")"
    letter = LETTERS.get(t)
    if letter is None or len(v) > 40:
        return "?"
    items = [show(x, depth - 1) for x in v]
    if letter in "XZ":
        # The order of a set can depend on addresses.
        items.sort()
    return letter + "(" + ",".join(items) + ")"


LETTERS = {tuple: "T", list: "L", set: "X", frozenset: "Z"}


def shown(v):
    global ROOM
    # Most calls have no arguments, or none with names. Stand-ins are not asked whether they are true.
    if type(v) is tuple and not v:
        return "T()"
    if type(v) is dict and not v:
        return "D()"
    ROOM = 400
    return show(v)


# The object and the state of the BUILD under way in the Python reader.
BUILDING = []


def asked(n, method):
    say("m", str(n), method, *map(shown, BUILDING))


class Dict:
    """The `__dict__` of a stand-in."""

    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def __setitem__(self, key, value):
        say("D", str(self.n), shown(key), shown(value))


class Bare(type):
    """Stand-ins that have no `__setstate__`: BUILD sets attributes of theirs."""

    def __call__(cls, *args, **kwargs):
        say("C", str(cls.n), shown(args), shown(kwargs))
        return take()

    def append(cls, item):
        say("A", str(cls.n), shown(item))

    def extend(cls, items):
        say("E", str(cls.n), shown(list(items)))

    def add(cls, item):
        say("J", str(cls.n), shown(item))

    # One hash for all, so that two of them in one set or dict are compared.
    def __hash__(cls):
        say("H", str(cls.n))
        return 7

    def __eq__(cls, other):
        say("Q", str(cls.n))
        return cls is other

    def __setitem__(cls, key, value):
        say("M", str(cls.n), shown(key), shown(value))

    def __setattr__(cls, key, value):
        say("R", str(cls.n), shown(key), shown(value))

    @property
    def __dict__(cls):
        return Dict(cls.n)

    def __buffer__(cls, flags):
        say("U", str(cls.n))
        raise BufferError

    # What the readers call on values by the way.
    def __iter__(cls):
        asked(cls.n, "__iter__")
        return iter(())

    def __bool__(cls):
        asked(cls.n, "__bool__")
        return True

    def items(cls):
        asked(cls.n, "items")
        return ()

    def keys(cls):
        asked(cls.n, "keys")
        return ()


class Full(Bare):
    def __setstate__(cls, state):
        say("B", str(cls.n), shown(state))


class Old(Full):
    extend = property()
    __getinitargs__ = None


def made(cls, *args, **kwargs):
    say("W", str(cls.n), shown(args), shown(kwargs))
    return take()


METAS = frozenset((Bare, Full, Old))
KINDS = []
for _meta in (Full, Bare, Old):
    KINDS.append((_meta, type.__new__(_meta, "o", (), {"n": -1, "__new__": staticmethod(made)})))
POOLS = ([], [], [])
ENCODINGS = ("ASCII", "latin1", "UTF-8")
PROFILE = 0


def mapped(module, name):
    found = NAMES.get((module, name))
    if found is not None:
        return found
    return MODULES.get(module, module), name


def imported(module, name):
    if not module:
        # As `__import__("")` does.
        raise ValueError("Empty module name")
    say("I", text(module), text(name))
    return take()


# The tables are copied, so that the probe of `CReader` can have an entry of its own.
NAMES = dict(_compat_pickle.NAME_MAPPING)
MODULES = dict(_compat_pickle.IMPORT_MAPPING)
PROBE = {}
for _name in ("wb_probe_2", "wb_probe_3"):
    PROBE[_name] = sys.modules[_name] = types.ModuleType(_name)
PROBE["wb_probe_2"].old = False
PROBE["wb_probe_3"].old = True
_compat_pickle.IMPORT_MAPPING["wb_probe_2"] = "wb_probe_3"
REAL_FIND_CLASS = _pickle.Unpickler.find_class


class CReader(_pickle.Unpickler):
    def find_class(self, module, name):
        # The C unpickler keeps its protocol to itself; whether it maps names is asked of its own `find_class`.
        old = mapped(module, name)
        if old != (module, name) and REAL_FIND_CLASS(self, "wb_probe_2", "old"):
            module, name = old
        return imported(module, name)

    def persistent_load(self, pid):
        say("P", shown(pid))
        return take()


class Dispatch(dict):
    def __getitem__(self, code):
        global OP
        OP = "%02x" % code
        return dict.__getitem__(self, code)


class PythonReader(pickle._Unpickler):
    dispatch = Dispatch(pickle._Unpickler.dispatch)

    def build(self):
        global BUILDING
        BUILDING = self.stack[-2:]
        try:
            self.load_build()
        finally:
            BUILDING = []

    dispatch[ord("b")] = build

    def find_class(self, module, name):
        if self.proto < 3 and self.fix_imports:
            module, name = mapped(module, name)
        return imported(module, name)

    def persistent_load(self, pid):
        say("P", shown(pid))
        return take()


class Peeking(io.BytesIO):
    def peek(self, size=0):
        return self.getvalue()[self.tell():]


def read(letter, reader, file, length):
    """Loads pickles until the end or an error; events and outcome."""
    global EVENTS, COUNT, OP
    EVENTS = []
    COUNT = 0
    OP = ""
    outcome = "S"
    encoding = ENCODINGS[PROFILE]
    for _ in range(MAX_PICKLES):
        copyreg._extension_cache.clear()
        try:
            reader(file, encoding=encoding, buffers=[bytearray(b"wb"), b"wb"]).load()
        except Exception as e:
            outcome = type(e).__name__
            break
        OP = ""
        at = file.tell()
        say("Z", str(at))
        if at >= length:
            break
    EVENTS.insert(0, letter + outcome)
    return "\n".join(EVENTS)


def record(stream, profile, readers):
    global PROFILE, POOL
    PROFILE = profile % len(KINDS)
    POOL = POOLS[PROFILE]
    out = []
    if readers & 1:
        out.append(read("c", CReader, Peeking(stream), len(stream)))
    if readers & 2:
        out.append(read("f", CReader, io.BytesIO(stream), len(stream)))
    if readers & 4:
        out.append(read("p", PythonReader, io.BytesIO(stream), len(stream)))
    return "\x1d".join(out)


def refuse(what):
    os.write(2, ("recorder: something real was reached: %s\n" % what).encode("ascii", "replace"))
    os._exit(77)


def guarded_import(name, *args, **kwargs):
    found = PROBE.get(name)
    if found is None:
        refuse("import of " + name)
    return found


def guard(event, args):
    if event.startswith(FORBIDDEN):
        refuse(event)


FORBIDDEN = (
    "import", "exec", "compile", "open", "os.", "subprocess", "socket", "ctypes", "shutil", "marshal",
    "tempfile", "code.", "builtins.", "cpython.", "signal.", "function.", "sys.set", "sys._",
)


def main():
    for code in EXTENSIONS:
        copyreg.add_extension("wbext", "e%d" % code, code)
    memory = 1 << 30
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A batch that burns this many seconds of processor time ends the process; the parent finds the stream.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit = float(sys.argv[1])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # What is needed later is loaded before the doors close.
    for encoding in (*ENCODINGS, "raw-unicode-escape"):
        b"a".decode(encoding)
    pickle.loads(pickle.dumps(1, 0))
    sys.set_int_max_str_digits(4300) if hasattr(sys, "set_int_max_str_digits") else None
    # CPython itself warns of odd escapes in strings, and imports this to do so.
    warnings.simplefilter("ignore")
    PROBE["warnings"] = warnings
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    gc.disable()
    # The C unpickler complains there about buffers that a broken stream leaves behind.
    sys.stderr = None
    setitimer, ITIMER = signal.setitimer, signal.ITIMER_PROF
    builtins.__import__ = guarded_import
    sys.addaudithook(guard)
    batches = 0
    while True:
        head = source.read(4)
        if len(head) < 4:
            return
        (count,) = struct.unpack("<I", head)
        setitimer(ITIMER, limit)
        out = []
        for _ in range(count):
            profile, readers, length = struct.unpack("<BBI", source.read(6))
            out.append(record(source.read(length), profile, readers))
        setitimer(ITIMER, 0)
        answer = "\x1e".join(out).encode("ascii", "backslashreplace")
        sink.write(struct.pack("<I", len(answer)) + answer)
        sink.flush()
        batches += 1
        if batches % 16 == 0:
            gc.collect()


if __name__ == "__main__":
    main()
