//! A repository as one unit: real files, judged, and what each means for the others.

use super::*;
use std::collections::BTreeMap;
use wb_policy::{Action, Beside, Files, Known, MAX_UNIT, Neighbour, Profile, Walk, gather, hold_against};

const PLAIN: &str =
    "import torch\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x\n";
const HOSTILE: &str = "import os\nos.system('id')\n\nclass Net:\n    pass\n";
const CONFIG: &str = r#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net"}}"#;
const INDEX: &str = r#"{"metadata": {}, "weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}"#;
/// `posix.system("id")` by REDUCE.
const PICKLE: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";

/// Files of one repository, by path.
struct Unit {
    files: BTreeMap<String, Vec<u8>>,
    policy: Policy,
}

/// What is known of a file of another repository, or of one that cannot be had.
type Others<'a> = &'a dyn Fn(&wb_policy::Need) -> Option<Known>;

impl Unit {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(p, t)| (p.to_string(), t.as_bytes().to_vec())).collect();
        Self { files, policy: Policy::builtin(Profile::Default) }
    }

    fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.into(), bytes.to_vec());
        self
    }

    fn under(mut self, text: &str) -> Self {
        self.policy = policy(text);
        self
    }

    fn siblings(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn judge(&self, path: &str) -> (wb_verdict::Facts, Report) {
        let blob = wb_blob::Blob::from_vec(self.files[path].clone());
        let facts = wb_scan::scan(&blob, &wb_scan::Options::default());
        let report = wb_scan::judge(&facts, path, Some(DIGEST.into()));
        (facts, report)
    }

    fn decide(&self, path: &str, report: &Report, beside: &[Beside]) -> Decision {
        let siblings = self.siblings();
        let context =
            Context { repo: None, path, sha256: Some(DIGEST), today: today(), siblings: &siblings, beside };
        decide(&self.policy, report, &context)
    }

    fn neighbour(&self, path: &str) -> Neighbour {
        let (facts, report) = self.judge(path);
        Neighbour::of(path, &facts, &report, &self.decide(path, &report, &[]))
    }

    /// As a gate does it: everything is followed.
    fn beside(&self, path: &str, others: Others<'_>) -> Vec<Beside> {
        let siblings = self.siblings();
        let files = Files::new(&siblings);
        let mut walk = Walk::new(&self.neighbour(path), &files).with_namers();
        loop {
            let needs = walk.ask();
            if needs.is_empty() {
                return walk.end();
            }
            for need in needs {
                let known = others(&need)
                    .unwrap_or_else(|| Known::Judged(Box::new(self.neighbour(&need.place.path))));
                walk.put(&need, known);
            }
        }
    }

    fn asked_with(&self, path: &str, others: Others<'_>) -> Decision {
        let (_, mut report) = self.judge(path);
        let beside = self.beside(path, others);
        hold_against(&mut report, path, &self.siblings(), &beside);
        self.decide(path, &report, &beside)
    }

    fn asked(&self, path: &str) -> Decision {
        self.asked_with(path, &|_| None)
    }
}

/// A refusal that names the file to blame.
fn blames(decision: &Decision, file: &str) {
    assert_eq!(decision.action, Action::Block, "{decision:?}");
    assert!(decision.allowed().is_none() && decision.because_findings, "{decision:?}");
    assert!(decision.reasons[0].text.contains(file), "{:?}", decision.reasons);
}

#[test]
fn a_configuration_is_held_against_the_code_it_names() {
    let good = Unit::of(&[("config.json", CONFIG), ("net.py", PLAIN)]);
    let decision = good.asked("config.json");
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Warn, "unknown.opt-in-code"));
    assert_eq!(good.asked("net.py").action, Action::Warn);

    let bad = Unit::of(&[("config.json", CONFIG), ("net.py", HOSTILE)]);
    blames(
        &bad.asked("config.json"),
        "net.py, which it names, is refused: importing this code starts a program",
    );
    assert_eq!(bad.asked("config.json").clause, "code_in_repository");

    let other = Unit::of(&[("config.json", CONFIG), ("net.py", "def helper():\n    return 1\n")]);
    blames(&other.asked("config.json"), "holds no Net");
    let absent = Unit::of(&[("config.json", CONFIG)]);
    assert_eq!(absent.asked("config.json").clause, "unknown.opt-in-code", "nothing is there to run");
}

#[test]
fn every_name_of_one_file_counts() {
    let config = r#"{"model_type": "x", "auto_map": {"AutoConfig": "net.Net", "AutoModel": "net.Other"}}"#;
    let unit = Unit::of(&[("config.json", config), ("net.py", PLAIN)]);
    blames(&unit.asked("config.json"), "holds no Other");
}

#[test]
fn what_the_code_imports_counts_however_deep() {
    let net = "from .parts.late import f\n\nclass Net:\n    pass\n";
    let files = [("config.json", CONFIG), ("net.py", net), ("parts/late.py", "from ..deep import g\n")];
    let unit = Unit::of(&files).with("deep.py", HOSTILE.as_bytes());
    for path in ["config.json", "net.py", "parts/late.py"] {
        blames(&unit.asked(path), "deep.py");
    }
    assert!(unit.asked("config.json").reasons.iter().any(|r| r.text.contains("parts/late.py imports")));
    let good = Unit::of(&files).with("deep.py", PLAIN.as_bytes());
    for path in ["config.json", "net.py", "parts/late.py", "deep.py"] {
        assert_eq!(good.asked(path).action, Action::Warn, "{path}");
    }
}

#[test]
fn modules_that_import_each_other_come_to_an_end() {
    let unit = Unit::of(&[("a.py", "import b\n"), ("b.py", "import a\nimport b\n")]);
    assert_eq!(unit.asked("a.py").action, Action::Warn);
    assert_eq!(unit.asked("b.py").action, Action::Warn);
}

#[test]
fn code_is_held_against_the_configuration_that_names_it() {
    let config = r#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net", "AutoConfig": "os--x.Y"}}"#;
    let files = [("config.json", config), ("net.py", PLAIN), ("train.py", PLAIN)];
    let unit = Unit::of(&files).with("tok.py", b"x = 1\n");
    let nothing = |n: &wb_policy::Need| n.place.repo.is_some().then_some(Known::Missing);
    let decision = unit.asked_with("net.py", &nothing);
    blames(&decision, "config.json, which names it, is refused");
    // It says nothing of code that it does not name.
    assert_eq!(unit.asked_with("train.py", &nothing).action, Action::Warn);
    // What else the configuration names is part of the unit.
    let config = r#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net", "AutoConfig": "tok.Tok"}}"#;
    let unit = Unit::of(&[("config.json", config), ("net.py", PLAIN), ("tok.py", HOSTILE)]);
    blames(&unit.asked("net.py"), "tok.py, which config.json names, is refused");
}

#[test]
fn code_of_another_repository_is_judged_too() {
    let config = r#"{"model_type": "x", "auto_map": {"AutoModel": "org/other--net.Net"}}"#;
    let unit = Unit::of(&[("config.json", config)]).under("[rules]\n\"WB-DIR-009\" = \"warn\"");
    let other = |source: &'static str| {
        move |need: &wb_policy::Need| {
            let there = Unit::of(&[("net.py", source)]);
            (need.place.repo.as_deref() == Some("org/other") && need.place.path == "net.py")
                .then(|| Known::Judged(Box::new(there.neighbour("net.py"))))
        }
    };
    assert_eq!(unit.asked_with("config.json", &other(PLAIN)).action, Action::Warn);
    blames(
        &unit.asked_with("config.json", &other(HOSTILE)),
        "net.py of org/other, which it imports, is refused",
    );
    let lost = |_: &wb_policy::Need| Some(Known::NotJudged("upstream is down".into()));
    let decision = unit.asked_with("config.json", &lost);
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Block, "repository.partial"));
}

#[test]
fn what_cannot_be_judged_is_a_gap_and_blocks() {
    let unit = Unit::of(&[("config.json", CONFIG), ("net.py", PLAIN)]);
    let lost = |_: &wb_policy::Need| Some(Known::NotJudged("upstream is down".into()));
    let decision = unit.asked_with("config.json", &lost);
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Block, "repository.partial"));
    assert!(!decision.because_findings && decision.allowed().is_none());
    assert!(
        decision.reasons[0].text.contains("net.py, which it names, could not be judged: upstream is down")
    );
}

#[test]
fn shards_of_an_index() {
    let (one, two) = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors");
    let good = Unit::of(&[("m.safetensors.index.json", INDEX), (one, "plain"), (two, "plain")]);
    for path in ["m.safetensors.index.json", one] {
        assert!(good.asked(path).action < Action::Block, "{path}: {:?}", good.asked(path));
    }
    let bad = Unit::of(&[("m.safetensors.index.json", INDEX), (one, "plain")]).with(two, PICKLE);
    for path in ["m.safetensors.index.json", one] {
        blames(&bad.asked(path), two);
    }
    let torn = Unit::of(&[("m.safetensors.index.json", INDEX), (one, "plain")]);
    let decision = torn.asked("m.safetensors.index.json");
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Warn, "repository.missing"));
}

/// Of data only what a loader reads first is looked at, so a name in both places must not make code data.
#[test]
fn code_that_is_named_as_data_too_stays_code() {
    let config =
        r#"{"weight_map": {"x": "net.py"}, "model_type": "x", "auto_map": {"AutoModel": "net.Net"}}"#;
    let unit = Unit::of(&[("config.json", config), ("net.py", HOSTILE)]);
    let looks = |n: &wb_policy::Need| (n.link == wb_policy::Link::Takes).then_some(Known::Later(40));
    blames(&unit.asked_with("config.json", &looks), "net.py, which it names, is refused");
}

#[test]
fn data_must_be_as_long_as_it_is_read() {
    let xml = r#"<?xml version="1.0"?><net name="n" version="11"><layers><layer id="0" name="c" type="Const" version="opset1"><data element_type="f32" shape="4" offset="8" size="16"/></layer></layers></net>"#;
    let unit = |bytes: usize| Unit::of(&[("m.xml", xml)]).with("m.bin", &vec![7; bytes]);
    assert!(unit(24).asked("m.xml").action < Action::Block, "{:?}", unit(24).asked("m.xml"));
    blames(&unit(23).asked("m.xml"), "m.bin, which it takes data from, has 23 bytes, and 24 are read");
    let later = unit(23).asked_with("m.xml", &|_| Some(Known::Later(23)));
    blames(&later, "m.bin");
}

#[test]
fn an_mlmodel_is_held_against_the_code_it_puts_on_the_path() {
    let mlmodel = "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    code: code\n    python_model: m.pkl\n";
    let files = |code| [("m/MLmodel", mlmodel), ("m/code/own.py", code), ("other.py", HOSTILE)];
    let good = Unit::of(&files(PLAIN));
    assert!(good.asked("m/MLmodel").action < Action::Block, "{:?}", good.asked("m/MLmodel"));
    blames(&Unit::of(&files(HOSTILE)).asked("m/MLmodel"), "m/code/own.py");
}

#[test]
fn an_exception_speaks_for_its_own_file_only() {
    let unit = Unit::of(&[("config.json", CONFIG), ("net.py", HOSTILE)]);
    let beside = unit.beside("config.json", &|_| None);
    let (_, report) = unit.judge("config.json");
    let lifted = Unit::of(&[("config.json", CONFIG), ("net.py", HOSTILE)])
        .under(&exception(&format!("sha256 = \"{DIGEST}\"")));
    // The configuration is excepted, the code was judged without.
    blames(&lifted.decide("config.json", &report, &beside), "net.py");
    // All files of this test have one digest: here the code is excepted too.
    assert!(lifted.asked("config.json").action < Action::Block);
}

#[test]
fn a_policy_that_observes_tells_the_neighbour_too() {
    let unit = Unit::of(&[("config.json", CONFIG), ("net.py", HOSTILE)]).under("profile = \"observe\"");
    let decision = unit.asked("config.json");
    assert_eq!((decision.action, decision.would), (Action::Warn, Some(Action::Block)));
    assert!(decision.reasons[0].text.contains("net.py"));
}

#[test]
fn a_module_type_is_code_of_the_repository_if_it_lies_beside() {
    let modules = r#"[{"idx": 0, "name": "0", "path": "", "type": "net.Net"}]"#;
    let clause = |files: &[(&str, &str)]| Unit::of(files).asked("modules.json").clause;
    assert_eq!(clause(&[("modules.json", modules)]), "suspicious", "any installed package of that name");
    assert_eq!(clause(&[("modules.json", modules), ("net.py", PLAIN)]), "unknown.opt-in-code");
    assert_eq!(clause(&[("modules.json", modules), ("net.py", HOSTILE)]), "code_in_repository");
}

#[test]
fn more_files_than_are_judged_together_are_a_gap() {
    let mut all = String::from("import m0\n");
    let mut unit = Unit::of(&[]);
    for n in 0..=MAX_UNIT {
        unit = unit.with(&format!("m{n}.py"), format!("import m{}\n", n + 1).as_bytes());
        all.push_str(&format!("import m{n}\n"));
    }
    let unit = unit.with("start.py", all.as_bytes());
    let beside = unit.beside("start.py", &|_| None);
    assert!(beside.iter().any(|b| matches!(&b.known, Known::NotJudged(why) if why.contains("together"))));
    assert_eq!(unit.asked("start.py").clause, "repository.partial");
}

#[test]
fn whoever_has_all_files_needs_no_imports() {
    let unit = Unit::of(&[("config.json", CONFIG), ("net.py", HOSTILE), ("train.py", "import net\n")]);
    let kept = |path: &str| {
        let (facts, report) = unit.judge(path);
        Neighbour::kept(path, &facts, &report, &unit.decide(path, &report, &[]))
    };
    let siblings = unit.siblings();
    let files = Files::new(&siblings);
    assert!(!kept("train.py").unwrap().wants_others());
    let config = kept("config.json").unwrap();
    let beside = gather(&config, &files, |path| kept(path));
    let (_, mut report) = unit.judge("config.json");
    hold_against(&mut report, "config.json", &siblings, &beside);
    assert_eq!(report.verdict, Verdict::Suspicious);
    blames(&unit.decide("config.json", &report, &beside), "net.py");
}
