//! Names of the fields of TensorFlow's messages, as far as they decide anything: for the text form.

use super::prototext::{Kind, Schema};

/// A message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    SavedModel,
    MetaGraph,
    Graph,
    Library,
    Function,
    Signature,
    Argument,
    Node,
    /// Entry of a map of attributes.
    Attribute,
    Value,
    List,
    Named,
    Tensor,
    Variant,
    Saver,
    CollectionEntry,
    Collection,
    Texts,
    AnyList,
    SignatureEntry,
    SignatureDef,
    TensorInfoEntry,
    TensorInfo,
    Sparse,
    Composite,
    Asset,
    Objects,
    Object,
    UserObject,
    ConcreteEntry,
    Concrete,
    /// Nothing in it decides anything.
    Loose,
}

impl Schema for Message {
    const LOOSE: Self = Self::Loose;

    fn field(self, name: &str) -> Option<(u32, Kind<Self>)> {
        field(self, name)
    }

    fn is_loose(self) -> bool {
        matches!(self, Self::Loose | Self::Signature | Self::Argument)
    }

    fn number(word: &str) -> Option<u64> {
        number(word)
    }

    fn counts(self, number: u32) -> bool {
        matches!((self, number), (Self::Node, 2))
    }
}

/// Number and kind of a field.
fn field(message: Message, name: &str) -> Option<(u32, Kind<Message>)> {
    use Kind::{Number, Skip, Text};
    use Message as M;
    let m = Kind::<Message>::Message;
    Some(match (message, name) {
        (M::SavedModel, "saved_model_schema_version") => (1, Number),
        (M::SavedModel, "meta_graphs") => (2, m(M::MetaGraph)),

        (M::MetaGraph, "meta_info_def") => (1, m(M::Loose)),
        (M::MetaGraph, "graph_def") => (2, m(M::Graph)),
        (M::MetaGraph, "saver_def") => (3, m(M::Saver)),
        (M::MetaGraph, "collection_def") => (4, m(M::CollectionEntry)),
        (M::MetaGraph, "signature_def") => (5, m(M::SignatureEntry)),
        (M::MetaGraph, "asset_file_def") => (6, m(M::Asset)),
        (M::MetaGraph, "object_graph_def") => (7, m(M::Objects)),

        (M::Graph, "node") => (1, m(M::Node)),
        (M::Graph, "library") => (2, m(M::Library)),
        (M::Graph, "version") => (3, Number),
        (M::Graph, "versions" | "debug_info") => (0, m(M::Loose)),
        (M::Library, "function") => (1, m(M::Function)),
        (M::Library, "gradient" | "registered_gradients") => (0, m(M::Loose)),
        (M::Function, "signature") => (1, m(M::Signature)),
        (M::Function, "node_def") => (3, m(M::Node)),
        (M::Function, "attr") => (5, m(M::Attribute)),
        (M::Function, "ret" | "control_ret" | "arg_attr" | "resource_arg_unique_id") => (0, m(M::Loose)),
        (M::Signature, "name") => (1, Text),
        (M::Signature, "input_arg") => (2, m(M::Argument)),
        (M::Argument, "name") => (1, Text),

        (M::Node, "name") => (1, Text),
        (M::Node, "op") => (2, Text),
        (M::Node, "input") => (3, Text),
        (M::Node, "device") => (4, Text),
        (M::Node, "attr") => (5, m(M::Attribute)),
        (M::Node, "experimental_debug_info" | "experimental_type") => (0, m(M::Loose)),
        (M::Attribute, "key") => (1, Text),
        (M::Attribute, "value") => (2, m(M::Value)),
        (M::Value, "list") => (1, m(M::List)),
        (M::Value, "s") => (2, Text),
        (M::Value, "tensor") => (8, m(M::Tensor)),
        (M::Value, "placeholder") => (9, Text),
        (M::Value, "func") => (10, m(M::Named)),
        (M::Value | M::List, "i" | "f" | "b" | "type") => (0, Skip),
        (M::Value | M::List, "shape") => (0, m(M::Loose)),
        (M::List, "s") => (2, Text),
        (M::List, "tensor") => (8, m(M::Tensor)),
        (M::List, "func") => (9, m(M::Named)),
        (M::Named, "name") => (1, Text),
        (M::Named, "attr") => (2, m(M::Attribute)),
        (M::Tensor, "dtype") => (1, Number),
        (M::Tensor, "tensor_shape" | "resource_handle_val") => (0, m(M::Loose)),
        (M::Tensor, "version_number") => (0, Skip),
        (M::Tensor, "tensor_content") => (4, Text),
        (M::Tensor, "string_val") => (8, Text),
        (M::Tensor, "variant_val") => (15, m(M::Variant)),
        (M::Tensor, "float8_val") => (18, Text),
        (M::Tensor, other) if other.ends_with("_val") => (0, Skip),
        (M::Variant, "type_name") => (1, Text),
        (M::Variant, "metadata") => (2, Text),
        (M::Variant, "tensors") => (3, m(M::Tensor)),

        (M::Saver, "filename_tensor_name") => (1, Text),
        (M::Saver, "save_tensor_name") => (2, Text),
        (M::Saver, "restore_op_name") => (3, Text),
        (M::Saver, "max_to_keep" | "sharded" | "keep_checkpoint_every_n_hours" | "version") => (0, Skip),
        (M::CollectionEntry | M::SignatureEntry | M::TensorInfoEntry | M::ConcreteEntry, "key") => (1, Text),
        (M::CollectionEntry, "value") => (2, m(M::Collection)),
        (M::Collection, "node_list") => (1, m(M::Texts)),
        (M::Collection, "bytes_list") => (2, m(M::Texts)),
        (M::Collection, "int64_list" | "float_list") => (0, m(M::Loose)),
        (M::Collection, "any_list") => (5, m(M::AnyList)),
        (M::Texts, "value") => (1, Text),
        (M::AnyList, "value") => (0, m(M::Loose)),
        (M::SignatureEntry, "value") => (2, m(M::SignatureDef)),
        (M::SignatureDef, "inputs") => (1, m(M::TensorInfoEntry)),
        (M::SignatureDef, "outputs") => (2, m(M::TensorInfoEntry)),
        (M::SignatureDef, "method_name") => (3, Text),
        (M::SignatureDef, "defaults") => (0, m(M::Loose)),
        (M::TensorInfoEntry, "value") => (2, m(M::TensorInfo)),
        (M::TensorInfo, "name") => (1, Text),
        (M::TensorInfo, "coo_sparse") => (4, m(M::Sparse)),
        (M::TensorInfo, "composite_tensor") => (5, m(M::Composite)),
        (M::TensorInfo, "dtype") => (0, Skip),
        (M::TensorInfo, "tensor_shape") => (0, m(M::Loose)),
        (M::Sparse, "values_tensor_name") => (1, Text),
        (M::Sparse, "indices_tensor_name") => (2, Text),
        (M::Sparse, "dense_shape_tensor_name") => (3, Text),
        (M::Composite, "type_spec") => (0, m(M::Loose)),
        (M::Composite, "components") => (2, m(M::TensorInfo)),
        (M::Asset, "tensor_info") => (1, m(M::TensorInfo)),
        (M::Asset, "filename") => (2, Text),

        (M::Objects, "nodes") => (1, m(M::Object)),
        (M::Objects, "concrete_functions") => (2, m(M::ConcreteEntry)),
        (M::Object, "user_object") => (4, m(M::UserObject)),
        (M::Object, "asset") => (5, m(M::Loose)),
        (
            M::Object,
            "children"
            | "dependencies"
            | "slot_variables"
            | "function"
            | "variable"
            | "bare_concrete_function"
            | "constant"
            | "resource"
            | "captured_tensor"
            | "saveable_objects"
            | "serialized_user_proto",
        ) => (0, m(M::Loose)),
        (M::Object, "registered_name" | "registered_saver") => (0, Skip),
        (M::UserObject, "identifier") => (1, Text),
        (M::UserObject, "version") => (0, m(M::Loose)),
        (M::UserObject, "metadata") => (3, Text),
        (M::ConcreteEntry, "value") => (2, m(M::Concrete)),
        (M::Concrete, "bound_inputs") => (2, Number),
        (M::Concrete, "canonicalized_input_signature" | "output_signature") => (0, m(M::Loose)),
        _ => return None,
    })
}

/// A number, or the name of a value of `DataType`, as far as one decides.
fn number(word: &str) -> Option<u64> {
    let lower = word.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) {
        return u64::from_str_radix(&lower, 8).ok();
    }
    Some(match &lower[..] {
        "dt_string" => 7,
        "true" => 1,
        "false" => 0,
        name if name.starts_with("dt_") => 1,
        digits => return digits.parse().ok(),
    })
}
