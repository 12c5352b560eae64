use super::super::directive::{Finding, in_json};
use serde_json::json;

fn codes(value: &serde_json::Value) -> Vec<String> {
    let (mut out, mut shards) = (Vec::new(), Vec::new());
    in_json(value, "", &mut |f| match f {
        Finding::Directive(code, _) => out.push(code.to_string()),
        Finding::Own { code, module, name, .. } => out.push(format!("{code} {module} {name}")),
        Finding::UnsafePath(code, _) => out.push(format!("path {code}")),
        Finding::Template(..) => out.push("template".into()),
        Finding::Opens { code: "shard", path, .. } => shards.push(path),
        Finding::Opens { .. } => {}
    });
    shards.sort();
    assert!(shards.windows(2).all(|w| w[0] != w[1]), "told once each: {shards:?}");
    out
}

#[test]
fn auto_map_names_own_code_others_or_nothing_sensible() {
    let of = |v: serde_json::Value| codes(&json!({"model_type": "x", "auto_map": v}));
    assert_eq!(of(json!({"AutoModel": "modeling_x.Net"})), ["auto-map modeling_x Net"]);
    assert_eq!(of(json!({"AutoTokenizer": ["tok.Slow", null]})), ["auto-map tok Slow"]);
    assert_eq!(of(json!({"AutoModel": "org/other--modeling_x.Net"})), ["code-elsewhere"]);
    assert_eq!(of(json!({"AutoTokenizer": [null, "org/other--t.Fast"]})), ["code-elsewhere"]);
    for odd in [json!("../x.Net"), json!("/abs.Net"), json!("a.b.c"), json!(3), json!({"x": 1}), json!("os")]
    {
        assert_eq!(of(json!({"AutoModel": odd})), ["code-name-odd"], "{odd}");
    }
    assert_eq!(of(json!("modeling_x.Net")), ["auto-map modeling_x Net"]);
    assert_eq!(of(json!({})), [""; 0]);
}

#[test]
fn trust_that_a_configuration_gives_itself() {
    assert_eq!(codes(&json!({"model_type": "x", "trust_remote_code": true})), ["remote-code"]);
    assert_eq!(codes(&json!({"trust_remote_code": true})), ["remote-code"]);
    let evaluation = json!({"task": "a", "dataset_kwargs": {"trust_remote_code": true, "a": 1, "b": 2}});
    assert_eq!(codes(&evaluation), ["trust-flag"]);
    assert_eq!(codes(&json!({"model_type": "x", "trust_remote_code": false})), [""; 0]);
    assert_eq!(codes(&json!({"attn_implementation": "org/kernel"})), ["code-elsewhere"]);
    assert_eq!(codes(&json!({"_attn_implementation": "flash_attention_2"})), [""; 0]);
}

#[test]
fn modules_of_sentence_transformers() {
    let of = |t: &str| codes(&json!([{"idx": 0, "name": "0", "path": "", "type": t}]));
    assert_eq!(of("sentence_transformers.models.Transformer"), [""; 0]);
    assert_eq!(of("sentence_transformers.base.modules.dense.Dense"), [""; 0]);
    assert_eq!(of("custom_st.Transformer"), ["module-type custom_st Transformer"]);
    assert_eq!(of("os.system"), ["hydra-target-dangerous"]);
    assert_eq!(of("some.package.Net"), ["imported-module"]);
    assert_eq!(of("org/other--custom.Net"), ["code-elsewhere"]);
    assert_eq!(of("../custom.Net"), ["code-name-odd"]);
    assert_eq!(of("sentence_transformers.util.import_from_string"), ["imported-module"]);
    assert_eq!(of("exec"), ["hydra-target-dangerous"]);
}

#[test]
fn parts_of_a_pipeline() {
    let of = |v: serde_json::Value| {
        codes(&json!({"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30", "unet": v}))
    };
    assert_eq!(of(json!(["diffusers", "UNet2DConditionModel"])), [""; 0]);
    assert_eq!(of(json!([null, null])), [""; 0]);
    assert_eq!(of(json!(["stable_diffusion", "StableDiffusionSafetyChecker"])), [""; 0]);
    assert_eq!(of(json!(["my_unet", "MyUnet"])), ["pipeline-part my_unet MyUnet"]);
    assert_eq!(of(json!(["os", "system"])), ["hydra-target-dangerous"]);
    assert_eq!(of(json!(["diffusers", "utils.os.system"])), ["hydra-target-dangerous"]);
    assert_eq!(of(json!(["some.package", "Net"])), ["imported-module"]);
    assert_eq!(of(json!([8, 8])), [""; 0]);
    let own = json!({"_class_name": ["my_pipeline", "MyPipeline"], "_diffusers_version": "0.30"});
    assert_eq!(codes(&own), ["pipeline-part my_pipeline MyPipeline"]);
}

#[test]
fn libraries_of_an_adapter() {
    let of = |library: &str, class: &str| {
        codes(&json!({"auto_mapping": {"parent_library": library, "base_model_class": class}}))
    };
    assert_eq!(of("transformers.models.bert.modeling_bert", "BertModel"), [""; 0]);
    assert_eq!(of("transformers_modules.org.name.modeling_x", "Net"), ["trust-flag"]);
    assert_eq!(of("transformers_evil", "Net"), ["imported-module"]);
    assert_eq!(of("transformers.utils", "os.system"), ["hydra-target-dangerous"]);
    assert_eq!(of("os", "system"), ["hydra-target-dangerous"]);
}

#[test]
fn class_paths_and_shards() {
    assert_eq!(
        codes(&json!({"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": {}})),
        ["hydra-target-known"]
    );
    assert_eq!(codes(&json!({"model": {"class_path": "os.system"}})), ["hydra-target-dangerous"]);
    assert_eq!(codes(&json!({"target": "libc.so.6 rocks"})), [""; 0]);
    let index = |v: serde_json::Value| codes(&json!({"weight_map": {"a": "model-1.safetensors", "b": v}}));
    assert_eq!(index(json!("model-2.safetensors")), [""; 0]);
    assert_eq!(index(json!("../x")), ["path traversal"]);
    assert_eq!(index(json!("https://example.org/x")), ["index-shard-odd"]);
    assert_eq!(index(json!(7)), ["index-shard-odd"]);
}
