//! Values with the place that each comes from, merged from several files and the environment.
//!
//! Owns merging. Knows no key of the configuration and no TOML grammar.

use std::collections::BTreeMap;

/// Where a value comes from, small enough to stand at every value: an index into the sources and a line, or a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// Line `line` (from 1) of the file with index `file`.
    File { file: u16, line: u32 },
    /// The variable with this index.
    Variable(u16),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) value: Value,
    /// The text of a variable, for keys that want text though it reads as a number.
    pub(super) raw: Option<String>,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// `None` is a number beyond 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    Table(Table),
}

/// Entries by key, each with the place of its key.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) spot: Spot,
    pub(super) entries: BTreeMap<String, (Spot, Node)>,
}

impl Table {
    pub(super) fn new(spot: Spot) -> Self {
        Self { spot, entries: BTreeMap::new() }
    }
}

impl Value {
    /// What it is, for "must be X, not Y".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Two definitions of one key that cannot both stand.
#[derive(Debug)]
pub(super) struct Clash {
    pub(super) key: String,
    pub(super) first: Spot,
    pub(super) second: Spot,
}

/// Adds the tables of a further file: tables are joined, lists of tables appended, anything else may be said only once.
pub(super) fn merge(into: &mut Table, from: Table, path: &str, clashes: &mut Vec<Clash>) {
    for (key, (key_spot, node)) in from.entries {
        let full = join(path, &key);
        let Some((first, present)) = into.entries.get_mut(&key) else {
            into.entries.insert(key, (key_spot, node));
            continue;
        };
        match (&mut present.value, node.value) {
            (Value::Table(into), Value::Table(from)) => merge(into, from, &full, clashes),
            (Value::List(into), Value::List(from)) if are_tables(into) && are_tables(&from) => into.extend(from),
            _ => clashes.push(Clash { key: full, first: *first, second: key_spot }),
        }
    }
}

fn are_tables(list: &[Node]) -> bool {
    list.iter().all(|node| matches!(node.value, Value::Table(_)))
}

/// Why an override has nowhere to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OverrideError {
    /// The path leads through a list: its elements have no name here.
    List(String),
    /// The path leads through a plain value.
    NoTable(String),
}

/// Sets the value at `path`, making tables on the way. A table given as a value is joined with what is there.
pub(super) fn set(root: &mut Table, path: &[String], node: Node) -> Result<(), OverrideError> {
    let Some((last, tables)) = path.split_last() else { return Ok(()) };
    let spot = node.spot;
    let mut table = root;
    let mut walked = String::new();
    for key in tables {
        walked = join(&walked, key);
        let made = || (spot, Node { spot, value: Value::Table(Table::new(spot)), raw: None });
        table = match &mut table.entries.entry(key.clone()).or_insert_with(made).1.value {
            Value::Table(table) => table,
            Value::List(_) => return Err(OverrideError::List(walked)),
            _ => return Err(OverrideError::NoTable(walked)),
        };
    }
    match (table.entries.get_mut(last), node.value) {
        (Some((_, Node { value: Value::Table(present), .. })), Value::Table(given)) => overlay(present, given),
        (_, value) => {
            table.entries.insert(last.clone(), (spot, Node { spot, value, raw: node.raw }));
        }
    }
    Ok(())
}

fn overlay(present: &mut Table, given: Table) {
    for (key, (spot, node)) in given.entries {
        match (present.entries.get_mut(&key), node.value) {
            (Some((_, Node { value: Value::Table(present), .. })), Value::Table(given)) => overlay(present, given),
            (_, value) => {
                present.entries.insert(key, (spot, Node { spot, value, raw: node.raw }));
            }
        }
    }
}

/// `path.key`, or `key` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
