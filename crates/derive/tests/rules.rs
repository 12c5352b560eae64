//! One small source for each rule of a proof, and for each way to make a class something else than it says.

use wb_derive::{Derived, Library, derive};

fn library(files: &[(&str, &str)]) -> Library {
    let mut library = Library::new("lib", "1.0");
    for (path, text) in files {
        library.add(path, || Some(text.as_bytes().to_vec()));
    }
    library
}

fn judged(files: &[(&str, &str)]) -> Derived {
    derive(&[&library(files)]).unwrap()
}

/// The uses of `lib.m.NAME`, with `:plain` if literals are needed and `=key` for what the state must hold.
fn uses(source: &str, name: &str) -> String {
    uses_in(&judged(&[("lib/__init__.py", ""), ("lib/m.py", source)]), "lib.m", name)
}

fn uses_in(derived: &Derived, module: &str, name: &str) -> String {
    let Some(Some(row)) = derived.rows.get(&(module.to_string(), name.to_string())) else {
        return "-".into();
    };
    let mut text = row.uses.join(",");
    if !row.any {
        text.push_str(":plain");
    }
    for key in row.keys.iter().map(String::as_str).chain(row.dict.then_some("<dict>")) {
        text.push('=');
        text.push_str(key);
    }
    text
}

/// Of any plain state.
fn is_built(source: &str, name: &str) -> bool {
    !uses(source, name).contains("<dict>")
        && uses(source, name).split(['=', ':']).next().unwrap_or("").split(',').any(|u| u == "build")
}

fn is_called(source: &str, name: &str) -> bool {
    uses(source, name).split(['=', ':']).next().unwrap_or("").split(',').any(|u| u == "call")
}

#[test]
fn an_ordinary_class_is_harmless() {
    assert_eq!(
        uses("class C:\n    def __init__(self, a, b=1):\n        self.a = a\n", "C"),
        "data,call,new,build,hash"
    );
    assert_eq!(uses("class B(object): pass\nclass C(B):\n    x = 1\n", "C"), "data,call,new,build,hash");
    assert_eq!(uses("from abc import ABC\nclass C(ABC): pass\n", "C"), "data,call,new,build,hash");
    let generic = "from typing import Generic, TypeVar, Protocol\nT = TypeVar('T')\nclass P(Protocol): pass\n\
        class C(P, Generic[T]): pass\n";
    assert_eq!(uses(generic, "C"), "data,call,new,build,hash");
}

#[test]
fn a_base_that_is_not_resolved_proves_nothing() {
    for base in [
        "import other\nclass C(other.Base): pass",
        "class C(make()): pass",
        "from .gone import B\nclass C(B): pass",
    ] {
        assert_eq!(uses(base, "C"), "-", "{base}");
    }
}

#[test]
fn metaclasses() {
    assert_eq!(
        uses("class M(type):\n    def __call__(cls, *a): return run(a)\nclass C(metaclass=M): pass\n", "C"),
        "-"
    );
    assert_eq!(
        uses("class M(type):\n    def __new__(m, *a): return 1\nclass C(metaclass=M): pass\n", "C"),
        "-"
    );
    assert_ne!(uses("class M(type): pass\nclass C(metaclass=M): pass\n", "C"), "-");
    assert_ne!(uses("from abc import ABCMeta\nclass C(metaclass=ABCMeta): pass\n", "C"), "-");
}

#[test]
fn calls_of_what_the_stream_gives_are_not_proved() {
    for body in [
        "a()",
        "a.b()",
        "a + 1",
        "str(a)",
        "f'{a}'",
        "for x in a: pass",
        "a[0]",
        "len(a)",
        "[x for x in a]",
        "a == 1",
        "{a: 1}",
    ] {
        let source = format!("class C:\n    def __init__(self, a):\n        {body}\n");
        let (call, args) = (is_called(&source, "C"), uses(&source, "C"));
        // With literals all of these run the built-in types' own code.
        assert!(call && args.contains(":plain"), "{body}: {args}");
    }
    assert_eq!(
        uses(
            "class C:\n    def __init__(self, a):\n        self.a = [a, {'k': a}]\n        if a is None: return\n",
            "C"
        ),
        "data,call,new,build,hash"
    );
}

#[test]
fn effects_are_not_proved_even_with_literals() {
    for body in [
        "open(a)",
        "exec(a)",
        "import os; os.system(a)",
        "__import__(a)",
        "globals()[a]",
        "unknown(a)",
        "C.x = a",
        "import sys; sys.path = a",
    ] {
        let source = format!("class C:\n    def __init__(self, a):\n        {body}\n");
        assert!(!is_called(&source, "C"), "{body}");
    }
}

#[test]
fn states() {
    let with = |body: &str| {
        format!("import warnings\nclass C:\n    def __setstate__(self, state):\n        {body}\n")
    };
    for body in [
        "self.__dict__.update(state)",
        "self.__dict__ = state",
        "self.a = state['a']",
        "self.a = state.pop('a', None)",
        "for k, v in state.items(): setattr(self, k, v)",
        "self.a, self.b = state",
        "warnings.warn('old')",
        "state = state.copy(); self.__dict__.update(state)",
    ] {
        assert!(is_built(&with(body), "C"), "{body}: {}", uses(&with(body), "C"));
    }
    for body in ["state['f']()", "self.a = state['a'].b"] {
        // Harmless only if the state holds a literal there.
        assert!(uses(&with(body), "C").contains('='), "{body}: {}", uses(&with(body), "C"));
    }
    for body in [
        "for v in state.values(): v()",
        "self.__dict__.update(state); [x.go() for x in state.values()]",
        "eval(state)",
        "str(state)",
        "state['k'] = make()",
        "for k, v in state.items(): v.reset()",
    ] {
        assert!(!is_built(&with(body), "C"), "{body}: {}", uses(&with(body), "C"));
    }
}

#[test]
fn a_planted_attribute_is_what_a_method_call_finds() {
    let source = "class C:\n    def go(self): pass\n    def __setstate__(self, state):\n        self.__dict__.update(state)\n        self.go()\n";
    assert!(uses(source, "C").ends_with("=go"), "{}", uses(source, "C"));
}

#[test]
fn the_version_check_of_scikit_learn() {
    let source = "import warnings\n__version__ = '1.0'\nclass W(UserWarning):\n    def __init__(self, *, name, version):\n        \
        self.name = name\n        self.version = version\nclass C:\n    def __setstate__(self, state):\n        \
        if getattr(self, '__slots__', None):\n            raise TypeError('no slots')\n        \
        if type(self).__module__.startswith('sklearn.'):\n            v = state.pop('_sklearn_version', 'old')\n            \
        if v != __version__:\n                warnings.warn(W(name=self.__class__.__name__, version=v))\n        \
        try:\n            super().__setstate__(state)\n        except AttributeError:\n            self.__dict__.update(state)\n";
    assert!(uses(source, "C").ends_with("=_sklearn_version"), "{}", uses(source, "C"));
}

#[test]
fn attributes_that_run_code_when_set() {
    assert!(!is_built("class C:\n    def __setattr__(self, k, v):\n        v.go()\n", "C"));
    assert!(is_built(
        "class C:\n    def __setattr__(self, k, v):\n        object.__setattr__(self, k, v)\n",
        "C"
    ));
    assert!(!is_built(
        "class C:\n    @property\n    def p(self): return 1\n    @p.setter\n    def p(self, v): v.go()\n",
        "C"
    ));
    assert!(is_built("class C:\n    @property\n    def p(self): return run()\n", "C"));
    assert!(!is_built("class D:\n    def __set__(self, o, v): v.go()\nclass C:\n    d = D()\n", "C"));
    assert!(!is_built("class C:\n    d = make()\n", "C"));
}

/// A state that is a dict goes into `__dict__` and calls no setter.
#[test]
fn setters_that_are_not_proved_leave_states_that_are_dicts() {
    let source =
        "class C:\n    @property\n    def p(self): return 1\n    @p.setter\n    def p(self, v): v.go()\n";
    assert!(uses(source, "C").ends_with("=<dict>"), "{}", uses(source, "C"));
    let own = format!(
        "{source}    def __setstate__(self, s):\n        for k, v in s.items(): setattr(self, k, v)\n"
    );
    assert!(!uses(&own, "C").contains("build"), "{}", uses(&own, "C"));
}

#[test]
fn bases_of_python_2() {
    let with = |bases: &str| {
        format!(
            "import six\nclass A:\n    def __setstate__(self, s): pass\nclass M:\n    def __setstate__(self, s): run(s)\nclass C({bases}): pass\n"
        )
    };
    assert!(is_built(&with("six.with_metaclass(type, A)"), "C"));
    assert!(is_built(&with("six.with_metaclass(type, A, M)"), "C"));
    assert!(!is_built(&with("six.with_metaclass(type, M, A)"), "C"));
    assert_eq!(uses(&with("six.with_metaclass(make(), A)"), "C"), "-");
    assert_ne!(uses("class C(ValueError, AttributeError): pass\n", "C"), "-");
}

#[test]
fn decorators_that_are_descriptors() {
    let with = |more: &str| {
        format!(
            "class cached(property):\n    def __get__(self, o, t=None): return 1\n{more}class C:\n    @cached\n    def p(self): return 1\n"
        )
    };
    assert!(is_built(&with(""), "C"));
    assert!(!is_built(&with("    def __set__(self, o, v): v.go()\n"), "C"));
}

#[test]
fn attributes_that_run_code_when_read() {
    assert!(!is_built("class C:\n    def __getattr__(self, k):\n        return run(k)\n", "C"));
    assert!(is_built(
        "class C:\n    def __getattr__(self, k):\n        if k.startswith('__'): raise AttributeError(k)\n        return run(k)\n",
        "C"
    ));
    assert!(!is_built("class C:\n    def __getattribute__(self, k):\n        return run(k)\n", "C"));
}

#[test]
fn what_is_thrown_away_runs_too() {
    assert_eq!(uses("class C:\n    def __del__(self): self.f.close()\n", "C").split('=').nth(1), Some("f"));
    assert_eq!(uses("import os\nclass C:\n    def __del__(self): os.remove(self.p)\n", "C"), "-");
    // An argument that ends up where the destructor calls it.
    let source = "class C:\n    def __init__(self, f): self.f = f\n    def __del__(self): self.f.close()\n";
    assert!(uses(source, "C").contains(":plain"), "{}", uses(source, "C"));
}

#[test]
fn a_mixin_later_in_the_order_counts() {
    let source = "class A: pass\nclass M:\n    def __new__(cls, a): return run(a)\n    def __setstate__(self, s): run(s)\nclass C(A, M): pass\n";
    let found = uses(source, "C");
    assert!(!found.contains("new") && !found.contains("build") && !found.contains("call"), "{found}");
    let own = "class A:\n    def __setstate__(self, s): pass\nclass M:\n    def __setstate__(self, s): run(s)\nclass C(A, M): pass\n";
    assert!(is_built(own, "C"));
    assert!(!is_built(&own.replace("s): pass", "s): super().__setstate__(s)"), "C"));
}

#[test]
fn decorators_that_replace_a_class() {
    assert_eq!(uses("from other import wrap\n@wrap\nclass C: pass\n", "C"), "-");
    assert_eq!(uses("def wrap(c): return make(c)\n@wrap\nclass C: pass\n", "C"), "-");
    assert_eq!(
        uses("def wrap(c):\n    c.__setstate__ = run\n    return c\n@wrap\nclass C: pass\n", "C"),
        "-"
    );
    assert_ne!(uses("def doc(c):\n    c.__doc__ = 'd'\n    return c\n@doc\nclass C: pass\n", "C"), "-");
}

#[test]
fn decorators_that_are_instances() {
    let with = |body: &str| {
        format!(
            "class Fill:\n    def __init__(self, **k): self.k = k\n    def __call__(self, c):\n        {body}\n        return c\n@Fill(a=1)\nclass C: pass\n"
        )
    };
    assert_ne!(uses(&with("c.__doc__ = 'd'"), "C"), "-");
    assert_eq!(uses(&with("c.__setstate__ = run"), "C"), "-");
    assert_eq!(uses(&with("c = run(c)"), "C"), "-");
}

#[test]
fn every_branch_counts() {
    let source = "if x:\n    class C: pass\nelse:\n    class C:\n        def __setstate__(self, s): run(s)\n";
    assert!(!is_built(source, "C"));
    let either = "try:\n    from other import B\nexcept ImportError:\n    class B: pass\nclass C(B): pass\n";
    assert_eq!(uses(either, "C"), "-");
    assert_eq!(uses("class C: pass\nC = wrap(C)\n", "C"), "-");
    assert_eq!(uses("class C: pass\ndef f():\n    global C\n", "C"), "-");
    assert_ne!(uses("try:\n    class C: pass\nexcept E:\n    C = None\n", "C"), "-");
}

#[test]
fn what_is_assigned_from_elsewhere() {
    let of = |other: &str| {
        let files = [("lib/__init__.py", ""), ("lib/m.py", "class C: pass\n"), ("lib/o.py", other)];
        uses_in(&judged(&files), "lib.m", "C")
    };
    assert_ne!(of("from .m import C\nC.__doc__ = 'd'\n"), "-");
    assert_eq!(of("from .m import C\nC.__setstate__ = run\n"), "-");
    assert_eq!(of("from . import m\nm.C.__setattr__ = run\n"), "-");
    // Perhaps a setter.
    assert!(of("from .m import *\nC.x = property(f, g)\n").ends_with("=<dict>"));
    assert_eq!(of("from .m import C\nsetattr(C, name, run)\n"), "-");
    assert_eq!(of("from .m import C\ndef late():\n    C.__del__ = run\n"), "-");
}

#[test]
fn a_method_assigned_from_elsewhere_counts_where_it_is_called() {
    let of = |body: &str| {
        let source = format!("class C:\n    def go(self): pass\n    def __setstate__(self, s): {body}\n");
        let files =
            [("lib/__init__.py", ""), ("lib/m.py", &source), ("lib/o.py", "from .m import C\nC.go = run\n")];
        uses_in(&judged(&files), "lib.m", "C")
    };
    assert!(of("self.__dict__ = s").contains("build"));
    assert!(!of("self.go()").contains("build"));
}

#[test]
fn imports_that_do_something() {
    let of = |source: &str| uses(&format!("{source}\nclass C: pass\n"), "C");
    for source in [
        "import os\nos.system('x')",
        "import subprocess as s\ns.run(['x'])",
        "open('f', 'w')",
        "exec('x = 1')",
        "def f():\n    import shutil\n    from urllib.request import urlopen\n    urlopen('x')\nf()",
        "import sys\nsys.modules[__name__] = L()",
        "class K:\n    import os\n    x = os.popen('x')",
        "from urllib.request import urlopen\n@urlopen('x')\ndef g(): pass",
    ] {
        assert_eq!(of(source), "-", "{source}");
    }
    for source in [
        "import re, logging\nlog = logging.getLogger(__name__)\np = re.compile('x')",
        "open('f').read()",
        "if __name__ == '__main__':\n    import os\n    os.system('x')",
        "def f():\n    import os\n    os.system('x')",
        "try:\n    import fast\nexcept ImportError:\n    fast = None",
    ] {
        assert_ne!(of(source), "-", "{source}");
    }
    let files = [("lib/__init__.py", "import os\nos.system('x')\n"), ("lib/m.py", "class C: pass\n")];
    assert_eq!(uses_in(&judged(&files), "lib.m", "C"), "-");
    let files = [
        ("lib/__init__.py", ""),
        ("lib/o.py", "import os\nos.system('x')\n"),
        ("lib/m.py", "from .o import y\nclass C: pass\n"),
    ];
    assert_eq!(uses_in(&judged(&files), "lib.m", "C"), "-");
}

#[test]
fn members_and_tuples() {
    assert_eq!(uses("from enum import Enum\nclass C(Enum):\n    A = 1\n", "C"), "data,call:plain");
    assert_eq!(
        uses(
            "from enum import Enum\nclass C(Enum):\n    A = 1\n    @classmethod\n    def _missing_(cls, v): return run(v)\n",
            "C"
        ),
        "-"
    );
    assert!(is_called("from typing import NamedTuple\nclass C(NamedTuple):\n    a: int\n", "C"));
    assert!(is_called("from collections import namedtuple\nclass C(namedtuple('C', 'a b')): pass\n", "C"));
}

#[test]
fn dataclasses() {
    let with = |rest: &str| {
        format!("from dataclasses import dataclass, field\n@dataclass\nclass C:\n    a: int\n{rest}")
    };
    assert!(is_called(&with(""), "C") && is_built(&with(""), "C"));
    assert!(is_called(&with("    b: list = field(default_factory=list)\n"), "C"));
    assert!(!is_called(&with("    b: list = field(default_factory=make)\n"), "C"));
    assert!(!is_called(&with("    def __post_init__(self): run(self.a)\n"), "C"));
}

#[test]
fn containers() {
    assert!(uses("class C(list): pass\n", "C").contains("append"));
    assert!(!uses("class C(list):\n    def append(self, x): x()\n", "C").contains("append"));
    assert!(uses("class C(dict): pass\n", "C").contains("setitem"));
    assert!(!uses("class C(dict):\n    def __setitem__(self, k, v): v()\n", "C").contains("setitem"));
    assert!(!uses("class C:\n    def __eq__(self, o): return o.x == 1\n", "C").contains("hash"));
}

#[test]
fn functions() {
    assert_eq!(uses("def f(a, b=None, *c, **d): return a\n", "f"), "data,call");
    assert_eq!(uses("def _rebuild(a): return a + 1\n", "_rebuild"), "call:plain");
    assert_eq!(uses("def g(a): return eval(a)\ndef f(a): return g(a)\n", "f"), "-");
    assert_eq!(uses("@wrap\ndef f(a): return a\n", "f"), "-");
    assert_eq!(uses("def f(a): return f(a)\n", "f"), "-");
}

/// A module in C is taken as the library's own to import, and proves nothing of its names.
#[test]
fn compiled_modules() {
    let files = [
        ("lib/__init__.py", ""),
        ("lib/_c.cpython-311-x86_64-linux-gnu.so", ""),
        (
            "lib/m.py",
            "from ._c import B, f\nclass C(B): pass\nclass D:\n    def __init__(self): f()\nclass E: pass\n",
        ),
    ];
    let judged = judged(&files);
    assert_eq!(uses_in(&judged, "lib.m", "C"), "-");
    assert!(!uses_in(&judged, "lib.m", "D").contains("call"));
    assert!(uses_in(&judged, "lib.m", "E").contains("call"));
}

#[test]
fn what_does_not_parse_is_said() {
    let judged = judged(&[
        ("lib/__init__.py", ""),
        ("lib/m.py", "class C: pass\nx = = 1\n"),
        ("lib/n.py", "from . import m\nclass D: pass\n"),
    ]);
    assert_eq!(judged.failures.len(), 1);
    assert_eq!(uses_in(&judged, "lib.n", "D"), "-");
}

fn danger(source: &str, name: &str) -> String {
    let found = judged(&[("lib/__init__.py", ""), ("lib/m.py", source)]);
    let found = found.dangers.get(&("lib.m".to_string(), name.to_string()));
    found.map_or("-".into(), |r| format!("{}: {}", r.effect, r.evidence))
}

#[test]
fn what_an_argument_reaches() {
    assert_eq!(danger("def f(a): exec(a)\n", "f"), "code: f -> builtins.exec");
    let through =
        "import os\ndef g(c): os.system('ls ' + c)\ndef f(a):\n    b = a.strip()\n    return g(b)\n";
    assert_eq!(danger(through, "f"), "process: f -> g -> os.system");
    let local = "def f(a):\n    import subprocess as s\n    s.run([a], shell=True)\n";
    assert_eq!(danger(local, "f"), "process: f -> subprocess.run");
    let made =
        "import pickle, io\nclass C:\n    def __init__(self, data): self.x = pickle.load(io.BytesIO(data))\n";
    assert_eq!(danger(made, "C"), "deserialise: __init__ -> pickle.load");
}

#[test]
fn what_an_argument_does_not_reach() {
    for source in [
        "def f(a): exec('x = 1')",
        "def f(a):\n    a = 'x'\n    exec(a)",
        "def f(a): g(a)",
        "def f(a): a.exec('x')",
        "def f(a):\n    def exec(b): pass\n    exec(a)",
        "def f(a): return lambda: eval(a)",
        "def f(exec): exec('a')",
        "try:\n    from o import exec\nexcept E:\n    exec = 1\ndef f(a): exec(a)",
    ] {
        assert_eq!(danger(&format!("{source}\n"), "f"), "-", "{source}");
    }
}
