//! The compiler of the data files, on data of the tests' own.

#[path = "../../build/compile.rs"]
pub(super) mod compile;
#[path = "../../build/encode.rs"]
mod encode;
#[path = "../../build/read.rs"]
mod read;

use super::tables::{CATALOGUE, Catalogue};
use super::vocabulary::{self, Args, EFFECTS, Part, Use};
use super::{VERSION, uses};
use wb_verdict::{CallClass, Effect, How};

const STDLIB: (&str, &str) = ("stdlib.txt", "os\nfoo\n");
const DERIVED: &str = "# distribution: bar-ml\n# modules: bar barlib\n# versions: 1.0 2.0\n# tool: 1\n";

fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect()
}

/// A catalogue of these files.
pub(super) fn catalogue(given: &[(&str, &str)]) -> Catalogue<'static> {
    let table = compile::compile(&files(given)).expect("compiles");
    Catalogue::over(Box::leak(table.into_boxed_slice()))
}

fn error(given: &[(&str, &str)]) -> String {
    compile::compile(&files(given)).expect_err("an error")
}

#[test]
fn an_error_names_file_line_and_cause() {
    assert_eq!(
        error(&[("dangerous.tsv", "# comment\nos\t*\tharmful\n")]),
        "src/catalogue/dangerous.tsv:2: no effect is called \"harmful\""
    );
    assert_eq!(
        error(&[("dangerous.tsv", "os\t*\tcode\nos\t*\tcode\n")]),
        "src/catalogue/dangerous.tsv:2: os.* is listed twice"
    );
    assert_eq!(
        error(&[("carries.tsv", "a\tb\n")]),
        "src/catalogue/carries.tsv:1: 3 columns separated by tabs expected"
    );
    let toml = |entry: &str| error(&[("harmless/x.toml", &format!("# head\n\n[[entry]]\n{entry}"))]);
    let base = "modules=[\"a\",\"a\"]\nnames=[\"b\"]\nuse=[\"data\"]";
    assert_eq!(toml(base), "src/catalogue/harmless/x.toml:3: a.b is listed twice");
    assert!(toml("names=1").starts_with("src/catalogue/harmless/x.toml:4: "), "{}", toml("names=1"));
    let unknown = toml("modules=[\"a\"]\nnames=[\"b\"]\nuse=[\"data\"]\nargs=\"whatever\"");
    assert!(unknown.starts_with("src/catalogue/harmless/x.toml:3: no predicate is called"), "{unknown}");
    let uses = toml("modules=[\"a\"]\nnames=[\"b\"]\nuse=[\"eat\"]");
    assert!(uses.contains("x.toml:3: no use is called \"eat\""), "{uses}");
    assert!(error(&[("other.tsv", "x")]).contains("other.tsv:1: not a data file"));
}

#[test]
fn derived_files_are_held_to_their_header_and_format() {
    let wrong = |line: &str| error(&[("derived/bar.tsv", &format!("{DERIVED}{line}\n"))]);
    assert!(wrong("bar.m\tC\tnew\tany").contains("bar.tsv:5: 5 columns"));
    assert!(wrong("else.m\tC\tnew\tany\t1.0").contains("bar.tsv:5: else.m is in no catalogued distribution"));
    assert!(wrong("bar.m\t*\tnew\tany\t1.0").contains("is no name in a module"));
    assert!(wrong("bar.m\tC\tnew\tpartial\t1.0").contains("cannot be derived"));
    assert!(wrong("bar.m\tC\tnew,fly\tany\t1.0").contains("no use is called \"fly\""));
    assert!(error(&[("derived/bar.tsv", "bar\tC\tnew\tany\t1")]).contains("bar.tsv:1: the header must say"));
    assert!(
        error(&[STDLIB, ("derived/bar.danger.tsv", "zzz\tf\tcode\tcalls eval")])
            .contains("danger.tsv:1: zzz")
    );
    let long = format!("bar\t{}\tnew\tany\t1", "x".repeat(256));
    assert!(wrong(&long).contains("longer than 255 bytes"));
}

#[test]
fn the_table_gives_back_what_the_files_say() {
    let cat = catalogue(&[
        STDLIB,
        ("dangerous.tsv", "os\t*\tprocess\nos\tfspath\tnone\n"),
        ("carries.tsv", "bar.p\tmake\tcode\n"),
        ("code-words.txt", "system\nos.system\n"),
        (
            "harmless/x.toml",
            "[[entry]]\nmodules=[\"bar.a\"]\nnames=[\"C\"]\nuse=[\"data\",\"build\"]\nargs=\"plain\"",
        ),
        (
            "derived/bar.tsv",
            &format!(
                "{DERIVED}bar.a\tC\tdata,new,build,hash\tany\t1.0\nbar.b\tD\tnew,build\tinert\t1.0,2.0\nbarlib\tnope\t-\tany\t1.0\n"
            ),
        ),
        ("derived/bar.danger.tsv", "bar.a\tC\tcode\treads\nbar.b\trun\tfile\topens\nos\tfspath\tfile\tno\n"),
    ]);
    let row = |m, n| cat.row(m, n).unwrap();
    // A reviewed entry is the whole word on its name.
    let reviewed = row("bar.a", "C").harmless.unwrap();
    assert!(!reviewed.derived && reviewed.args == Args::Plain && reviewed.versions.is_empty());
    let has = |e: super::tables::Entry<'_>| -> Vec<&str> {
        Use::ALL.iter().filter(|u| e.has(**u)).map(|u| u.name()).collect()
    };
    assert_eq!(has(reviewed), ["data", "build"]);
    let derived = row("bar.b", "D").harmless.unwrap();
    assert!(derived.derived && derived.args == Args::Inert);
    assert_eq!((has(derived), derived.versions), (vec!["new", "build"], "1.0,2.0"));
    assert_eq!(cat.row("barlib", "nope"), None);
    assert_eq!(cat.row("bar.b", ""), None);
    assert_eq!(cat.row("bar", "b"), None);
    // What is listed stays; what is exempt stays exempt.
    assert_eq!(row("os", "fspath").danger.unwrap().effect, None);
    assert_eq!(row("os", "*").danger.unwrap().effect, Some(Effect::Process));
    assert_eq!(row("bar.p", "make").part, Some(Part::Code));
    for (module, known) in [("os", true), ("os.path", true), ("bar.a", true), ("ba", false), ("barx", false)]
    {
        assert_eq!(cat.is_known(module), known, "{module}");
    }
    assert!(cat.is_word("system") && !cat.is_word("os.system") && !cat.is_word(""));
    assert_eq!(cat.fragments().collect::<Vec<_>>(), ["os.system"]);
    assert_eq!(cat.all().len(), cat.len());
}

#[test]
fn of_two_proofs_of_one_name_the_weaker_holds() {
    let other = "# distribution: bar-fork\n# modules: bar\nbar.a\tC\tnew,build\tplain\t9\n";
    let first = format!("{DERIVED}bar.a\tC\tdata,new\tany\t1.0\n");
    let cat = catalogue(&[("derived/bar.tsv", &first), ("derived/fork.tsv", other)]);
    let entry = cat.row("bar.a", "C").unwrap().harmless.unwrap();
    assert!(entry.has(Use::New) && !entry.has(Use::Data) && !entry.has(Use::Build));
    assert_eq!((entry.args, entry.versions), (Args::Plain, "1.0; 9"));
}

#[test]
fn what_is_listed_by_hand_and_what_is_derived_do_not_override_each_other() {
    let cat = catalogue(&[
        STDLIB,
        ("dangerous.tsv", "bar.sys\t*\tprocess\nbar\tload\tdeserialise\n"),
        ("harmless/x.toml", "[[entry]]\nmodules=[\"bar\"]\nnames=[\"Model\"]\nuse=[\"call\",\"data\"]"),
        (
            "derived/bar.tsv",
            &format!(
                "{DERIVED}bar.sys\tC\tdata,new,call\tany\t1\nbar\tload\tcall\tany\t1\nbar\tsafe\tcall\tany\t1\n"
            ),
        ),
        ("derived/bar.danger.tsv", "bar\tModel\tcode\tx\nbar\tsave\tfile\tx\nbar.sys\tsoft\tstate\tx\n"),
    ]);
    let class = |module, name, how| uses(&cat, module, name, how);
    let dangerous = |effect| CallClass::Dangerous { effect };
    assert_eq!(class("bar", "safe", How::Reduce), CallClass::Harmless);
    // A derived proof does not lift what is listed, by wildcard or by name.
    assert_eq!(class("bar.sys", "C", How::Newobj), dangerous(Effect::Process));
    assert_eq!(class("bar.sys", "C", How::Data), dangerous(Effect::Process));
    assert_eq!(class("bar", "load", How::Reduce), dangerous(Effect::Deserialise));
    // A derived danger does not take away what was reviewed, but tells of the uses that were not.
    assert_eq!(class("bar", "Model", How::Reduce), CallClass::Harmless);
    assert_eq!(class("bar", "Model", How::Build), CallClass::KnownUncatalogued);
    // The tool says what a call does; kept as data the name is only not proved.
    assert_eq!(class("bar", "save", How::Reduce), dangerous(Effect::File));
    assert_eq!(class("bar", "save", How::Data), CallClass::KnownUncatalogued);
    // A listed wildcard is not softened by a derived row under it.
    assert_eq!(class("bar.sys", "soft", How::Data), dangerous(Effect::Process));
    assert_eq!(class("bar.sys", "soft", How::Reduce), dangerous(Effect::Process));
    // The header makes the distribution a catalogued one.
    assert_eq!(class("barlib.x", "Y", How::Newobj), CallClass::KnownUncatalogued);
    assert_eq!(class("elsewhere", "Y", How::Newobj), CallClass::Unknown);
}

#[test]
fn tens_of_thousands_of_rows_stay_compact_and_findable() {
    let mut text = String::from(DERIVED);
    let (mut chars, mut rows) = (0, 0);
    for module in 0..600 {
        for name in 0..80 {
            let (m, n) =
                (format!("bar.sub{}.module{module}", module % 7), format!("Class{name}Of{}", module * name));
            chars += m.len() + n.len();
            rows += 1;
            text.push_str(&format!("{m}\t{n}\tdata,new,build\tany\t1.0,2.0\n"));
        }
    }
    let cat = catalogue(&[("derived/bar.tsv", &text)]);
    assert_eq!(cat.len(), rows);
    assert!(cat.size() < chars, "{} bytes for {chars} characters of names", cat.size());
    assert!(cat.row("bar.sub3.module80", "Class79Of6320").unwrap().harmless.is_some());
    assert_eq!(cat.row("bar.sub3.module80", "Class79Of6321"), None);
}

#[test]
fn the_words_of_the_data_files_are_those_of_the_facts() {
    for (code, name) in EFFECTS.iter().enumerate() {
        let cat = catalogue(&[("dangerous.tsv", &format!("a\tb\t{name}\n"))]);
        let effect = cat.row("a", "b").unwrap().danger.unwrap().effect.unwrap();
        assert_eq!(serde_json::to_value(effect).unwrap(), serde_json::json!(name), "code {code}");
    }
    assert_eq!(Use::NAMES.len(), 8, "uses are kept in one byte");
    for args in Args::ALL {
        assert_eq!(Args::named(args.name()), Some(*args));
    }
}

#[test]
fn the_table_of_this_build_is_whole() {
    let all = CATALOGUE.all();
    assert_eq!(all.len(), CATALOGUE.len());
    assert!(all.len() > 700, "{}", all.len());
    for (module, name, row) in &all {
        assert_eq!(CATALOGUE.row(module, name), Some(*row), "{module} {name}");
    }
    assert!(CATALOGUE.is_known("os") && CATALOGUE.is_known("torch") && !CATALOGUE.is_known("mine"));
    assert!(CATALOGUE.is_word("system") && CATALOGUE.fragments().any(|f| f == "os.system"));
    let (_, digest) = VERSION.split_once('-').unwrap();
    assert!(digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{VERSION}");
}
