//! Names of the fields of ONNX's messages, for models that are spelled as text or JSON. Source: `onnx/onnx-ml.proto` up to IR
//! version 14.

use super::super::prototext::{Kind, Schema};

/// A message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    Opset,
    Devices,
    Training,
    Pair,
    Graph,
    Annotation,
    Node,
    NodeDevice,
    Sharding,
    DeviceGroup,
    ShardedDim,
    Shard,
    Attribute,
    Function,
    Tensor,
    Segment,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    ElementType,
    MapType,
    OpaqueType,
    Shape,
    Dimension,
    /// No message of ONNX.
    Loose,
}

impl Schema for Message {
    const LOOSE: Self = Self::Loose;

    fn field(self, name: &str) -> Option<(u32, Kind<Self>)> {
        field(self, name)
    }

    fn is_loose(self) -> bool {
        false
    }

    fn number(word: &str) -> Option<u64> {
        number(word)
    }

    fn counts(self, number: u32) -> bool {
        // Nodes and tensors; functions hold nodes.
        matches!((self, number), (Self::Graph, 1 | 5 | 15) | (Self::Function, 7))
    }
}

fn field(message: Message, name: &str) -> Option<(u32, Kind<Message>)> {
    use Kind::{Bytes, Double, Float, Number, Text};
    use Message as M;
    let m = Kind::<Message>::Message;
    Some(match (message, name) {
        (M::Model, "ir_version") => (1, Number),
        (M::Model, "opset_import") => (8, m(M::Opset)),
        (M::Model, "producer_name") => (2, Text),
        (M::Model, "producer_version") => (3, Text),
        (M::Model, "domain") => (4, Text),
        (M::Model, "model_version") => (5, Number),
        (M::Model, "doc_string") => (6, Text),
        (M::Model, "graph") => (7, m(M::Graph)),
        (M::Model, "metadata_props") => (14, m(M::Pair)),
        (M::Model, "training_info") => (20, m(M::Training)),
        (M::Model, "functions") => (25, m(M::Function)),
        (M::Model, "configuration") => (26, m(M::Devices)),
        (M::Opset, "domain") => (1, Text),
        (M::Opset, "version") => (2, Number),
        (M::Devices, "name") => (1, Text),
        (M::Devices, "num_devices") => (2, Number),
        (M::Devices, "device") => (3, Text),
        (M::Training, "initialization") => (1, m(M::Graph)),
        (M::Training, "algorithm") => (2, m(M::Graph)),
        (M::Training, "initialization_binding") => (3, m(M::Pair)),
        (M::Training, "update_binding") => (4, m(M::Pair)),
        (M::Pair, "key") => (1, Text),
        (M::Pair, "value") => (2, Text),

        (M::Graph, "node") => (1, m(M::Node)),
        (M::Graph, "name") => (2, Text),
        (M::Graph, "initializer") => (5, m(M::Tensor)),
        (M::Graph, "sparse_initializer") => (15, m(M::Sparse)),
        (M::Graph, "doc_string") => (10, Text),
        (M::Graph, "input") => (11, m(M::ValueInfo)),
        (M::Graph, "output") => (12, m(M::ValueInfo)),
        (M::Graph, "value_info") => (13, m(M::ValueInfo)),
        (M::Graph, "quantization_annotation") => (14, m(M::Annotation)),
        (M::Graph, "metadata_props") => (16, m(M::Pair)),
        (M::Annotation, "tensor_name") => (1, Text),
        (M::Annotation, "quant_parameter_tensor_names") => (2, m(M::Pair)),

        (M::Node, "input") => (1, Text),
        (M::Node, "output") => (2, Text),
        (M::Node, "name") => (3, Text),
        (M::Node, "op_type") => (4, Text),
        (M::Node, "domain") => (7, Text),
        (M::Node, "overload") => (8, Text),
        (M::Node, "attribute") => (5, m(M::Attribute)),
        (M::Node, "doc_string") => (6, Text),
        (M::Node, "metadata_props") => (9, m(M::Pair)),
        (M::Node, "device_configurations") => (10, m(M::NodeDevice)),
        (M::NodeDevice, "configuration_id") => (1, Text),
        (M::NodeDevice, "sharding_spec") => (2, m(M::Sharding)),
        (M::NodeDevice, "pipeline_stage") => (3, Number),
        (M::Sharding, "tensor_name") => (1, Text),
        (M::Sharding, "device") => (2, Number),
        (M::Sharding, "index_to_device_group_map") => (3, m(M::DeviceGroup)),
        (M::Sharding, "sharded_dim") => (4, m(M::ShardedDim)),
        (M::DeviceGroup, "key") => (1, Number),
        (M::DeviceGroup, "value") => (2, Number),
        (M::ShardedDim, "axis") => (1, Number),
        (M::ShardedDim, "simple_sharding") => (2, m(M::Shard)),
        (M::Shard, "dim_value") => (1, Number),
        (M::Shard, "dim_param") => (2, Text),
        (M::Shard, "num_shards") => (3, Number),

        (M::Attribute, "name") => (1, Text),
        (M::Attribute, "ref_attr_name") => (21, Text),
        (M::Attribute, "doc_string") => (13, Text),
        (M::Attribute, "type") => (20, Number),
        (M::Attribute, "f") => (2, Float),
        (M::Attribute, "i") => (3, Number),
        (M::Attribute, "s") => (4, Bytes),
        (M::Attribute, "t") => (5, m(M::Tensor)),
        (M::Attribute, "g") => (6, m(M::Graph)),
        (M::Attribute, "sparse_tensor") => (22, m(M::Sparse)),
        (M::Attribute, "tp") => (14, m(M::Type)),
        (M::Attribute, "floats") => (7, Float),
        (M::Attribute, "ints") => (8, Number),
        (M::Attribute, "strings") => (9, Bytes),
        (M::Attribute, "tensors") => (10, m(M::Tensor)),
        (M::Attribute, "graphs") => (11, m(M::Graph)),
        (M::Attribute, "sparse_tensors") => (23, m(M::Sparse)),
        (M::Attribute, "type_protos") => (15, m(M::Type)),

        (M::Function, "name") => (1, Text),
        (M::Function, "since_version") => (2, Number),
        (M::Function, "status") => (3, Number),
        (M::Function, "input") => (4, Text),
        (M::Function, "output") => (5, Text),
        (M::Function, "attribute") => (6, Text),
        (M::Function, "attribute_proto") => (11, m(M::Attribute)),
        (M::Function, "node") => (7, m(M::Node)),
        (M::Function, "doc_string") => (8, Text),
        (M::Function, "opset_import") => (9, m(M::Opset)),
        (M::Function, "domain") => (10, Text),
        (M::Function, "overload") => (13, Text),
        (M::Function, "value_info") => (12, m(M::ValueInfo)),
        (M::Function, "metadata_props") => (14, m(M::Pair)),

        (M::Tensor, "dims") => (1, Number),
        (M::Tensor, "data_type") => (2, Number),
        (M::Tensor, "segment") => (3, m(M::Segment)),
        (M::Tensor, "float_data") => (4, Float),
        (M::Tensor, "int32_data") => (5, Number),
        (M::Tensor, "string_data") => (6, Bytes),
        (M::Tensor, "int64_data") => (7, Number),
        (M::Tensor, "name") => (8, Text),
        (M::Tensor, "doc_string") => (12, Text),
        (M::Tensor, "raw_data") => (9, Bytes),
        (M::Tensor, "external_data") => (13, m(M::Pair)),
        (M::Tensor, "data_location") => (14, Number),
        (M::Tensor, "double_data") => (10, Double),
        (M::Tensor, "uint64_data") => (11, Number),
        (M::Tensor, "metadata_props") => (16, m(M::Pair)),
        (M::Segment, "begin") => (1, Number),
        (M::Segment, "end") => (2, Number),
        (M::Sparse, "values") => (1, m(M::Tensor)),
        (M::Sparse, "indices") => (2, m(M::Tensor)),
        (M::Sparse, "dims") => (3, Number),

        (M::ValueInfo, "name") => (1, Text),
        (M::ValueInfo, "type") => (2, m(M::Type)),
        (M::ValueInfo, "doc_string") => (3, Text),
        (M::ValueInfo, "metadata_props") => (4, m(M::Pair)),
        (M::Type, "tensor_type") => (1, m(M::TensorType)),
        (M::Type, "sequence_type") => (4, m(M::ElementType)),
        (M::Type, "map_type") => (5, m(M::MapType)),
        (M::Type, "optional_type") => (9, m(M::ElementType)),
        (M::Type, "sparse_tensor_type") => (8, m(M::TensorType)),
        (M::Type, "opaque_type") => (7, m(M::OpaqueType)),
        (M::Type, "denotation") => (6, Text),
        (M::TensorType, "elem_type") => (1, Number),
        (M::TensorType, "shape") => (2, m(M::Shape)),
        (M::ElementType, "elem_type") => (1, m(M::Type)),
        (M::MapType, "key_type") => (1, Number),
        (M::MapType, "value_type") => (2, m(M::Type)),
        (M::OpaqueType, "domain") => (1, Text),
        (M::OpaqueType, "name") => (2, Text),
        (M::Shape, "dim") => (1, m(M::Dimension)),
        (M::Dimension, "dim_value") => (1, Number),
        (M::Dimension, "dim_param") => (2, Text),
        (M::Dimension, "denotation") => (3, Text),
        _ => return None,
    })
}

/// A number, or the name of a kind of attribute, of a place of data, or of a status.
fn number(word: &str) -> Option<u64> {
    const KINDS: &[&str] = &[
        "UNDEFINED",
        "FLOAT",
        "INT",
        "STRING",
        "TENSOR",
        "GRAPH",
        "FLOATS",
        "INTS",
        "STRINGS",
        "TENSORS",
        "GRAPHS",
        "SPARSE_TENSOR",
        "SPARSE_TENSORS",
        "TYPE_PROTO",
        "TYPE_PROTOS",
    ];
    if let Some(n) = KINDS.iter().position(|k| *k == word) {
        return Some(n as u64);
    }
    let digits = word.strip_prefix('+').unwrap_or(word);
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return u64::from_str_radix(digits, 8).ok();
    }
    match word {
        "DEFAULT" | "EXPERIMENTAL" | "false" => Some(0),
        "EXTERNAL" | "STABLE" | "true" => Some(1),
        _ => digits.parse().ok(),
    }
}
