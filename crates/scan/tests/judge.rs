//! The judgement, on hand-made fact sheets.

use wb_scan::judge;
use wb_verdict::*;

fn sheet(kinds: Vec<FactKind>) -> Facts {
    let location = |at| Location::new("", Some(at));
    Facts {
        engine: ENGINE.into(),
        catalogue: "test".into(),
        limits: "test".into(),
        depth: Depth::Whole,
        size: 10,
        formats: vec!["pickle".into()],
        facts: kinds.into_iter().zip(0..).map(|(kind, at)| Fact { location: location(at), kind }).collect(),
        gaps: Vec::new(),
        bytes_read: 10,
    }
}

fn call(callable: &str, how: How, call: CallClass) -> FactKind {
    let (module, name) = callable.rsplit_once('.').unwrap_or(("", callable));
    FactKind::Call {
        callable: callable.into(),
        module: module.into(),
        name: name.into(),
        how,
        call,
        rendering: format!("{callable}()"),
        plain_args: true,
        count: 1,
    }
}

fn process() -> FactKind {
    call("posix.system", How::Reduce, CallClass::Dangerous { effect: Effect::Process })
}

fn gap(reason: GapReason) -> Gap {
    Gap { reason, location: Location::default(), length: None, detail: String::new() }
}

#[test]
fn clean_needs_no_finding_and_no_gap() {
    let report =
        judge(&sheet(vec![call("collections.OrderedDict", How::Reduce, CallClass::Harmless)]), "m.pkl", None);
    assert_eq!((report.verdict, report.reason, report.coverage), (Verdict::Clean, None, Coverage::Complete));
    assert!(report.findings.is_empty());
}

#[test]
fn partial_is_never_clean_and_never_softens() {
    let mut facts = sheet(vec![]);
    facts.gaps.push(gap(GapReason::Encrypted));
    let report = judge(&facts, "m.pkl", None);
    assert_eq!((report.verdict, report.reason), (Verdict::Unknown, Some(UnknownReason::Partial)));
    let mut facts = sheet(vec![process()]);
    facts.gaps.push(gap(GapReason::Malformed));
    let report = judge(&facts, "m.pkl", None);
    assert_eq!(
        (report.verdict, report.reason, report.coverage),
        (Verdict::Malicious, None, Coverage::Partial)
    );
}

#[test]
fn the_worst_finding_decides_and_comes_first() {
    let report = judge(
        &sheet(vec![
            call("mine.Thing", How::Newobj, CallClass::Unknown),
            call("gzip.open", How::Reduce, CallClass::KnownUncatalogued),
            process(),
            call("cloudpickle.cloudpickle._make_cell", How::Reduce, CallClass::CarriesCode),
        ]),
        "m.pkl",
        Some("ab".into()),
    );
    assert_eq!(report.verdict, Verdict::Malicious);
    let verdicts: Vec<Verdict> = report.findings.iter().map(|f| f.verdict).collect();
    assert_eq!(verdicts, [Verdict::Malicious, Verdict::Suspicious, Verdict::Suspicious, Verdict::Unknown]);
    assert!(report.findings[0].evidence.contains("posix.system"));
    assert_eq!(report.sha256.as_deref(), Some("ab"));
}

#[test]
fn unknown_says_why_and_the_heavier_reason_wins() {
    let class = || call("mine.Thing", How::Newobj, CallClass::Unknown);
    let reason = |kinds| judge(&sheet(kinds), "m.pkl", None).reason;
    assert_eq!(reason(vec![class()]), Some(UnknownReason::UnknownClass));
    assert_eq!(reason(vec![FactKind::UnknownContent]), Some(UnknownReason::UnknownContent));
    assert_eq!(reason(vec![class(), FactKind::UnknownContent]), Some(UnknownReason::UnknownContent));
    let unsupported = FactKind::Unsupported { format: "onnx".into(), detail: String::new() };
    assert_eq!(
        reason(vec![class(), unsupported, FactKind::UnknownContent]),
        Some(UnknownReason::Unsupported)
    );
}

#[test]
fn the_name_decides_on_text_and_only_there() {
    let python = || {
        sheet(vec![FactKind::Reading { code: "text".into() }, FactKind::Reading { code: "python".into() }])
    };
    assert_eq!(judge(&python(), "notes.txt", None).verdict, Verdict::Clean);
    let report = judge(&python(), "handler.py", None);
    assert_eq!((report.verdict, report.reason), (Verdict::Unknown, Some(UnknownReason::OptInCode)));
    assert_eq!(judge(&sheet(vec![process()]), "notes.txt", None).verdict, Verdict::Malicious);
}

#[test]
fn repetition_is_counted_and_a_flood_never_hides_the_worst() {
    let mut kinds: Vec<FactKind> =
        (0..1000).map(|n| call(&format!("mine{n}.Thing"), How::Newobj, CallClass::Unknown)).collect();
    kinds.push(process());
    let report = judge(&sheet(kinds), "m.pkl", None);
    assert_eq!(report.findings.len(), 201);
    assert_eq!(report.findings[0].rule, "WB-PKL-002");
    let note = &report.findings[200];
    assert!(
        note.message.starts_with("801 further findings of the same or lesser weight are not listed"),
        "{note:?}"
    );
    assert_eq!(note.verdict, Verdict::Unknown);

    let tree = || call("mine.Tree", How::Reduce, CallClass::Unknown);
    let report = judge(&sheet(vec![tree(), tree(), tree()]), "m.pkl", None);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].message, "loading this pickle calls mine.Tree (and 2 more like it)");
}

fn loaders_of(format: &str, kinds: Vec<FactKind>) -> Vec<(String, LoaderVerdict)> {
    let mut facts = sheet(kinds);
    facts.formats = vec![format.into()];
    judge(&facts, "model", None).loaders.into_iter().collect()
}

fn refused(loader: &str) -> FactKind {
    FactKind::Refused { loader: loader.into(), detail: "posix.system".into() }
}

fn entries(wanted: &[(&str, LoaderVerdict)]) -> Vec<(String, LoaderVerdict)> {
    wanted.iter().map(|(name, v)| ((*name).to_string(), *v)).collect()
}

#[test]
fn numpy_loaders_differ_on_object_arrays() {
    assert_eq!(
        loaders_of("npy", vec![process()]),
        entries(&[
            ("numpy.load(allow_pickle=False)", LoaderVerdict::Clean),
            ("numpy.load(allow_pickle=True)", LoaderVerdict::Malicious),
        ])
    );
}

#[test]
fn torch_refuses_what_weights_do_not_need() {
    assert_eq!(
        loaders_of("pytorch-zip", vec![refused("weights-only"), process()]),
        entries(&[
            ("torch.load(weights_only=False)", LoaderVerdict::Malicious),
            ("torch.load(weights_only=True)", LoaderVerdict::Refuses),
        ])
    );
    // A clean checkpoint of a whole module: told, for the reader's sake.
    assert_eq!(loaders_of("torch-legacy", vec![refused("weights-only")]).len(), 2);
    assert_eq!(loaders_of("torch-legacy", vec![]), []);
    // What is called in a pickle that this loader does not open says nothing of the one it does.
    assert_eq!(loaders_of("pytorch-zip", vec![process()]), []);
    // Readers that disagree on the archive: nothing is certain.
    let differs = FactKind::Structure { code: "zip-duplicate-entry".into(), detail: String::new() };
    assert_eq!(loaders_of("pytorch-zip", vec![refused("weights-only"), process(), differs]), []);
}

#[test]
fn a_plain_unpickler_stops_at_a_persistent_id_after_what_is_before() {
    let id = || call("persistent_load", How::Persid, CallClass::Unresolved);
    let plain = |kinds| {
        let all = loaders_of("pickle", kinds);
        all.into_iter().find(|(name, _)| name == "pickle.load").unwrap().1
    };
    assert_eq!(plain(vec![process()]), LoaderVerdict::Malicious);
    assert_eq!(plain(vec![refused("pickle"), id(), process()]), LoaderVerdict::Refuses);
    assert_eq!(plain(vec![process(), refused("pickle"), id()]), LoaderVerdict::Malicious);
    assert_eq!(loaders_of("pickle", vec![]), []);
    let of = loaders_of("pickle", vec![process()]);
    assert!(of.contains(&("torch.load(weights_only=True)".into(), LoaderVerdict::Refuses)));
}
