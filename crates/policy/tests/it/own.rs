//! A policy's own catalogue and its trusted packages: what they admit, and everything that they do not.

use super::*;
use wb_policy::{Action, PolicyErrors};
use wb_verdict::{CallClass, Effect, How};

const SIGNED: &str = "owner = \"o\"\nreason = \"r\"\n";

/// A finding as the rules make it of this use.
pub(super) fn finding_of(module: &str, name: &str, how: How, class: CallClass, plain_args: bool) -> Finding {
    let fact = wb_verdict::Fact {
        location: Location::new("", Some(3)),
        kind: wb_verdict::FactKind::Call {
            callable: format!("{module}.{name}"),
            module: module.into(),
            name: name.into(),
            how,
            call: class,
            rendering: format!("{module}.{name}(...)"),
            plain_args,
            count: 1,
        },
    };
    let facts = wb_verdict::Facts {
        formats: vec!["pickle".into()],
        facts: vec![fact],
        gaps: Vec::new(),
        ..wb_verdict::Facts::only_gap(
            40,
            Gap { reason: GapReason::Io, location: Location::default(), length: None, detail: String::new() },
        )
    };
    let mut report = wb_scan::judge(&facts, "model.pkl", Some(DIGEST.into()));
    assert_eq!(report.findings.len(), 1);
    report.findings.remove(0)
}

fn action(text: &str, finding: &Finding) -> Action {
    decide_on(&format!("profile = \"strict\"\n{text}"), &report(vec![finding.clone()])).action
}

fn entry(uses: &str, args: &str) -> String {
    format!(
        "[[catalogue.entries]]\nmodule = \"acme.build\"\nnames = [\"restore\"]\nuses = [{uses}]\nargs = \"{args}\"\n{SIGNED}"
    )
}

fn trust(packages: &str) -> String {
    format!("[[trusted_packages]]\npackages = [{packages}]\n{SIGNED}")
}

const CALLS: [How; 4] = [How::Reduce, How::Inst, How::Obj, How::Indirect];

#[test]
fn an_entry_admits_exactly_its_use() {
    let text = entry("\"call\"", "plain");
    for how in How::ALL {
        let found = finding_of("acme.build", "restore", how, CallClass::Unknown, true);
        let expected = if CALLS.contains(&how) { Action::Allow } else { Action::Block };
        assert_eq!(action(&text, &found), expected, "{how:?}");
        assert_eq!(action("", &found), Action::Block, "{how:?} without the entry");
    }
    let reduce = |m: &str, n: &str| finding_of(m, n, How::Reduce, CallClass::Unknown, true);
    for (module, name) in [
        ("acme.build", "restore2"),
        ("acme.build", "restore.run"),
        ("acme", "build.restore"),
        ("acme.build.restore", "restore"),
        ("acme.build", ""),
        ("", "restore"),
        ("xacme.build", "restore"),
    ] {
        assert_eq!(action(&text, &reduce(module, name)), Action::Block, "{module} {name}");
    }
}

#[test]
fn an_entry_for_plain_arguments_admits_no_others() {
    let made = finding_of("acme.build", "restore", How::Reduce, CallClass::Unknown, false);
    assert_eq!(action(&entry("\"call\"", "plain"), &made), Action::Block);
    assert_eq!(action(&entry("\"call\"", "any"), &made), Action::Allow);
    let planted = finding_of("acme.build", "restore", How::Build, CallClass::Unknown, false);
    assert_eq!(action(&entry("\"build\"", "plain"), &planted), Action::Block);
}

#[test]
fn an_entry_speaks_of_catalogued_libraries_but_never_of_what_is_worse() {
    let text = entry("\"call\", \"build\", \"data\"", "any");
    let of = |class| finding_of("acme.build", "restore", How::Reduce, class, true);
    assert_eq!(action(&text, &of(CallClass::KnownUncatalogued)), Action::Allow);
    for class in
        [CallClass::Dangerous { effect: Effect::Process }, CallClass::CarriesCode, CallClass::Unresolved]
    {
        assert_eq!(action(&text, &of(class.clone())), Action::Block, "{class:?}");
    }
    // Beside the admitted use every other finding stands.
    let other = finding_of("acme.build", "other", How::Reduce, CallClass::Unknown, true);
    let both = report(vec![of(CallClass::Unknown), other]);
    assert_eq!(decide_on(&text, &both).action, Action::Block);
    let worse = report(vec![of(CallClass::Unknown), malicious()]);
    assert_eq!(decide_on(&text, &worse).clause, "malicious");
    assert_eq!(decide_on(&text, &partial(report(vec![of(CallClass::Unknown)]))).clause, "partial");
}

#[test]
fn trust_admits_the_rebuilding_of_classes_and_no_call() {
    let text = trust("\"acme\"");
    for how in How::ALL {
        for plain in [true, false] {
            let found = finding_of("acme.models", "Net", how, CallClass::Unknown, plain);
            let rebuilt = match how {
                How::Build => plain,
                How::Data | How::Newobj | How::NewobjEx => true,
                How::Append | How::SetItem | How::AddItems | How::Hash => true,
                _ => false,
            };
            let expected = if rebuilt { Action::Allow } else { Action::Block };
            assert_eq!(action(&text, &found), expected, "{how:?} {plain}");
        }
    }
    let newobj = |m: &str, n: &str, class| finding_of(m, n, How::Newobj, class, true);
    for (module, name, allowed) in [
        ("acme", "Net", true),
        ("acme.a.b", "Net.Config", true),
        ("acmex", "Net", false),
        ("x.acme", "Net", false),
        // A walk into what the package imports.
        ("acme.models", "torch.hub.Loader", false),
        ("acme.models", "np.Thing", false),
    ] {
        let expected = if allowed { Action::Allow } else { Action::Block };
        assert_eq!(action(&text, &newobj(module, name, CallClass::Unknown)), expected, "{module} {name}");
    }
    for class in [
        CallClass::KnownUncatalogued,
        CallClass::Dangerous { effect: Effect::Code },
        CallClass::CarriesCode,
        CallClass::Unresolved,
    ] {
        assert_eq!(action(&text, &newobj("acme", "Net", class.clone())), Action::Block, "{class:?}");
    }
}

fn errors(text: &str) -> PolicyErrors {
    Policy::parse(text, "policy.toml").expect_err("the policy is wrong")
}

fn only(text: &str) -> (usize, String, String) {
    let found = errors(text);
    let [e] = found.errors.as_slice() else { panic!("expected one error:\n{found}") };
    (e.line, e.key.clone(), e.message.clone())
}

fn of_name(module: &str, name: &str) -> String {
    format!(
        "[[catalogue.entries]]\nmodule = \"{module}\"\nnames = [\n\"{name}\"]\nuses = [\"call\"]\n{SIGNED}"
    )
}

#[test]
fn nothing_dangerous_can_be_listed() {
    for (module, name) in [
        ("os", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("pathlib", "os.system"),
        ("acme.tools", "os"),
        ("acme.tools", "Net.__globals__"),
        ("torch.hub", "load"),
    ] {
        let (line, key, message) = only(&of_name(module, name));
        assert_eq!((line, key.as_str()), (4, "catalogue.entries.names"), "{module}.{name}");
        assert!(message.contains("known to be dangerous"), "{message}");
    }
    assert!(only(&of_name("cloudpickle.cloudpickle", "_make_function")).2.contains("rebuilds code"));
    assert!(only(&of_name("functools", "partial")).2.contains("judged by its arguments already"));
    policy(&of_name("ipaddress", "IPv4Address"));
    policy(&of_name("acme", "restore"));
}

#[test]
fn entries_are_exact_and_signed() {
    assert!(only(&of_name("acme.*", "f")).2.contains("dotted Python name"));
    assert!(only(&of_name("acme", "*")).2.contains("dotted Python name"));
    let with = |line: &str| {
        only(&format!("[[catalogue.entries]]\nmodule = \"a\"\nnames = [\"f\"]\n{line}\n{SIGNED}"))
    };
    assert_eq!(with("uses = [\"call\", \"fly\"]").0, 4);
    assert!(with("uses = [\"call\", \"fly\"]").2.contains("\"fly\" is no use"));
    assert!(with("uses = []").2.contains("names nothing"));
    assert!(with("uses = [\"call\"]\nargs = \"inert\"").2.contains("none of plain, any"));
    assert!(with("uses = [\"call\"]\nexpires = 2027-01-01").2.contains("unknown key"));
    assert_eq!(with("").1, "catalogue.entries.uses");
    let unsigned = "[[catalogue.entries]]\nmodule = \"a\"\nnames = [\"f\"]\nuses = [\"new\"]\nowner = \"\"\nreason = \"\"";
    let found = errors(unsigned);
    let keys: Vec<_> = found.errors.iter().map(|e| (e.line, e.key.as_str())).collect();
    assert_eq!(keys, [(5, "catalogue.entries.owner"), (6, "catalogue.entries.reason")]);
    assert!(found.errors[0].message.contains("someone answers for it"), "{found}");
    assert!(only("[catalogue]\nentrys = 1").2.contains("did you mean \"entries\""));
    assert!(only("catalogue = 1").2.contains("expected a table"));
}

#[test]
fn only_uncatalogued_packages_can_be_trusted() {
    for known in ["os", "xml.etree", "torch", "numpy.random"] {
        let (line, key, message) = only(&trust(&format!("\"acme\", \"{known}\"")));
        assert_eq!((line, key.as_str()), (2, "trusted_packages.packages"));
        assert!(message.starts_with(&format!("{known} belongs to the standard library")), "{message}");
    }
    for wrong in ["a b", "1a", "a..b", "a.*", "os;x"] {
        assert!(only(&trust(&format!("\"{wrong}\""))).2.contains("dotted Python name"), "{wrong}");
    }
    assert!(only(&trust("\"\"")).2.contains("not empty"));
    assert!(only("trusted_packages = [\"acme\"]").2.contains("expected a table"));
    assert_eq!(errors("[[trusted_packages]]\npackages = [\"acme\"]").errors.len(), 2);
}
