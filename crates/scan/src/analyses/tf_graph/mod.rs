//! TensorFlow graphs, whatever they are written in: nodes, functions, and what surrounds them. What a graph does is
//! judged by [`judge`], operator by operator.

mod judge;
mod origin;

pub(crate) use judge::judge;

/// Texts kept per constant, and bytes kept of each.
pub(crate) const MAX_TEXTS: usize = 16;
/// Bytes kept of each text.
pub(crate) const MAX_TEXT: usize = 1024;

/// A node. Parsers merge what is given twice; here everything that was given is kept.
#[derive(Debug, Default, Clone)]
pub(crate) struct Node {
    pub name: String,
    /// One operator, or several of which parsers take one.
    pub ops: Vec<String>,
    pub inputs: Vec<String>,
    /// Attributes with texts, and the functions that attributes name.
    pub texts: Vec<(String, Vec<u8>)>,
    pub functions: Vec<String>,
    /// The texts of a constant's value.
    pub values: Vec<Vec<u8>>,
    /// There are more than were kept.
    pub more_values: bool,
    /// How many of them are serialized graphs, which are judged on their own.
    pub graphs: usize,
    /// Where it stands in the file.
    pub at: u64,
}

impl Node {
    /// Bytes held, roughly.
    pub(crate) fn held(&self) -> u64 {
        let texts = |all: &[String]| all.iter().map(|s| s.len() + 32).sum::<usize>();
        let pairs: usize = self.texts.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
        let values: usize = self.values.iter().map(|v| v.len() + 32).sum();
        (192 + self.name.len()
            + texts(&self.ops)
            + texts(&self.inputs)
            + texts(&self.functions)
            + pairs
            + values) as u64
    }

    fn is(&self, op: &str) -> bool {
        self.ops.iter().any(|o| o == op)
    }
}

/// A function of the library.
#[derive(Debug, Default, Clone)]
pub(crate) struct Function {
    pub name: String,
    pub arguments: Vec<String>,
    pub nodes: Vec<Node>,
    /// Texts and functions of its own attributes.
    pub functions: Vec<String>,
}

/// A graph with its library, and what a meta graph says of it.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    pub functions: Vec<Function>,
    /// Where it stands, for messages: `meta graph 1`. Empty if there is but one.
    pub place: String,
    /// Tensors that hold the saver's file name.
    pub saver_names: Vec<String>,
    /// What the saver runs to restore: at loading.
    pub restores: Vec<String>,
    /// Outputs of signatures and initialisers: what serving and loading run.
    pub roots: Vec<String>,
    /// Tensors that hold the path of an asset.
    pub assets: Vec<String>,
    /// Function and index of the arguments that a loader binds to the path of an asset.
    pub bound_assets: Vec<(String, usize)>,
    /// Bytes held.
    pub held: u64,
}
