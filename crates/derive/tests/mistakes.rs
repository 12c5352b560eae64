//! One small source for each mistake that a proof once made or could make: found when tables of real libraries were
//! read as somebody would who looks for a gadget.

use wb_derive::{Derived, Library, derive};

fn judged(source: &str) -> Derived {
    let mut library = Library::new("lib", "1.0");
    library.add("lib/__init__.py", || Some(Vec::new()));
    library.add("lib/m.py", || Some(source.as_bytes().to_vec()));
    derive(&[&library]).unwrap()
}

/// Is this use of `lib.m.NAME` proved, under whatever condition on arguments?
fn is_proved(source: &str, name: &str, used: &str) -> bool {
    let derived = judged(source);
    let row = derived.rows.get(&("lib.m".to_string(), name.to_string()));
    row.expect("the name is found").as_ref().is_some_and(|r| r.uses.contains(&used) && r.keys.is_empty())
}

/// Is a call proved of any arguments?
fn is_any(source: &str, name: &str) -> bool {
    let derived = judged(source);
    derived.rows[&("lib.m".to_string(), name.to_string())]
        .as_ref()
        .is_some_and(|r| r.any && r.uses.contains(&"call"))
}

#[test]
fn what_is_set_before_an_early_return_stays_set() {
    let early = "class C:\n    def __init__(self, f):\n        self.set(f)\n        self.f()\n    def set(self, f):\n        \
        if f is not None:\n            self.f = f\n            return\n        self.f = None\n";
    assert!(!is_any(early, "C"));
    let late = early.replace("            return\n", "");
    assert!(is_any(&late, "C"), "what is overwritten later is not there");
}

#[test]
fn what_is_set_before_an_exception_stays_set() {
    let source = "class C:\n    def __init__(self, f):\n        self.f = None\n        try:\n            if f is not None:\n                \
        self.f = f\n                raise ValueError\n            self.f = None\n        except ValueError:\n            self.f()\n";
    assert!(!is_any(source, "C"));
}

#[test]
fn what_is_set_before_a_break_stays_set() {
    for leave in ["break", "continue"] {
        let source = format!(
            "class C:\n    def __init__(self, f):\n        g = None\n        for x in 'ab':\n            if x == 'a':\n                \
             g = f\n                {leave}\n        g()\n"
        );
        assert!(!is_any(&source, "C"), "{leave}");
    }
}

#[test]
fn functions_that_are_handed_on_can_be_called() {
    // A callback is no literal.
    let through = "import os\ndef opener(p): return os.system(p)\nclass R:\n    def __init__(self, f, p): f(p)\nclass C:\n    \
        def __init__(self, p): self.r = R(opener, p)\n";
    assert!(!is_proved(through, "C", "call"));
    for call in [
        "sorted(p, key=eval)",
        "max(p, key=opener)",
        "iter(opener, p)",
        "re.sub('x', opener, p)",
        "collections.defaultdict(opener)[p]",
        "p.sort(key=opener)",
        "enumerate(opener)",
    ] {
        let source = format!(
            "import collections, os, re\ndef opener(p): return os.system(p)\nclass C:\n    def __init__(self, p):\n        {call}\n"
        );
        assert!(!is_proved(&source, "C", "call"), "{call}");
    }
    assert!(is_proved("class C:\n    def __init__(self, p): self.p = sorted(p, key=str)\n", "C", "call"));
}

#[test]
fn the_class_of_an_argument_is_the_streams() {
    for call in ["type(a)('x')", "type(a).load('x')", "self.a = type(a)()"] {
        let source = format!("class C:\n    def __init__(self, a):\n        {call}\n");
        assert!(!is_any(&source, "C"), "{call}");
    }
    assert!(is_any("class C:\n    def __init__(self, a):\n        self.a = type(a).__name__\n", "C"));
    assert!(is_any("class C:\n    def __init__(self, a):\n        self.a = type(a) is dict\n", "C"));
}

#[test]
fn what_other_code_relies_on_is_not_changed() {
    for body in [
        "global SETTING\n        SETTING = a",
        "SETTINGS['command'] = a",
        "SETTINGS.update(command=a)",
        "SETTINGS.setdefault('command', a)",
        "PATHS.append(a)",
        "del SETTINGS['command']",
        "current()['command'] = a",
        "PATHS[:] = [a]",
    ] {
        let source = format!(
            "SETTING = 'x'\nSETTINGS = {{}}\nPATHS = []\ndef current(): return SETTINGS\nclass C:\n    def __init__(self, a):\n        {body}\n"
        );
        assert!(!is_proved(&source, "C", "call"), "{body}");
    }
    assert!(is_proved("D = {}\nclass C:\n    def __init__(self, a): self.a = dict(D)\n", "C", "call"));
}

#[test]
fn a_spread_argument_may_or_may_not_be_given() {
    let source =
        "import os\ndef g(a=None, f=os.system): f('x')\nclass C:\n    def __init__(self, *a): g(*a)\n";
    assert!(!is_proved(source, "C", "call"));
}

#[test]
fn a_callback_of_a_reference_is_called() {
    let with = |call: &str| format!("import weakref\nclass C:\n    def __init__(self, f): self.r = {call}\n");
    assert!(!is_any(&with("weakref.ref(self, f)"), "C"));
    assert!(is_any(&with("weakref.ref(f)"), "C"));
}

#[test]
fn members_that_are_iterated_over_are_objects() {
    let source = "import os\nfrom enum import Enum\nclass E(Enum):\n    A = 1\n    def go(self, p): os.system(p)\nclass C:\n    \
        def __init__(self, p):\n        for e in E: e.go(p)\n";
    assert!(!is_proved(source, "C", "call"));
}

#[test]
fn enumerations_that_are_asked_for_what_is_no_member() {
    let with = |body: &str| {
        format!(
            "from enum import Enum\nclass C(str, Enum):\n    A = 'a'\n    @classmethod\n    def _missing_(cls, value):\n        {body}\n"
        )
    };
    let raises = "raise ValueError(f'{value} is not a valid {cls.__name__}, select one of {list(cls._value2member_map_.keys())}')";
    assert!(is_proved(&with(raises), "C", "call") && is_proved(&with(raises), "C", "data"));
    assert!(!is_proved(&with("return run(value)"), "C", "call"));
}

#[test]
fn functions_that_nothing_pickles_are_not_called_with_literals() {
    let source = "class C:\n    def __reduce__(self): return make, (1,)\ndef make(a): return a + 1\ndef add(a): return a + 1\n\
        def _rebuild_it(a): return a + 1\n";
    assert!(is_proved(source, "make", "call") && is_proved(source, "_rebuild_it", "call"));
    assert!(!is_proved(source, "add", "call"));
}

#[test]
fn where_names_come_from_is_told() {
    use wb_derive::Unbound;
    let mut library = Library::new("lib", "1.0");
    for (path, text) in [
        ("lib/__init__.py", "from .a import A\nfrom .a import *\nfrom other import X\n"),
        ("lib/a.py", "class A: pass\nclass B: pass\n"),
        ("lib/lazy.py", "def __getattr__(name): return 1\n"),
        ("lib/fast.py", "from ._c import *\n"),
    ] {
        library.add(path, || Some(text.as_bytes().to_vec()));
    }
    library.add("lib/_c.cpython-311-x86_64-linux-gnu.so", || None);
    let derived = derive(&[&library]).unwrap();
    let alias = |name: &str| derived.aliases.get(&("lib".to_string(), name.to_string())).cloned();
    assert_eq!(alias("A"), Some(vec![("lib.a".to_string(), "A".to_string())]));
    assert_eq!(alias("B"), Some(vec![("lib.a".to_string(), "B".to_string())]));
    assert_eq!(alias("X"), Some(Vec::new()));
    let unbound = |module: &str| derived.modules[module];
    assert_eq!(unbound("lib"), Unbound::Nothing);
    assert_eq!(unbound("lib.lazy"), Unbound::Lazy);
    assert_eq!((unbound("lib.fast"), unbound("lib._c")), (Unbound::Anything, Unbound::Anything));
}

#[test]
fn a_star_that_comes_later_binds_anew() {
    let with = |before: &str, after: &str| format!("{before}class C: pass\n{after}");
    let proved = |source: &str| is_proved(source, "C", "new");
    // `operator` and many others: written in Python, then replaced by what is written in C.
    assert!(!proved(&with("", "try:\n    from _c import *\nexcept ImportError: pass\n")));
    assert!(proved(&with("from _c import *\n", "")));
}

#[test]
fn what_ends_the_process_is_not_harmless() {
    assert!(!is_proved("class C:\n    def __init__(self): raise SystemExit\n", "C", "call"));
}

#[test]
fn names_that_stand_for_themselves_are_what_they_were() {
    let twice = "try:\n    str = str\n    a = a\nexcept NameError:\n    str = str\n    a = a\n";
    assert!(is_proved(&format!("{twice}class C(str): pass\n"), "C", "new"));
    assert!(!is_proved(&format!("{twice}class C(a): pass\n"), "C", "new"));
}
