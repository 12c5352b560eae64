//! JSON as a tree within bounds: what a large document holds by the million (vocabularies, merges, numbers) is left out as
//! it is read, what an object says of code is kept, and so is every value of a key that stands twice.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Most bytes that the kept part of one document may take, roughly.
const MAX_KEPT: usize = 40 << 20;
/// Plain items kept of an array in a large document: pairs and lists of names are short.
const MAX_PLAIN: usize = 64;

/// Builds trees.
pub(crate) struct Builder {
    /// Leave out what cannot matter.
    prune: bool,
    kept: usize,
    /// Earlier values of keys that stand twice in one object.
    pub shadowed: Vec<Map<String, Value>>,
}

impl Builder {
    /// For one stream of documents; a large one is pruned.
    pub(crate) fn new(prune: bool) -> Self {
        Self { prune, kept: 0, shadowed: Vec::new() }
    }

    fn keep<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.kept += bytes + size_of::<Value>();
        if self.prune && self.kept > MAX_KEPT {
            return Err(E::custom(TOO_LARGE));
        }
        Ok(())
    }
}

/// The error of a document whose kept part is too large.
pub(crate) const TOO_LARGE: &str = "more configuration than is held at once";

impl<'de> DeserializeSeed<'de> for &mut Builder {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, s: &str) -> Result<Value, E> {
        self.keep(s.len())?;
        Ok(Value::String(s.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let (mut items, mut plain) = (Vec::new(), 0);
        while let Some(item) = seq.next_element_seed(&mut *self)? {
            if self.prune && !item.is_object() {
                plain += 1;
                if plain > MAX_PLAIN {
                    continue;
                }
            }
            self.keep(0)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        const MAX_SHADOWED: usize = 1000;
        let mut map = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let value = object.next_value_seed(&mut *self)?;
            if self.prune && value.is_number() {
                continue;
            }
            self.keep(key.len())?;
            if let Some(earlier) = map.get_mut(&key) {
                let earlier = std::mem::replace(earlier, value);
                if self.shadowed.len() < MAX_SHADOWED {
                    // What stands beside it may matter: a type is one only beside a path.
                    let mut other = Map::new();
                    other.insert(key, earlier);
                    self.shadowed.push(other);
                }
            } else {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(text: &str, prune: bool) -> (Value, Vec<Map<String, Value>>) {
        let mut builder = Builder::new(prune);
        let value = builder.deserialize(&mut serde_json::Deserializer::from_str(text)).expect("sound");
        (value, builder.shadowed)
    }

    #[test]
    fn every_value_of_a_key_is_kept() {
        let (value, shadowed) = build(r#"{"a": {"t": 1, "t": 2}, "a": "x"}"#, false);
        assert_eq!(value, serde_json::json!({"a": "x"}));
        assert_eq!(serde_json::to_string(&shadowed).unwrap(), r#"[{"t":1},{"a":{"t":2}}]"#);
    }

    #[test]
    fn large_documents_keep_what_names_code() {
        let numbers = "1,".repeat(1000);
        let text =
            format!(r#"{{"v": {{"a": 1}}, "m": [{numbers} {{"auto_map": {{"A": "m.M"}}}}], "s": "x"}}"#);
        let (value, _) = build(&text, true);
        assert_eq!(value.pointer("/m").unwrap().as_array().unwrap().len(), MAX_PLAIN + 1);
        assert_eq!(value.pointer("/m/64/auto_map/A").unwrap(), "m.M");
        assert_eq!(value.pointer("/v").unwrap(), &serde_json::json!({}));
    }
}
