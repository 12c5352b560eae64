//! The messages of ONNX by field: what they may hold, so that whatever else stands in a file is told.
//!
//! Source: `onnx/onnx-ml.proto` up to IR version 14 (onnx 1.23).

use super::super::protobuf::{I32, I64, LEN, VARINT};

/// One field: number, wire types it may come in, whether it may repeat, and the message it holds if nobody but the schema
/// looks into it.
pub(super) struct Entry {
    pub number: u32,
    pub wires: &'static [u8],
    pub many: bool,
    pub message: Option<&'static Schema>,
}

/// One message.
pub(super) struct Schema {
    pub name: &'static str,
    pub entries: &'static [Entry],
}

impl Schema {
    /// The entry of a field, if its number and wire type are this message's.
    pub fn entry(&self, number: u32, wire: u8) -> Option<&'static Entry> {
        self.entries.iter().find(|e| e.number == number && e.wires.contains(&wire))
    }
}

const fn int(number: u32) -> Entry {
    Entry { number, wires: &[VARINT], many: false, message: None }
}

const fn ints(number: u32) -> Entry {
    Entry { number, wires: &[VARINT, LEN], many: true, message: None }
}

const fn bytes(number: u32) -> Entry {
    Entry { number, wires: &[LEN], many: false, message: None }
}

const fn many(number: u32) -> Entry {
    Entry { number, wires: &[LEN], many: true, message: None }
}

const fn one_of(number: u32, message: &'static Schema) -> Entry {
    Entry { number, wires: &[LEN], many: false, message: Some(message) }
}

const fn many_of(number: u32, message: &'static Schema) -> Entry {
    Entry { number, wires: &[LEN], many: true, message: Some(message) }
}

pub(super) static MODEL: Schema = Schema {
    name: "ModelProto",
    entries: &[
        int(1),
        many_of(8, &OPSET),
        bytes(2),
        bytes(3),
        bytes(4),
        int(5),
        bytes(6),
        bytes(7),
        many(14),
        many(20),
        many(25),
        many_of(26, &DEVICES),
    ],
};

pub(super) static OPSET: Schema = Schema { name: "OperatorSetIdProto", entries: &[bytes(1), int(2)] };

static DEVICES: Schema = Schema { name: "DeviceConfigurationProto", entries: &[bytes(1), int(2), many(3)] };

pub(super) static TRAINING: Schema = Schema {
    name: "TrainingInfoProto",
    entries: &[bytes(1), bytes(2), many_of(3, &PAIR), many_of(4, &PAIR)],
};

pub(super) static PAIR: Schema = Schema { name: "StringStringEntryProto", entries: &[bytes(1), bytes(2)] };

pub(super) static GRAPH: Schema = Schema {
    name: "GraphProto",
    entries: &[
        many(1),
        bytes(2),
        many(5),
        many(15),
        bytes(10),
        many_of(11, &VALUE_INFO),
        many_of(12, &VALUE_INFO),
        many_of(13, &VALUE_INFO),
        many_of(14, &ANNOTATION),
        many(16),
    ],
};

static ANNOTATION: Schema = Schema { name: "TensorAnnotation", entries: &[bytes(1), many_of(2, &PAIR)] };

pub(super) static NODE: Schema = Schema {
    name: "NodeProto",
    entries: &[
        many(1),
        many(2),
        bytes(3),
        bytes(4),
        bytes(7),
        bytes(8),
        many(5),
        bytes(6),
        many(9),
        many_of(10, &NODE_DEVICE),
    ],
};

static NODE_DEVICE: Schema =
    Schema { name: "NodeDeviceConfigurationProto", entries: &[bytes(1), many_of(2, &SHARDING), int(3)] };

static SHARDING: Schema = Schema {
    name: "ShardingSpecProto",
    entries: &[bytes(1), ints(2), many_of(3, &DEVICE_GROUP), many_of(4, &SHARDED_DIM)],
};

static DEVICE_GROUP: Schema = Schema { name: "IntIntListEntryProto", entries: &[int(1), ints(2)] };

static SHARDED_DIM: Schema = Schema { name: "ShardedDimProto", entries: &[int(1), many_of(2, &SHARD)] };

static SHARD: Schema = Schema { name: "SimpleShardedDimProto", entries: &[int(1), bytes(2), int(3)] };

pub(super) static ATTRIBUTE: Schema = Schema {
    name: "AttributeProto",
    entries: &[
        bytes(1),
        bytes(21),
        bytes(13),
        int(20),
        Entry { number: 2, wires: &[I32], many: false, message: None },
        int(3),
        bytes(4),
        bytes(5),
        bytes(6),
        bytes(22),
        one_of(14, &TYPE),
        Entry { number: 7, wires: &[I32, LEN], many: true, message: None },
        ints(8),
        many(9),
        many(10),
        many(11),
        many(23),
        many_of(15, &TYPE),
    ],
};

pub(super) static FUNCTION: Schema = Schema {
    name: "FunctionProto",
    entries: &[
        bytes(1),
        // since_version and status of the first drafts.
        int(2),
        int(3),
        many(4),
        many(5),
        many(6),
        many(11),
        many(7),
        bytes(8),
        many_of(9, &OPSET),
        bytes(10),
        bytes(13),
        many_of(12, &VALUE_INFO),
        many(14),
    ],
};

pub(super) static TENSOR: Schema = Schema {
    name: "TensorProto",
    entries: &[
        ints(1),
        int(2),
        one_of(3, &SEGMENT),
        Entry { number: 4, wires: &[I32, LEN], many: true, message: None },
        ints(5),
        many(6),
        ints(7),
        bytes(8),
        bytes(12),
        bytes(9),
        many(13),
        int(14),
        Entry { number: 10, wires: &[I64, LEN], many: true, message: None },
        ints(11),
        many(16),
    ],
};

static SEGMENT: Schema = Schema { name: "Segment", entries: &[int(1), int(2)] };

pub(super) static SPARSE: Schema =
    Schema { name: "SparseTensorProto", entries: &[bytes(1), bytes(2), ints(3)] };

static VALUE_INFO: Schema =
    Schema { name: "ValueInfoProto", entries: &[bytes(1), one_of(2, &TYPE), bytes(3), many_of(4, &PAIR)] };

static TYPE: Schema = Schema {
    name: "TypeProto",
    entries: &[
        one_of(1, &TENSOR_TYPE),
        one_of(4, &ELEMENT_TYPE),
        one_of(5, &MAP_TYPE),
        one_of(9, &ELEMENT_TYPE),
        one_of(8, &TENSOR_TYPE),
        one_of(7, &OPAQUE_TYPE),
        bytes(6),
    ],
};

static TENSOR_TYPE: Schema = Schema { name: "TypeProto.Tensor", entries: &[int(1), one_of(2, &SHAPE)] };

static ELEMENT_TYPE: Schema = Schema { name: "TypeProto.Sequence", entries: &[one_of(1, &TYPE)] };

static MAP_TYPE: Schema = Schema { name: "TypeProto.Map", entries: &[int(1), one_of(2, &TYPE)] };

static OPAQUE_TYPE: Schema = Schema { name: "TypeProto.Opaque", entries: &[bytes(1), bytes(2)] };

static SHAPE: Schema = Schema { name: "TensorShapeProto", entries: &[many_of(1, &DIMENSION)] };

static DIMENSION: Schema =
    Schema { name: "TensorShapeProto.Dimension", entries: &[int(1), bytes(2), bytes(3)] };
