//! Backdoors of the architecture: a graph that replaces its answer when its input shows a trigger.
//!
//! ShadowLogic (HiddenLayer, 2024) adds a comparison of the input with a constant and a branch on the way to the output
//! that takes another constant. Honest graphs compare and branch too: they mask padding on the way in, and cut off low
//! scores on the way out. So only this is told: a comparison of the input itself with a constant, which decides whether
//! an output is a constant of the file or not.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Origin {
    /// Constants only.
    Constant,
    /// The input, rearranged or reduced, without any weights.
    Input,
    /// A comparison of the input with constants.
    Condition,
    /// A constant that stands there if the condition holds, else zero.
    Masked,
    /// Either a constant or something else, as a condition has it.
    Replaced,
    /// Anything else.
    #[default]
    Other,
}

/// Where a value comes from, if the inputs of the graph are inputs, and if they are conditions. The second is of use for
/// functions only.
pub(super) type Sources = [Origin; 2];

/// The values of one graph by name.
#[derive(Default)]
pub(super) struct Flow {
    values: HashMap<u64, Sources>,
}

fn key(name: &[u8]) -> u64 {
    let mut h = DefaultHasher::new();
    name.hash(&mut h);
    h.finish()
}

impl Flow {
    pub(super) fn set(&mut self, name: &[u8], sources: Sources) {
        const MOST: usize = 2_000_000;
        if self.values.len() < MOST {
            self.values.insert(key(name), sources);
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Sources> {
        self.values.get(&key(name)).copied()
    }

    /// True if nothing here depends on anything else.
    pub(super) fn all_constant(&self) -> bool {
        self.values.values().all(|s| s[0] == Origin::Constant)
    }

    /// True if any value is replaced.
    pub(super) fn any_replaced(&self) -> bool {
        self.values.values().any(|s| s[0] == Origin::Replaced)
    }
}

/// What the outputs of a branch are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub constant: bool,
    pub replaced: bool,
}

/// Operators that only move values around.
const PASS: &[&str] = &[
    "Cast",
    "CastLike",
    "Concat",
    "Expand",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];
/// Operators that condense.
const REDUCE: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ArgMax",
    "ArgMin",
    "TopK",
];
/// Operators that compute element by element, or look elements up.
const ELEMENT: &[&str] = &[
    "Abs",
    "Add",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Ceil",
    "Clip",
    "Div",
    "Floor",
    "Gather",
    "GatherElements",
    "GatherND",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Pow",
    "Round",
    "Sign",
    "Sqrt",
    "Sub",
    "Sum",
    "Pad",
];
/// Operators whose further inputs are shapes, axes and the like.
const SHAPED: &[&str] =
    &["Expand", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze"];
const COMPARE: &[&str] = &["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];
const LOGIC: &[&str] = &["And", "Or", "Xor", "Not", "Mul", "Min", "Max", "Sub", "Add", "Sum"];

/// Where the outputs of a node of a standard operator come from.
pub(super) fn outcome(op: &str, inputs: &[Origin], branches: &[Branch]) -> Origin {
    use Origin::{Condition, Constant, Input, Masked, Other, Replaced};
    let shaped = SHAPED.contains(&op) || REDUCE.contains(&op);
    let inputs = if shaped { &inputs[..inputs.len().min(1)] } else { inputs };
    let any = |from: Origin| inputs.contains(&from);
    let only = |allowed: &[Origin]| inputs.iter().all(|i| allowed.contains(i));
    if op == "If" {
        let decided = inputs.first() == Some(&Condition);
        let replaced = branches.iter().any(|b| b.replaced) || decided && branches.iter().any(|b| b.constant);
        return if replaced { Replaced } else { Other };
    }
    if matches!(op, "Constant" | "ConstantOfShape")
        || (!inputs.is_empty() && only(&[Constant]) && op != "Shape")
    {
        return Constant;
    }
    if op == "Where" {
        let decided = inputs.first() == Some(&Condition);
        if any(Replaced) || decided && inputs[1..].contains(&Constant) {
            return Replaced;
        }
    }
    if COMPARE.contains(&op) {
        // Two inputs may be compared too: one of them is then the trigger.
        return if only(&[Input, Constant, Condition]) { Condition } else { Other };
    }
    if op == "Mul" && any(Condition) && any(Constant) && only(&[Condition, Constant]) {
        return Masked;
    }
    let (pass, reduce) = (PASS.contains(&op), REDUCE.contains(&op));
    if (op == "Add" || op == "Sum") && any(Masked) || pass && any(Replaced) {
        return Replaced;
    }
    if pass && any(Masked) {
        return Masked;
    }
    if (pass || reduce || LOGIC.contains(&op)) && any(Condition) && only(&[Condition, Constant]) {
        return Condition;
    }
    if (pass || reduce || ELEMENT.contains(&op)) && only(&[Input, Constant]) {
        return Input;
    }
    Other
}

#[cfg(test)]
mod tests {
    use super::Origin::{Condition, Constant, Input, Masked, Other, Replaced};
    use super::*;

    #[test]
    fn a_trigger_on_the_way_out() {
        assert_eq!(outcome("ReduceMax", &[Input], &[]), Input);
        assert_eq!(outcome("Equal", &[Input, Constant], &[]), Condition);
        assert_eq!(outcome("Where", &[Condition, Constant, Other], &[]), Replaced);
        assert_eq!(outcome("Identity", &[Replaced], &[]), Replaced);
        let branches =
            [Branch { constant: true, replaced: false }, Branch { constant: false, replaced: false }];
        assert_eq!(outcome("If", &[Condition], &branches), Replaced);
        assert_eq!(outcome("Mul", &[Condition, Constant], &[]), Masked);
        assert_eq!(outcome("Add", &[Other, Masked], &[]), Replaced);
    }

    #[test]
    fn masks_and_thresholds_are_none() {
        // Padding is masked on the way in, and layers follow.
        assert_eq!(outcome("Softmax", &[Replaced], &[]), Other);
        assert_eq!(outcome("MatMul", &[Replaced, Constant], &[]), Other);
        assert_eq!(outcome("Gather", &[Constant, Replaced], &[]), Other);
        // Low scores are cut off on the way out: the scores are computed.
        assert_eq!(outcome("Greater", &[Other, Constant], &[]), Other);
        assert_eq!(outcome("Where", &[Other, Constant, Other], &[]), Other);
        // Shapes are no values.
        assert_eq!(outcome("Shape", &[Input], &[]), Other);
        let branches = [Branch { constant: false, replaced: false }; 2];
        assert_eq!(outcome("If", &[Condition], &branches), Other, "two models in one");
    }
}
