//! `catalogue propose`: entries for a policy from the sources of a wheel.

use super::*;
use std::io::Write;

/// A wheel with these files.
fn wheel(dir: &Path, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let path = dir.join(name);
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    path
}

const MODELS: &str = "
import os

class Scaler:
    def __init__(self, mean, scale=1.0):
        self.mean = mean
        self.scale = scale

class Cache:
    def __setstate__(self, state):
        os.system(state['command'])

class Net(acme_base.Base):
    pass
";

fn propose(wheel: &Path, more: &[&OsStr]) -> Output {
    let args = ["catalogue", "propose", "--from-wheel"].map(OsStr::new);
    weighbridge(args.into_iter().chain([wheel.as_os_str()]).chain(more.iter().copied()))
}

#[test]
fn what_the_source_proves_is_proposed_and_holds_only_when_signed() {
    let dir =
        folder(&[("m.pkl", b"\x80\x04\x8c\x0bmypkg.model\x8c\x06Scaler\x93)\x81}\x8c\x04meanK\x01sb.")]);
    let source = format!("from acme import base as acme_base\n{MODELS}");
    let files =
        [("mypkg/__init__.py", ""), ("mypkg/model.py", &source), ("re.py", "def match(a, b): pass\n")];
    let wheel = wheel(dir.path(), "mypkg-1.2-py3-none-any.whl", &files);
    let out = propose(&wheel, &[]);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let proposal = text(&out.stdout);
    assert!(
        proposal.contains("names = [\"Scaler\"]\nuses = [\"data\", \"call\", \"new\", \"build\""),
        "{proposal}"
    );
    assert!(proposal.contains("# source: mypkg 1.2, mypkg/model.py"), "{proposal}");
    // What runs a command when its state is set is not proposed for that, and the reason is said.
    let cache: toml::Value = toml::from_str(&proposal).unwrap();
    let entries = cache["catalogue"]["entries"].as_array().unwrap();
    let of = |name: &str| {
        entries.iter().find(|e| e["names"].as_array().unwrap().iter().any(|n| n.as_str() == Some(name)))
    };
    let uses = of("Cache").unwrap()["uses"].as_array().unwrap();
    assert!(uses.iter().all(|u| u.as_str() != Some("build")), "{uses:?}");
    assert!(proposal.contains("mypkg.model.Cache, build: __setstate__: calls os.system"), "{proposal}");
    assert!(of("Net").is_none() && proposal.contains("acme.base.Base is not resolved"), "{proposal}");
    // A module that is called as one of the standard library's is none of the package's.
    assert!(proposal.contains("the built-in catalogue knows them: re\n"), "{proposal}");

    // As it is, it is no policy.
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, &proposal).unwrap();
    let check = |policy: &Path| weighbridge(["policy".as_ref(), "check".as_ref(), policy.as_os_str()]);
    let unsigned = check(&policy);
    assert_eq!(code(&unsigned), 4);
    assert!(
        text(&unsigned.stderr).contains("a proposal holds only once someone"),
        "{}",
        text(&unsigned.stderr)
    );

    // Signed, it admits the model that warned before.
    let signed =
        proposal.replace("owner = \"\"", "owner = \"jane\"").replace("reason = \"\"", "reason = \"read\"");
    std::fs::write(&policy, signed).unwrap();
    assert_eq!(code(&check(&policy)), 0, "{}", text(&check(&policy).stderr));
    let model = dir.path().join("m.pkl");
    let before = scan_json(&model, &[]).1;
    assert_eq!(before["files"][0]["decision"], "warn", "{before}");
    let after = scan_json(&model, &["--policy", policy.to_str().unwrap()]).1;
    assert_eq!(after["files"][0]["decision"], "allow", "{after}");
}

#[test]
fn classes_are_followed_into_a_wheel_they_are_built_on() {
    let dir = folder(&[]);
    let base = wheel(dir.path(), "acme-3.0-py3-none-any.whl", &[("acme/__init__.py", "class Base: pass\n")]);
    let files = [("mypkg/__init__.py", "import acme\nclass Net(acme.Base): pass\n")];
    let wheel = wheel(dir.path(), "mypkg-1.2-py3-none-any.whl", &files);
    let alone = text(&propose(&wheel, &[]).stdout);
    assert!(alone.contains("# Nothing is proved.") && alone.contains("acme.Base is not resolved"), "{alone}");
    let file = dir.path().join("proposal.toml");
    let more = [OsStr::new("--built-on"), base.as_os_str(), OsStr::new("--output"), file.as_os_str()];
    let out = propose(&wheel, &more);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("names = [\"Net\"]") && written.contains("# built on acme 3.0"), "{written}");
    // A file that is there is not written over.
    assert_eq!(code(&propose(&wheel, &more)), 4);
}

#[test]
fn what_is_no_wheel_is_an_error() {
    let dir = folder(&[("a-1-py3-none-any.whl", b"no zip"), ("b.whl", b"")]);
    for (name, says) in
        [("a-1-py3-none-any.whl", "no zip archive"), ("b.whl", "a wheel is called"), ("c", "c: ")]
    {
        let out = propose(&dir.path().join(name), &[]);
        assert_eq!(code(&out), 4);
        assert!(text(&out.stderr).contains(says), "{}", text(&out.stderr));
    }
}
