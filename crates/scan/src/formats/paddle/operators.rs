//! Operators by name.

use crate::cx::Cx;
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_verdict::{FactKind, escape};

/// Names that Paddle registers and that only compute: those of its registry, without what [`effect`] names.
fn known(name: &str) -> bool {
    static NAMES: OnceLock<HashSet<&str>> = OnceLock::new();
    let lines = include_str!("operators.txt").lines().filter(|l| !l.starts_with('#'));
    NAMES.get_or_init(|| lines.flat_map(str::split_whitespace).collect()).contains(name)
}

/// What an operator does beside computing; the code of a fact.
fn effect(name: &str) -> Option<&'static str> {
    const WRITE: [&str; 4] = ["save", "save_combine", "dump", "save_combine_tensor"];
    const READ: [&str; 8] = [
        "load",
        "load_combine",
        "read_file",
        "file_label_loader",
        "file_label_index",
        "load_persistables",
        "read",
        "create_custom_reader",
    ];
    const NETWORK: [&str; 25] = [
        "send",
        "recv",
        "listen_and_serv",
        "heter_listen_and_serv",
        "fl_listen_and_serv",
        "send_and_recv",
        "send_barrier",
        "fetch_barrier",
        "prefetch",
        "distributed_lookup_table",
        "gen_nccl_id",
        "gen_bkcl_id",
        "gen_hccl_id",
        "c_gen_nccl_id",
        "c_gen_bkcl_id",
        "c_gen_xccl_id",
        "checkpoint_notify",
        "p_send",
        "p_recv",
        "p_send_array",
        "p_recv_array",
        "partial_send",
        "partial_recv",
        "send_v2",
        "recv_v2",
    ];
    // `func_` of PIR is the same operator working in place.
    let name = name.strip_suffix("_grad").unwrap_or(name);
    let name = name.strip_suffix('_').unwrap_or(name);
    if matches!(name, "py_func" | "py_layer" | "pylayer" | "python_operator") {
        return Some("paddle-python");
    }
    if WRITE.contains(&name) {
        return Some("paddle-file-write");
    }
    if READ.contains(&name) {
        return Some("paddle-file-read");
    }
    if NETWORK.contains(&name) || name.starts_with("pull_") || name.starts_with("push_") {
        return Some("paddle-network");
    }
    let engine = name.ends_with("_engine") || name.contains("_engine_") || name.starts_with("cinn_");
    let program = matches!(name, "run_program" | "ipu_runtime" | "jit_kernel" | "custom_engine");
    (engine || program).then_some("paddle-native")
}

/// Tells of an operator that is not known to do no more than compute.
pub(super) fn judge(name: &str, at: Option<u64>, given: &str, cx: &mut Cx<'_>) {
    let code = match effect(name) {
        Some(code) => code,
        None if known(name) => return,
        None => "paddle-unknown",
    };
    let name: String = name.chars().take(100).collect();
    let given: String = given.chars().take(200).collect();
    let detail = if given.is_empty() { String::new() } else { format!("given {}", escape(&given)) };
    cx.fact(at, FactKind::Operator { code: code.into(), op: escape(&name), detail });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_before_the_registry() {
        assert_eq!(effect("py_func"), Some("paddle-python"));
        assert_eq!(effect("py_func_grad"), Some("paddle-python"));
        assert_eq!(effect("load_combine"), Some("paddle-file-read"));
        assert_eq!(effect("save_combine_"), Some("paddle-file-write"));
        assert_eq!(effect("tensorrt_engine"), Some("paddle-native"));
        for name in ["matmul", "matmul_v2", "conv2d", "relu", "softmax", "feed", "fetch", "elementwise_add"] {
            assert!(effect(name).is_none() && known(name), "{name}");
        }
        assert!(!known("my_custom_op"));
    }
}
