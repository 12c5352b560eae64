//! Exact lists of names that libraries resolve among their own classes.

/// Modules of sentence-transformers that a `modules.json` may name, by their last component.
const SENTENCE_MODULES: &[&str] = &[
    "Asym",
    "BoW",
    "CLIPModel",
    "CNN",
    "Dense",
    "Dropout",
    "HierarchicalTokenPooling",
    "LSTM",
    "LayerNorm",
    "LogitScore",
    "MLMTransformer",
    "MultiVectorMask",
    "Normalize",
    "Pooling",
    "Router",
    "SparseAutoEncoder",
    "SparseStaticEmbedding",
    "SpladePooling",
    "StaticEmbedding",
    "Transformer",
    "WeightedLayerPooling",
    "WordEmbeddings",
    "WordWeights",
];

/// Where versions 0.3 to 6 keep them: the package, or the file of the same name in it.
const SENTENCE_PACKAGES: &[&str] = &[
    "sentence_transformers.models",
    "sentence_transformers.base.modules",
    "sentence_transformers.sentence_transformer.modules",
    "sentence_transformers.sparse_encoder.models",
    "sentence_transformers.sparse_encoder.modules",
    "sentence_transformers.cross_encoder.modules",
    "sentence_transformers.multi_vector_encoder.modules",
];

/// True for exactly the modules that sentence-transformers brings.
pub(super) fn is_sentence_module(name: &str) -> bool {
    let Some((package, class)) = name.rsplit_once('.') else { return false };
    if !SENTENCE_MODULES.contains(&class) {
        return false;
    }
    let file = package.rsplit_once('.').filter(|(_, file)| {
        let plain = |s: &str| s.replace('_', "").to_ascii_lowercase();
        plain(file) == plain(class)
            || matches!(
                (*file, class),
                ("multi_vector_mask", _) | ("token_pooling", "HierarchicalTokenPooling")
            )
    });
    SENTENCE_PACKAGES.contains(&package)
        || file.is_some_and(|(package, _)| SENTENCE_PACKAGES.contains(&package))
}

/// Libraries and modules of diffusers whose classes a pipeline may be made of. Nothing but `from_pretrained` of the
/// class is called.
const PIPELINE_LIBRARIES: &[&str] = &[
    "diffusers",
    "transformers",
    "onnxruntime.training",
    // What is null in the pipeline.
    "null",
    // Modules of `diffusers.pipelines`.
    "ace_step",
    "allegro",
    "alt_diffusion",
    "animatediff",
    "audioldm",
    "audioldm2",
    "aura_flow",
    "blip_diffusion",
    "bria",
    "bria_fibo",
    "chroma",
    "chronoedit",
    "cogvideo",
    "cogview3",
    "cogview4",
    "consisid",
    "consistency_models",
    "controlnet",
    "controlnet_hunyuandit",
    "controlnet_sd3",
    "controlnet_xs",
    "cosmos",
    "dance_diffusion",
    "ddim",
    "ddpm",
    "deepfloyd_if",
    "dit",
    "easyanimate",
    "flux",
    "flux2",
    "hidream_image",
    "hunyuan_image",
    "hunyuan_video",
    "hunyuandit",
    "kandinsky",
    "kandinsky2_2",
    "kandinsky3",
    "kandinsky5",
    "kolors",
    "latent_consistency_models",
    "latent_diffusion",
    "latte",
    "ledits_pp",
    "ltx",
    "lumina",
    "lumina2",
    "marigold",
    "mochi",
    "musicldm",
    "omnigen",
    "ovis_image",
    "pag",
    "paint_by_example",
    "pia",
    "pixart_alpha",
    "prx",
    "qwenimage",
    "sana",
    "sana_video",
    "semantic_stable_diffusion",
    "shap_e",
    "skyreels_v2",
    "spectrogram_diffusion",
    "stable_audio",
    "stable_cascade",
    "stable_diffusion",
    "stable_diffusion_3",
    "stable_diffusion_attend_and_excite",
    "stable_diffusion_diffedit",
    "stable_diffusion_gligen",
    "stable_diffusion_k_diffusion",
    "stable_diffusion_ldm3d",
    "stable_diffusion_panorama",
    "stable_diffusion_safe",
    "stable_diffusion_sag",
    "stable_diffusion_xl",
    "stable_video_diffusion",
    "t2i_adapter",
    "text_to_video_synthesis",
    "unclip",
    "unidiffuser",
    "versatile_diffusion",
    "visualcloze",
    "vq_diffusion",
    "wan",
    "wuerstchen",
    "z_image",
];

/// True for exactly these.
pub(super) fn is_pipeline_library(name: &str) -> bool {
    PIPELINE_LIBRARIES.contains(&name)
}
