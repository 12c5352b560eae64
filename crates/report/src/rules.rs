//! Rules and their pages.

use serde_json::{Value, json};
use wb_verdict::Rule;

/// All rules, one line each: id, family, verdict, title.
pub fn rules_table(rules: &[&Rule]) -> String {
    let mut out = String::new();
    for rule in rules {
        out.push_str(&format!("{:<12} {:<13} {:<11} {}\n", rule.id, rule.family, rule.verdict, rule.title));
    }
    out
}

/// The page of one rule.
pub fn rule_page(rule: &Rule) -> String {
    let mut out = format!("{}  {}\n\n", rule.id, rule.title);
    let mut line = |label: &str, text: &str| {
        out.push_str(&wrap(label, text));
    };
    line("family", rule.family.name());
    line("verdict", rule.verdict.name());
    line("severity", &format!("{}, confidence {}", rule.severity, rule.confidence));
    line("what", rule.what);
    line("why", rule.why);
    line("do", rule.fix);
    if let Some(pait) = rule.pait {
        line("pait", pait);
    }
    if let Some(cwe) = rule.cwe {
        line("cwe", &format!("CWE-{cwe}"));
    }
    if let Some(atlas) = rule.atlas {
        line("atlas", atlas);
    }
    for reference in rule.references {
        line("see", reference);
    }
    out
}

/// One rule as JSON.
pub fn rule_json(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "title": rule.title,
        "family": rule.family.name(),
        "severity": rule.severity.name(),
        "confidence": rule.confidence.name(),
        "verdict": rule.verdict.name(),
        "what": rule.what,
        "why": rule.why,
        "fix": rule.fix,
        "pait": rule.pait,
        "cwe": rule.cwe,
        "atlas": rule.atlas,
        "references": rule.references,
    })
}

/// All rules as JSON, with the version of the ruleset.
pub fn rules_json(rules: &[&Rule]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|r| rule_json(r)).collect();
    json!({ "schema": crate::SCHEMA, "ruleset": wb_scan::RULESET, "rules": rules })
}

/// `label` and `text`, the text wrapped at 100 columns under itself.
pub(crate) fn wrap(label: &str, text: &str) -> String {
    const WIDTH: usize = 88;
    const INDENT: usize = 12;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.into());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let mut out = format!("  {label:<w$}", w = INDENT - 2);
    out.push_str(&lines.join(&format!("\n{}", " ".repeat(INDENT))));
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_text_stays_under_itself() {
        let text = "word ".repeat(30);
        let out = wrap("why", &text);
        assert!(out.starts_with("  why       word"));
        assert!(out.lines().skip(1).all(|l| l.starts_with("            word")));
        assert!(out.lines().count() == 2);
    }

    #[test]
    fn every_rule_has_a_page_with_its_advice() {
        for rule in wb_scan::rules::RULES {
            let page = rule_page(rule);
            assert!(page.starts_with(rule.id) && page.contains("\n  do "), "{page}");
        }
    }
}
