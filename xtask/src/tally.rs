//! Counting: what libtest prints, and the rows of the scripts under `tests/`.

use std::ops::AddAssign;

/// Passed, failed and skipped checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Passed checks.
    pub passed: u64,
    /// Failed checks.
    pub failed: u64,
    /// Checks that could not be made here.
    pub skipped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, o: Self) {
        self.passed += o.passed;
        self.failed += o.failed;
        self.skipped += o.skipped;
    }
}

impl Tally {
    /// One check.
    pub fn one(ok: bool) -> Self {
        Self { passed: u64::from(ok), failed: u64::from(!ok), skipped: 0 }
    }

    /// The closing line.
    pub fn line(self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }

    /// Counts of `cargo test`: all its `test result:` lines. A program that ends badly without having said so, a
    /// build that breaks or a test binary that dies, is one more failure.
    pub fn libtest(text: &str, ok: bool) -> Self {
        let mut t = Self::default();
        for line in text.lines() {
            let Some((_, counts)) = line.split_once("test result: ") else { continue };
            for part in counts.split([';', '.']) {
                let mut words = part.split_whitespace();
                let (Some(n), Some(what)) = (words.next().and_then(|n| n.parse::<u64>().ok()), words.next())
                else {
                    continue;
                };
                match what {
                    "passed" => t.passed += n,
                    "failed" => t.failed += n,
                    "ignored" => t.skipped += n,
                    _ => {}
                }
            }
        }
        t.at_least_one_failure(ok)
    }

    /// Rows that begin with `ok`, `FAIL` or `skip`.
    pub fn rows(text: &str, ok: bool) -> Self {
        let mut t = Self::default();
        for line in text.lines() {
            match line.split_whitespace().next() {
                Some("ok") => t.passed += 1,
                Some("FAIL") => t.failed += 1,
                Some("skip") => t.skipped += 1,
                _ => {}
            }
        }
        t.at_least_one_failure(ok)
    }

    fn at_least_one_failure(mut self, ok: bool) -> Self {
        if !ok && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_all_result_lines() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.01s\n\
                    test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.5s\n";
        assert_eq!(Tally::libtest(text, false), Tally { passed: 5, failed: 1, skipped: 1 });
    }

    #[test]
    fn a_silent_death_is_a_failure() {
        let text = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\nerror: could not compile";
        assert_eq!(Tally::libtest(text, false), Tally { passed: 2, failed: 1, skipped: 0 });
        assert_eq!(Tally::rows("", false).failed, 1);
    }

    #[test]
    fn counts_rows() {
        let text = "ok   2.4.0 dir: a\nFAIL 2.4.0 hub: b: why\nskip git: not installed\nclients: 1 passed, 1 failed\n";
        assert_eq!(Tally::rows(text, false), Tally { passed: 1, failed: 1, skipped: 1 });
    }

    #[test]
    fn closing_line() {
        assert_eq!(Tally { passed: 3, failed: 0, skipped: 0 }.line(), "3 passed, 0 failed");
        assert_eq!(Tally { passed: 3, failed: 1, skipped: 2 }.line(), "3 passed, 1 failed, 2 skipped");
    }
}
