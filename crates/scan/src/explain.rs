//! What loading would do, in order: the lines of `weighbridge explain`.

use crate::cx::{Cx, Sink};
use crate::engine::{Options, scan_blob};
use crate::rules;
use wb_blob::{Blob, Budget};
use wb_verdict::{FactKind, Finding, Gap, Location};

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Member and offset.
    pub location: Location,
    /// Escaped, bounded pseudo-Python; notes begin with `#`, opcodes of a listing with their offset.
    pub text: String,
    /// How often this line occurs in a row.
    pub count: u64,
}

/// What loading a file would do, in order.
#[derive(Debug, Clone, Default)]
pub struct Explanation {
    /// The lines.
    pub lines: Vec<Explained>,
    /// Formats recognised in the outer file.
    pub formats: Vec<&'static str>,
    /// True if lines were left out.
    pub truncated: bool,
    /// What else is found in the file than a pickle's calls: templates, code under its name, hidden content, formats
    /// that cannot be judged.
    pub besides: Vec<Finding>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
}

/// Lines gathered while a file is scanned.
pub(crate) struct Trace {
    lines: Vec<Explained>,
    max: usize,
    truncated: bool,
    /// List opcodes too.
    pub opcodes: bool,
}

impl Trace {
    pub(crate) fn is_full(&self) -> bool {
        self.truncated
    }

    pub(crate) fn line(&mut self, path: &str, offset: u64, text: impl FnOnce() -> String) {
        if self.lines.len() >= self.max {
            self.truncated = true;
            return;
        }
        let text = text();
        if let Some(last) = self.lines.last_mut()
            && last.text == text
            && last.location.path == path
        {
            last.count += 1;
            return;
        }
        self.lines.push(Explained { location: Location::new(path, Some(offset)), text, count: 1 });
    }
}

/// Works out, without running anything, what loading `blob` would do: imports and calls as pseudo-Python in
/// the order of execution, at most `max_lines`; with `opcodes` each pickle's opcodes come before them. `name` is the
/// path under which the file is loaded.
pub fn explain(blob: &Blob, name: &str, options: &Options, max_lines: usize, opcodes: bool) -> Explanation {
    let trace = Trace { lines: Vec::new(), max: max_lines, truncated: false, opcodes };
    let mut sink = Sink::tracing(trace);
    let budget = Budget::new(options.limits.clone());
    scan_blob(
        blob,
        &mut Cx {
            sink: &mut sink,
            budget,
            path: String::new(),
            depth: 0,
            in_torch: false,
            keras_judged: false,
        },
    );
    let (lines, truncated) = sink.trace.map(|t| (t.lines, t.truncated)).unwrap_or_default();
    let others = sink.facts.iter().filter(|f| !matches!(f.kind, FactKind::Call { .. }));
    let mut besides: Vec<Finding> = others.filter_map(|f| rules::judge_fact(f, name)).collect();
    let truncated = truncated || besides.len() > max_lines;
    besides.truncate(max_lines);
    Explanation { lines, formats: sink.formats, truncated, besides, gaps: sink.gaps }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], opcodes: bool) -> Vec<String> {
        let e = explain(&Blob::from_vec(bytes.to_vec()), "model.pkl", &Options::default(), 50, opcodes);
        e.lines.iter().map(|l| format!("{} {} x{}", l.location, l.text, l.count)).collect()
    }

    #[test]
    fn calls_in_order_with_what_is_nested() {
        let inner = b"\x80\x04cposix\nsystem\nX\x02\0\0\0id\x85R.";
        let mut outer = b"\x80\x04cpickle\nloads\nC".to_vec();
        outer.push(inner.len() as u8);
        outer.extend(inner);
        outer.extend(b"\x85R.");
        let got = lines(&outer, false);
        assert_eq!(got[0], "@0x2 from pickle import loads x1");
        assert!(got[1].starts_with("@0x2d pickle.loads(b'"), "{got:?}");
        assert_eq!(got[2], "bytes@0x2d@0x2 from posix import system x1");
        assert_eq!(got[3], "bytes@0x2d@0x18 posix.system('id') x1");
    }

    #[test]
    fn listing_on_demand() {
        let got = lines(b"\x80\x04K\x01K\x02\x86.", true);
        assert_eq!(got[0], "@0x0 \\x80 PROTO 4 x1");
        assert_eq!(got[4], "@0x7 . STOP x1");
    }
}
