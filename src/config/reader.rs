//! Asks a table for its keys, one by one, and notes every mistake instead of stopping at the first.
//!
//! A key is known because it was asked for: [`Section::finish`] reports the others with the nearest known one. Knows types,
//! ranges and files, and no key by name.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, printable};
use super::files::{self, FileKind, FileUse};
use super::source::Sources;
use super::tree::{Node, Spot, Table, Value, join};

/// Most servers in a whole configuration.
pub const SERVERS_MAX: usize = 10_000;
/// Most mistakes, and most warnings, that are told at once.
const TOLD_MAX: usize = 1000;
/// Longest path of a file, in bytes (Linux PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

/// What was found on the way: mistakes, warnings, files, keys.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) sources: Sources,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
    files: RefCell<Vec<FileUse>>,
    known: RefCell<BTreeSet<String>>,
    broken: BTreeSet<Spot>,
    broken_header: bool,
    refused: Cell<usize>,
    empty: Table,
}

impl Report {
    pub(super) fn new(sources: Sources, errors: Vec<Diagnostic>, broken: Vec<Spot>, broken_header: bool) -> Self {
        Self {
            sources,
            refused: Cell::new(errors.len()),
            errors: RefCell::new(errors),
            warnings: RefCell::default(),
            files: RefCell::default(),
            known: RefCell::default(),
            broken: broken.into_iter().collect(),
            broken_header,
            empty: Table::new(Spot::File { file: 0, line: 1 }),
        }
    }

    /// Notes a mistake, unless the line's syntax is wrong already.
    pub(super) fn refuse(&self, spot: Spot, key: &str, reason: impl Into<String>) {
        if self.broken.contains(&spot) {
            return;
        }
        self.refused.set(self.refused.get() + 1);
        push(&self.errors, Diagnostic { place: self.sources.place(spot), key: printable(key), reason: reason.into() });
    }

    /// Notes something that is not there, unless a broken line may be what is missing.
    pub(super) fn missing(&self, spot: Spot, key: &str, reason: &str) {
        if self.broken.is_empty() {
            self.refuse(spot, key, reason);
        }
    }

    /// Notes something that will hurt.
    pub(super) fn warn(&self, spot: Spot, key: &str, reason: impl Into<String>) {
        push(
            &self.warnings,
            Diagnostic { place: self.sources.place(spot), key: printable(key), reason: reason.into() },
        );
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.get() > 0
    }

    /// Mistakes and warnings in order of place, and the files that are named.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, Vec<Diagnostic>, Vec<FileUse>, BTreeSet<String>) {
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        for told in [&mut errors, &mut warnings] {
            told.sort();
            told.dedup();
        }
        if let Some(last) = errors.last().filter(|_| self.refused.get() > TOLD_MAX).cloned() {
            let reason = format!("and {} more mistakes", self.refused.get() - TOLD_MAX);
            errors.push(Diagnostic { reason, ..last });
        }
        (errors, warnings, self.files.into_inner(), self.known.into_inner())
    }
}

fn push(list: &RefCell<Vec<Diagnostic>>, diagnostic: Diagnostic) {
    let mut list = list.borrow_mut();
    if list.len() < TOLD_MAX {
        list.push(diagnostic);
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Section<'t> {
    table: &'t Table,
    /// Its name with dots, as headers write it; the same for all elements of a list.
    path: String,
    /// Where it begins; for one that is not there, where its parent does.
    spot: Spot,
    asked: RefCell<Vec<&'static str>>,
    report: &'t Report,
}

impl<'t> Section<'t> {
    pub(super) fn root(table: &'t Table, report: &'t Report) -> Self {
        Self { table, path: String::new(), spot: table.spot, asked: RefCell::default(), report }
    }

    fn below(&self, table: &'t Table, key: &str, spot: Spot) -> Self {
        Self { table, path: self.key(key), spot, asked: RefCell::default(), report: self.report }
    }

    /// The full name of a key of this table.
    pub(super) fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Where a key stands, or the table where it does not.
    pub(super) fn spot_of(&self, key: &str) -> Spot {
        self.table.entries.get(key).map_or(self.spot, |(spot, _)| *spot)
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// A place for the middle of a sentence.
    pub(super) fn place(&self, spot: Spot) -> String {
        self.report.sources.place(spot).to_string()
    }

    /// Whether the key holds a list of nothing.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.table.entries.get(key).is_some_and(|(_, node)| matches!(&node.value, Value::List(list) if list.is_empty()))
    }

    pub(super) fn refuse(&self, key: &str, reason: impl Into<String>) {
        self.report.refuse(self.spot_of(key), &self.key(key), reason);
    }

    pub(super) fn warn(&self, key: &str, reason: impl Into<String>) {
        self.report.warn(self.spot_of(key), &self.key(key), reason);
    }

    fn ask(&self, key: &'static str) -> Option<&'t Node> {
        self.asked.borrow_mut().push(key);
        self.report.known.borrow_mut().insert(self.key(key));
        self.table.entries.get(key).map(|(_, node)| node)
    }

    /// `include` was followed and taken away when the files were read; it is a known key all the same.
    pub(super) fn ask_for_include(&self) {
        self.ask("include");
    }

    /// A value that may be left out; a wrong one is noted and counts as left out.
    pub(super) fn optional<T>(&self, key: &'static str, parse: impl FnOnce(&Node) -> Result<T, String>) -> Option<T> {
        let node = self.ask(key)?;
        parse(node).map_err(|reason| self.report.refuse(node.spot, &self.key(key), reason)).ok()
    }

    /// A value with a default.
    pub(super) fn or<T>(&self, key: &'static str, default: T, parse: impl FnOnce(&Node) -> Result<T, String>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// A value that must be there.
    pub(super) fn required<T>(&self, key: &'static str, parse: impl FnOnce(&Node) -> Result<T, String>) -> Option<T> {
        if !self.has(key) {
            self.missing(key, "is missing");
        }
        self.optional(key, parse)
    }

    /// Notes that something is missing, unless a broken line may be what is missing.
    pub(super) fn missing(&self, key: &str, reason: &str) {
        self.report.missing(self.spot, &self.key(key), reason);
    }

    /// A list of values, each judged by itself.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        elements_max: usize,
        parse: impl Fn(&Node) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let node = self.ask(key)?;
        let Value::List(elements) = &node.value else {
            self.report.refuse(node.spot, &self.key(key), format!("must be a list, not {}", node.value.kind()));
            return None;
        };
        if elements.len() > elements_max {
            self.report.refuse(node.spot, &self.key(key), format!("has more than {elements_max} elements"));
            return None;
        }
        let judged = elements.iter().filter_map(|element| {
            parse(element).map_err(|reason| self.report.refuse(element.spot, &self.key(key), reason)).ok()
        });
        Some(judged.collect())
    }

    /// A table whose keys are free, each entry judged by itself.
    pub(super) fn map<T>(
        &self,
        key: &'static str,
        entries_max: usize,
        parse: impl Fn(&str, &Node) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(node) = self.ask(key) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.report.refuse(node.spot, &self.key(key), format!("must be a table, not {}", node.value.kind()));
            return Vec::new();
        };
        if table.entries.len() > entries_max {
            self.report.refuse(node.spot, &self.key(key), format!("has more than {entries_max} entries"));
            return Vec::new();
        }
        let judged = table.entries.iter().filter_map(|(name, (spot, node))| {
            parse(name, node).map_err(|reason| self.report.refuse(*spot, &join(&self.key(key), name), reason)).ok()
        });
        judged.collect()
    }

    /// A table below this one, where it is there.
    pub(super) fn table(&self, key: &'static str) -> Option<Section<'t>> {
        let node = self.ask(key)?;
        match &node.value {
            Value::Table(table) => Some(self.below(table, key, self.spot_of(key))),
            other => {
                let reason = format!("must be a table, not {}", other.kind());
                self.report.refuse(node.spot, &self.key(key), reason);
                None
            }
        }
    }

    /// A table below this one, or an empty one in its place, so that its defaults are read in the same way.
    pub(super) fn table_or_empty(&self, key: &'static str) -> Section<'t> {
        self.table(key).unwrap_or_else(|| self.below(&self.report.empty, key, self.spot))
    }

    /// A list of tables; empty when it is not there.
    pub(super) fn tables(&self, key: &'static str, elements_max: usize) -> Vec<Section<'t>> {
        let Some(node) = self.ask(key) else { return Vec::new() };
        let Value::List(elements) = &node.value else {
            let reason = format!("must be a list of tables ([[{}]]), not {}", self.key(key), node.value.kind());
            self.report.refuse(node.spot, &self.key(key), reason);
            return Vec::new();
        };
        if elements.len() > elements_max {
            let beyond = elements.get(elements_max).map_or(node.spot, |element| element.spot);
            self.report.refuse(beyond, &self.key(key), format!("is there more than {elements_max} times"));
            return Vec::new();
        }
        let sections = elements.iter().filter_map(|element| match &element.value {
            Value::Table(table) => Some(self.below(table, key, element.spot)),
            other => {
                self.report.refuse(element.spot, &self.key(key), format!("must be a table, not {}", other.kind()));
                None
            }
        });
        sections.collect()
    }

    /// The path of something on disk, relative to the file that names it.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.optional(key, |node| {
            let text = text(node)?;
            if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains('\0') {
                return Err("is no path".to_owned());
            }
            let path = self.report.sources.directory(node.spot).join(text);
            // Absolute, so that one file means the same to a director and to whoever checks it from another directory.
            Ok(std::path::absolute(&path).unwrap_or(path))
        })
    }

    /// A file that must be there and readable, and, when it is a secret, not by everyone.
    pub(super) fn file(&self, key: &'static str, kind: FileKind) -> Option<PathBuf> {
        let path = self.path(key)?;
        let spot = self.spot_of(key);
        let named = FileUse { path: path.clone(), kind, place: self.report.sources.place(spot), key: self.key(key) };
        if let Err(reason) = files::look(&named) {
            self.report.refuse(spot, &self.key(key), reason);
        }
        self.report.files.borrow_mut().push(named);
        Some(path)
    }

    /// Like [`Self::file`], and it must be named.
    pub(super) fn required_file(&self, key: &'static str, kind: FileKind) -> Option<PathBuf> {
        if !self.has(key) {
            self.missing(key, "is missing: it names a file");
        }
        self.file(key, kind)
    }

    /// Reports every key that nobody asked for. Call it last.
    pub(super) fn finish(&self) {
        if self.report.broken_header {
            return;
        }
        let asked = self.asked.borrow();
        for (key, (spot, _)) in &self.table.entries {
            if asked.iter().any(|known| known == key) {
                continue;
            }
            let reason = match nearest(key, asked.iter().copied()) {
                Some(near) => format!("unknown key (nearest: {near})"),
                None if asked.is_empty() => "unknown key".to_owned(),
                None => format!("unknown key (known: {})", known(&asked)),
            };
            self.report.refuse(*spot, &self.key(key), reason);
        }
    }
}

fn known(asked: &[&'static str]) -> String {
    asked.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// Names that are suggested for one that does not exist.
const NEAREST_MAX: usize = 3;

/// The word that was probably meant.
pub(super) fn nearest<'w>(given: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    nearest_few(given, words, 1).pop()
}

/// What is wrong, and what was probably meant.
#[must_use]
pub fn or_nearest<'w>(wrong: &str, given: &str, words: impl Iterator<Item = &'w str>) -> String {
    match nearest_few(given, words, NEAREST_MAX).join(", ") {
        near if near.is_empty() => wrong.to_owned(),
        near => format!("{wrong} (nearest: {near})"),
    }
}

/// The words that were probably meant, the nearest first, at most so many.
fn nearest_few<'w>(given: &str, words: impl Iterator<Item = &'w str>, most: usize) -> Vec<&'w str> {
    let given: String = given.chars().take(64).collect::<String>().to_lowercase();
    let mut near: Vec<_> = words
        .map(|word| (strsim::damerau_levenshtein(&given, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(2) && *distance < word.len())
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, word)| word).take(most).collect()
}

/// Text. A variable is text whatever it reads as.
pub(super) fn text(node: &Node) -> Result<&str, String> {
    match (&node.value, &node.raw) {
        (Value::Text(text), _) => Ok(text),
        (Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date, Some(raw)) => Ok(raw),
        (other, _) => Err(format!("must be a string, not {}", other.kind())),
    }
}

/// True or false.
pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match node.value {
        Value::Bool(value) => Ok(value),
        ref other => Err(format!("must be true or false, not {}", other.kind())),
    }
}

/// A whole number in a range.
pub(super) fn integer(range: std::ops::RangeInclusive<u32>) -> impl Fn(&Node) -> Result<u32, String> {
    move |node| {
        let (low, high) = (range.start(), range.end());
        match node.value {
            Value::Integer(number) => number
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| range.contains(number))
                .ok_or_else(|| format!("must be {low} to {high}")),
            ref other => Err(format!("must be a whole number ({low} to {high}), not {}", other.kind())),
        }
    }
}

/// A value that its own type parses from text.
pub(super) fn parsed<T, E: std::fmt::Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&Node) -> Result<T, String> {
    move |node| parse(text(node)?).map_err(|error| error.to_string())
}

/// One of several words.
pub(super) fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Result<T, String> {
    move |node| {
        let given = text(node)?;
        words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| no_such_word(given, words))
    }
}

/// "must be one of ..." with the nearest.
pub(super) fn no_such_word<T>(given: &str, words: &[(&'static str, T)]) -> String {
    let all = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    match nearest(given, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("must be one of {all} (nearest: {near:?})"),
        None => format!("must be one of {all}"),
    }
}
