//! JSON to events, without holding the document.

use super::trees::Trees;
use crate::cx::{Cx, Stop};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::BufReader;
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Reads the first document of `blob`; what follows it is a matter of the reading as text.
pub(super) fn read(blob: &Blob, trees: &mut Trees, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let skipped = if blob.head(3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
    let body = blob.sub(skipped..blob.len());
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
    let done = Value { trees, cx, key: None }.deserialize(&mut json);
    match done {
        Ok(()) => Ok(()),
        Err(e) if e.to_string().contains("recursion limit") => {
            let detail = "JSON nested deeper than readers go".to_string();
            cx.fact(None, FactKind::Resource { code: "json-too-deep".into(), detail });
            Ok(())
        }
        Err(e) => {
            let detail = e.to_string();
            cx.structure(0, "xgboost-malformed", detail.clone());
            Err(Stop::malformed(0, detail))
        }
    }
}

struct Value<'a, 'b, 'k> {
    trees: &'a mut Trees,
    cx: &'a mut Cx<'b>,
    key: Option<&'k str>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, n: i64) -> Result<(), E> {
        self.trees.number(self.key, n);
        Ok(())
    }

    fn visit_u64<E>(self, n: u64) -> Result<(), E> {
        self.trees.number(self.key, i64::try_from(n).unwrap_or(i64::MAX));
        Ok(())
    }

    fn visit_f64<E>(self, n: f64) -> Result<(), E> {
        if self.trees.wants(self.key) {
            // An index that is no whole number is none.
            let whole = n.fract() == 0.0 && n.abs() < 1e15;
            self.trees.number(self.key, if whole { n as i64 } else { i64::MAX });
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.trees.text(self.key, text, 0, self.cx);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let wanted = self.trees.wants(self.key);
        self.trees.open(self.key);
        let mut n = 0u64;
        while seq
            .next_element_seed(Value {
                trees: self.trees,
                cx: self.cx,
                key: if wanted { self.key } else { None },
            })?
            .is_some()
        {
            n += 1;
            if n.is_multiple_of(4096) && self.cx.budget.memory(self.trees.held()).is_err() {
                return Err(serde::de::Error::custom("a tree that does not fit in memory"));
            }
        }
        self.trees.close();
        self.trees.length(self.key, n);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.trees.open(self.key);
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Value { trees: self.trees, cx: self.cx, key: Some(&key) })?;
        }
        self.trees.close();
        Ok(())
    }
}
