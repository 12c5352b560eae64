//! Rows to bytes: sorted, compact, without pointers.
//!
//! ```text
//! header   eight sections, each: u32 offset, u32 number of records
//! pool     UTF-8 text without separators, every distinct string once
//! modules  [text][u32 first row], sorted by text, and one more that ends the last
//! rows     [text][u16 kind], sorted by text inside a module
//! kinds    [u8 uses][u8 args][u8 effect][u8 part][u8 flags][u8 zero][u16 versions], every distinct one once
//! versions [text]
//! known, words, fragments  [text], sorted
//! ```
//! A text is a u24 offset into the pool and a u8 length; all numbers are little-endian. `effect` is 0 for none known,
//! 1 for exempt, else 2 + its code; `part` is 0 for none, else 1 + its code. The reader is `catalogue/tables.rs`.

use super::compile::{Row, Tables};
use super::vocabulary::flag;
use std::collections::{BTreeMap, BTreeSet};

type Result<T> = std::result::Result<T, String>;

/// The table.
pub fn encode(tables: &Tables) -> Result<Vec<u8>> {
    let pool = Pool::new(tables)?;
    let mut kinds = Distinct::default();
    let mut versions = Distinct::default();
    versions.index(String::new())?;
    let (mut modules, mut rows) = (Vec::new(), Vec::new());
    let mut count = 0u32;
    for (module, names) in &tables.rows {
        modules.extend(pool.text(module)?);
        modules.extend(count.to_le_bytes());
        for (name, row) in names {
            rows.extend(pool.text(name)?);
            let kind = kind(row, &mut versions)?;
            rows.extend(kinds.index(kind)?.to_le_bytes());
            count = count.checked_add(1).ok_or("too many rows")?;
        }
    }
    modules.extend(pool.text("")?);
    modules.extend(count.to_le_bytes());

    let texts = |list: &mut dyn Iterator<Item = &String>| -> Result<Vec<u8>> {
        let texts: Vec<[u8; 4]> = list.map(|t| pool.text(t)).collect::<Result<_>>()?;
        Ok(texts.concat())
    };
    let sections = [
        (pool.bytes.len(), pool.bytes.clone()),
        (tables.rows.len(), modules),
        (count as usize, rows),
        (kinds.items.len(), kinds.items.concat()),
        (versions.items.len(), texts(&mut versions.items.iter())?),
        (tables.known.len(), texts(&mut tables.known.iter())?),
        (tables.words.len(), texts(&mut tables.words.iter())?),
        (tables.fragments.len(), texts(&mut tables.fragments.iter())?),
    ];
    let mut header = Vec::new();
    let mut body = Vec::new();
    for (count, bytes) in sections {
        let offset = sections_start() + body.len();
        header.extend(u32::try_from(offset).map_err(|_| "the table is too large")?.to_le_bytes());
        header.extend(u32::try_from(count).map_err(|_| "the table is too large")?.to_le_bytes());
        body.extend(bytes);
    }
    header.extend(body);
    Ok(header)
}

const fn sections_start() -> usize {
    8 * 8
}

fn kind(row: &Row, versions: &mut Distinct<String>) -> Result<[u8; 8]> {
    let mut flags = 0;
    let (mut uses, mut args, mut version) = (0, 0, 0u16);
    if let Some(h) = &row.harmless {
        flags |= flag::HARMLESS | if h.derived { flag::HARMLESS_DERIVED } else { 0 };
        uses = h.uses;
        args = h.args as u8;
        version = versions.index(h.versions.clone())?;
    }
    let effect = match row.danger {
        None => 0,
        Some(danger) => {
            flags |= if danger.derived { flag::DANGER_DERIVED } else { 0 };
            danger.effect.map_or(1, |code| 2 + code)
        }
    };
    let part = row.part.map_or(0, |p| 1 + p as u8);
    let [low, high] = version.to_le_bytes();
    Ok([uses, args, effect, part, flags, 0, low, high])
}

/// Numbers distinct items in the order of their first use.
struct Distinct<T> {
    items: Vec<T>,
    index: BTreeMap<T, u16>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { items: Vec::new(), index: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Distinct<T> {
    fn index(&mut self, item: T) -> Result<u16> {
        if let Some(&at) = self.index.get(&item) {
            return Ok(at);
        }
        let at = u16::try_from(self.items.len()).map_err(|_| "too many kinds of rows")?;
        self.items.push(item.clone());
        self.index.insert(item, at);
        Ok(at)
    }
}

/// All strings, laid out so that a prefix of another string takes no room.
struct Pool {
    bytes: Vec<u8>,
    at: BTreeMap<String, u32>,
}

impl Pool {
    fn new(tables: &Tables) -> Result<Self> {
        let mut all: BTreeSet<&str> = BTreeSet::new();
        for (module, names) in &tables.rows {
            all.insert(module);
            for (name, row) in names {
                all.insert(name);
                all.extend(row.harmless.as_ref().map(|h| h.versions.as_str()));
            }
        }
        let lists = [&tables.known, &tables.words, &tables.fragments];
        all.extend(lists.into_iter().flatten().map(String::as_str));
        all.insert("");
        let mut pool = Self { bytes: Vec::new(), at: BTreeMap::new() };
        let mut last: Option<(&str, u32)> = None;
        // Backwards, whatever begins with a string comes right before it.
        for text in all.into_iter().rev() {
            if text.len() > usize::from(u8::MAX) {
                return Err(format!("longer than 255 bytes: {text:?}"));
            }
            let at = match last {
                Some((longer, at)) if longer.starts_with(text) => at,
                _ => {
                    let at = u32::try_from(pool.bytes.len()).ok().filter(|at| at >> 24 == 0);
                    pool.bytes.extend(text.bytes());
                    at.ok_or("more than 16 MB of names")?
                }
            };
            last = Some((text, at));
            pool.at.insert(text.into(), at);
        }
        Ok(pool)
    }

    fn text(&self, text: &str) -> Result<[u8; 4]> {
        let at = self.at.get(text).ok_or_else(|| format!("{text:?} is not in the pool"))?;
        let [a, b, c, _] = at.to_le_bytes();
        let len = u8::try_from(text.len()).map_err(|_| format!("longer than 255 bytes: {text:?}"))?;
        Ok([a, b, c, len])
    }
}
