//! Prometheus metrics.

use jiff::ToSpan;
use jiff::civil::Date;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use wb_policy::Exception;
use wb_sandbox::WorkerEnd;

/// Days before its end from which an exception counts as ending.
const SOON: i64 = 30;

/// Label of [`Metrics::decisions`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabel {
    /// `allow`, `warn`, `block`.
    pub action: &'static str,
    /// `clean`, `unknown`, `suspicious`, `malicious`.
    pub verdict: &'static str,
}

/// A label with one fixed set of values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// Which.
    pub kind: &'static str,
}

/// All metrics of a gate.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Requests by kind of route.
    pub requests: Family<KindLabel, Counter>,
    /// Decisions on files asked for.
    pub decisions: Family<DecisionLabel, Counter>,
    /// Exceptions that changed a decision.
    pub exceptions: Counter,
    /// Exceptions in the policy, by state; set from the policy when asked for.
    pub policy_exceptions: Family<KindLabel, Gauge>,
    /// Bytes of file content sent to clients.
    pub delivered: Counter,
    /// Bytes fetched from the upstream.
    pub fetched: Counter,
    /// Failed requests by cause.
    pub failures: Family<KindLabel, Counter>,
    /// Fact sheets found (`hit`) or made (`miss`).
    pub facts: Family<KindLabel, Counter>,
    /// Files being fetched or judged now.
    pub jobs: Gauge,
    /// Scan workers that ended, by reason; set from the pool when asked for.
    pub worker_ends: Family<KindLabel, Counter>,
    /// Requests sent away to come back (`hop`, `retry`).
    pub waits: Family<KindLabel, Counter>,
    /// Seconds from the start of a fetch to its verdict.
    pub judge_seconds: Histogram,
    /// Seconds a decision took to be committed to the audit.
    pub commit_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("weighbridge");
        let requests = Family::<KindLabel, Counter>::default();
        registry.register("requests", "requests by kind of route", requests.clone());
        let decisions = Family::<DecisionLabel, Counter>::default();
        registry.register("decisions", "decisions on files asked for", decisions.clone());
        let exceptions = Counter::default();
        registry.register("exceptions_applied", "exceptions that changed a decision", exceptions.clone());
        let policy_exceptions = Family::<KindLabel, Gauge>::default();
        registry.register(
            "policy_exceptions",
            "exceptions in the policy, by state",
            policy_exceptions.clone(),
        );
        let delivered = Counter::default();
        registry.register_with_unit(
            "delivered",
            "file content sent to clients",
            Unit::Bytes,
            delivered.clone(),
        );
        let fetched = Counter::default();
        registry.register_with_unit(
            "fetched",
            "content fetched from the upstream",
            Unit::Bytes,
            fetched.clone(),
        );
        let failures = Family::<KindLabel, Counter>::default();
        registry.register("failures", "failed requests by cause", failures.clone());
        let facts = Family::<KindLabel, Counter>::default();
        registry.register("facts", "fact sheets found or made", facts.clone());
        let jobs = Gauge::default();
        registry.register("jobs", "files being fetched or judged", jobs.clone());
        let worker_ends = Family::<KindLabel, Counter>::default();
        registry.register("worker_ends", "scan workers that ended, by reason", worker_ends.clone());
        let waits = Family::<KindLabel, Counter>::default();
        registry.register("waits", "requests sent away to come back", waits.clone());
        let judge_seconds = Histogram::new(exponential_buckets(0.005, 2.0, 18));
        registry.register_with_unit("judge", "fetch to verdict", Unit::Seconds, judge_seconds.clone());
        let commit_seconds = Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        registry.register_with_unit(
            "audit_commit",
            "decision to audit",
            Unit::Seconds,
            commit_seconds.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            requests,
            decisions,
            exceptions,
            policy_exceptions,
            delivered,
            fetched,
            failures,
            facts,
            jobs,
            worker_ends,
            waits,
            judge_seconds,
            commit_seconds,
        }
    }
}

impl Metrics {
    /// The OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = encode(&mut out, &registry);
        out
    }

    /// Takes over the pool's counts.
    pub fn worker_ends(&self, ends: &[(WorkerEnd, u64)]) {
        for (end, count) in ends {
            let counter = self.worker_ends.get_or_create(&KindLabel { kind: end.name() });
            counter.inner().store(*count, Ordering::Relaxed);
        }
    }

    /// Takes over the state of a policy's exceptions. Those that end soon are counted once more, to be renewed in time.
    pub fn policy_exceptions(&self, exceptions: &[Exception], today: Date) {
        let soon = today.checked_add(SOON.days()).unwrap_or(Date::MAX);
        let count = |holds: &dyn Fn(&Exception) -> bool| exceptions.iter().filter(|e| holds(e)).count();
        for (kind, n) in [
            ("holding", count(&|e| e.holds_on(today))),
            ("ending", count(&|e| e.holds_on(today) && e.expires < soon)),
            ("expired", count(&|e| e.expires < today)),
            ("to-come", count(&|e| today < e.created)),
        ] {
            self.policy_exceptions
                .get_or_create(&KindLabel { kind })
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// Counts a failed request.
    pub fn failure(&self, kind: &'static str) {
        self.failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a request.
    pub fn request(&self, kind: &'static str) {
        self.requests.get_or_create(&KindLabel { kind }).inc();
    }
}
