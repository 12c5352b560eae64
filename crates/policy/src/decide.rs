//! Report and context to decision.
use crate::context::Context;
use crate::decision::{Action, Decision};
use crate::policy::Policy;
use wb_verdict::Report;
/// Decides about one file. Pure and total.
pub fn decide(policy: &Policy, _report: &Report, _context: &Context<'_>) -> Decision {
    Decision {
        action: Action::Block,
        because_findings: false,
        clause: "unfinished".into(),
        reasons: vec![],
        would: None,
        exceptions: vec![],
        policy: policy.name().into(),
        contact: None,
        permission: None,
    }
}
