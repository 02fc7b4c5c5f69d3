//! Reading: files of bounded size, TOML with the line of each value, `include`, and `MAITRED__` variables.
//!
//! Owns where text comes from. Knows of the configuration's keys only `include` and the name of the list that may be long.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, printable};
use super::reader::SERVERS_MAX;
use super::text::{Lines, matching, text_of};
use super::tree::{self, Node, OverrideError, Spot, Table, Value};

/// Largest file, in bytes: some 60,000 servers, more than may be configured.
pub const FILE_BYTES_MAX: u64 = 8 << 20;
/// Most files that `include` may bring in.
pub const INCLUDES_MAX: usize = 256;
/// What the names of overriding variables begin with.
pub const VARIABLE_PREFIX: &str = "MAITRED__";
/// Most overriding variables, and the longest value of one in bytes.
const VARIABLES_MAX: usize = 256;
const VARIABLE_BYTES_MAX: usize = 4096;
/// What the parser says of a value that has no end.
const UNCLOSED: [&str; 2] = ["unclosed array", "unclosed inline table"];
/// Most syntax errors of one file that are told.
const SYNTAX_ERRORS_MAX: usize = 100;

/// The overriding variables of this process. Text that is no Unicode is kept readable and refused later where it matters.
#[must_use]
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
        .collect()
}

/// The files and variables that spots point into.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) files: Vec<PathBuf>,
    /// Directories that `include` looks into, whether anything is there yet or not.
    pub(super) included: Vec<PathBuf>,
    variables: Vec<String>,
}

impl Sources {
    pub(super) fn place(&self, spot: Spot) -> Place {
        match spot {
            Spot::File { file, line } => {
                Place::File { path: self.files.get(usize::from(file)).cloned().unwrap_or_default(), line }
            }
            Spot::Variable(index) => {
                Place::Environment { variable: self.variables.get(usize::from(index)).cloned().unwrap_or_default() }
            }
        }
    }

    /// What a relative path at `spot` is relative to: the directory of its file; of the main file for a variable.
    pub(super) fn directory(&self, spot: Spot) -> &Path {
        let index = match spot {
            Spot::File { file, .. } => usize::from(file),
            Spot::Variable(_) => 0,
        };
        self.files.get(index).and_then(|file| file.parent()).unwrap_or(Path::new(""))
    }
}

/// All that was read, merged.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) root: Table,
    pub(super) sources: Sources,
    pub(super) errors: Vec<Diagnostic>,
    /// Lines whose syntax is wrong: what was made of them must not be judged again.
    pub(super) broken: Vec<Spot>,
    /// A broken header moves keys into another table: unknown keys say nothing then.
    pub(super) broken_header: bool,
    /// A file that could not be read at all: nothing else can be said.
    pub(super) unreadable: bool,
}

/// Reads the file, what it includes, and lays the variables over it.
pub(super) fn read(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Gathered {
    let mut gathered = Gathered {
        root: Table::new(Spot::File { file: 0, line: 1 }),
        sources: Sources::default(),
        errors: Vec::new(),
        broken: Vec::new(),
        broken_header: false,
        unreadable: false,
    };
    if let Some(root) = gathered.file(path, None) {
        gathered.root = root;
        gathered.include();
    }
    gathered.environment(environment);
    gathered
}

impl Gathered {
    fn refuse(&mut self, spot: Spot, key: &str, reason: impl Into<String>) {
        self.errors.push(Diagnostic { place: self.sources.place(spot), key: key.to_owned(), reason: reason.into() });
    }

    /// One file as a table; `None` when nothing can be made of it.
    fn file(&mut self, path: &Path, named_at: Option<Spot>) -> Option<Table> {
        let file = u16::try_from(self.sources.files.len()).ok()?;
        self.sources.files.push(path.to_owned());
        let text = match text_of(path) {
            Ok(text) => text,
            Err(reason) => {
                let spot = named_at.unwrap_or(Spot::File { file, line: 1 });
                let key = if named_at.is_some() { "include" } else { "file" };
                let reason = format!("{}: {reason}", printable(&path.to_string_lossy()));
                self.refuse(spot, key, reason);
                self.unreadable = true;
                return None;
            }
        };
        let lines = Lines::of(&text);
        if let Some(line) = lines.first_server_beyond(SERVERS_MAX) {
            self.refuse(Spot::File { file, line }, "pool.server", format!("more than {SERVERS_MAX} servers"));
            self.unreadable = true;
            return None;
        }
        let size = text.len() as u64;
        if size > FILE_BYTES_MAX {
            self.refuse(Spot::File { file, line: 1 }, "file", format!("is larger than {} MiB", FILE_BYTES_MAX >> 20));
            self.unreadable = true;
            return None;
        }
        let (table, mut errors) = DeTable::parse_recoverable(&text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        // What is not closed swallows the rest of the file, and nothing that is said of the rest is true.
        let swallowed = errors.iter().any(|error| UNCLOSED.iter().any(|word| error.message().contains(word)));
        for error in errors.iter().take(if swallowed { 1 } else { SYNTAX_ERRORS_MAX }) {
            let start = error.span().map_or(0, |span| span.start);
            let opened = if swallowed { opening(table.get_ref(), start) } else { None };
            let line = lines.line(opened.unwrap_or(start));
            let spot = Spot::File { file, line };
            if self.broken.contains(&spot) {
                continue;
            }
            let (key, header) = lines.key_at(line);
            self.broken.push(spot);
            self.broken_header |= header && !error.message().contains("duplicate key");
            let reason = if opened.is_some() { "is not closed".to_owned() } else { printable(error.message()) };
            self.refuse(spot, &key, reason);
        }
        if swallowed {
            self.unreadable = true;
            return None;
        }
        let reader = Converter { file, lines: &lines };
        let spot = reader.spot(table.span().start);
        let mut root = reader.table(table.into_inner(), spot);
        root.spot = Spot::File { file, line: 1 };
        Some(root)
    }

    /// Merges the files that `include` names. One level: an included file includes nothing.
    fn include(&mut self) {
        let Some((_, node)) = self.root.entries.remove("include") else { return };
        // What a broken line left over is no pattern: it may be any text that follows.
        if self.broken.contains(&node.spot) {
            return;
        }
        let Value::List(patterns) = node.value else {
            let reason = format!("must be a list of file patterns, not {}", node.value.kind());
            return self.refuse(node.spot, "include", reason);
        };
        for pattern in patterns {
            let Value::Text(text) = &pattern.value else {
                let reason = format!("must be a file pattern, not {}", pattern.value.kind());
                self.refuse(pattern.spot, "include", reason);
                continue;
            };
            let pattern_path = self.sources.directory(pattern.spot).join(text);
            self.sources.included.extend(pattern_path.parent().map(Path::to_owned));
            match matching(&pattern_path) {
                Ok(paths) => paths.iter().for_each(|path| self.include_file(path, pattern.spot)),
                Err(reason) => self.refuse(pattern.spot, "include", reason),
            }
        }
    }

    fn include_file(&mut self, path: &Path, named_at: Spot) {
        if self.sources.files.len() > INCLUDES_MAX {
            if self.sources.files.len() == INCLUDES_MAX + 1 {
                self.refuse(named_at, "include", format!("brings in more than {INCLUDES_MAX} files"));
            }
            return;
        }
        if self.sources.files.iter().any(|known| known == path) {
            return self.refuse(named_at, "include", format!("brings in {} twice", printable(&path.to_string_lossy())));
        }
        let Some(mut table) = self.file(path, Some(named_at)) else { return };
        if let Some((spot, _)) = table.entries.remove("include") {
            self.refuse(spot, "include", "an included file cannot include others");
        }
        let mut clashes = Vec::new();
        tree::merge(&mut self.root, table, "", &mut clashes);
        for clash in clashes {
            let first = self.sources.place(clash.first);
            self.refuse(clash.second, &printable(&clash.key), format!("is already set at {first}"));
        }
    }

    fn environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .take(VARIABLES_MAX + 1)
            .collect();
        // Sorted, so that what is laid over what does not depend on the order of the environment.
        variables.sort();
        for (index, (name, value)) in variables.into_iter().enumerate() {
            self.sources.variables.push(name.clone());
            let spot = Spot::Variable(u16::try_from(index).unwrap_or(u16::MAX));
            let path: Vec<String> = name[VARIABLE_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
            let key = printable(&path.join("."));
            if index >= VARIABLES_MAX {
                self.refuse(spot, &key, format!("more than {VARIABLES_MAX} variables begin with {VARIABLE_PREFIX}"));
            } else if path.iter().any(String::is_empty) || path.len() > 8 {
                self.refuse(spot, &key, "names no key: write MAITRED__TABLE__KEY");
            } else if value.len() > VARIABLE_BYTES_MAX {
                self.refuse(spot, &key, format!("is longer than {VARIABLE_BYTES_MAX} bytes"));
            } else if path[0] == "include" {
                self.refuse(spot, &key, "can only be set in the file");
            } else {
                let refused = tree::set(&mut self.root, &path, variable_value(value, spot));
                match refused {
                    Ok(()) => {}
                    Err(OverrideError::List(list)) => {
                        let reason = format!("cannot be set by a variable: {} is a list of tables", printable(&list));
                        self.refuse(spot, &key, reason);
                    }
                    Err(OverrideError::NoTable(value)) => {
                        self.refuse(spot, &key, format!("names no key: {} is no table", printable(&value)));
                    }
                }
            }
        }
    }
}

/// A variable's text as a TOML value where it is one, else as text.
fn variable_value(text: String, spot: Spot) -> Node {
    match DeValue::parse(&text) {
        Ok(parsed) => {
            let lines = Lines::of("");
            let mut node = Converter { file: 0, lines: &lines }.node(parsed);
            respot(&mut node, spot);
            node.raw = Some(text);
            node
        }
        Err(_) => Node { spot, value: Value::Text(text.clone()), raw: Some(text) },
    }
}

fn respot(node: &mut Node, spot: Spot) {
    node.spot = spot;
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|node| respot(node, spot)),
        Value::Table(table) => {
            table.spot = spot;
            table.entries.values_mut().for_each(|(key_spot, node)| {
                *key_spot = spot;
                respot(node, spot);
            });
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date => {}
    }
}

/// Where the list or inline table begins that holds the byte at `offset`, whatever tables it stands in.
fn opening(table: &DeTable<'_>, offset: usize) -> Option<usize> {
    table.values().find_map(|value| inside(value, offset))
}

fn inside(value: &Spanned<DeValue<'_>>, offset: usize) -> Option<usize> {
    let span = value.span();
    match value.get_ref() {
        // The span of a table under a header is that of the header: look inside whatever it says.
        DeValue::Table(table) => {
            opening(table, offset).or_else(|| (span.start < offset && offset <= span.end).then_some(span.start))
        }
        DeValue::Array(list) => {
            let holds = span.start < offset && offset <= span.end;
            list.iter().find_map(|value| inside(value, offset)).or_else(|| holds.then_some(span.start))
        }
        _ => None,
    }
}

/// From TOML's values to ours.
struct Converter<'t> {
    file: u16,
    lines: &'t Lines<'t>,
}

impl Converter<'_> {
    fn spot(&self, offset: usize) -> Spot {
        Spot::File { file: self.file, line: self.lines.line(offset) }
    }

    /// Recursion is bounded: the parser refuses more than 80 levels.
    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        let spot = self.spot(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                Value::Integer(i64::from_str_radix(&digits, integer.radix()).ok())
            }
            DeValue::Float(float) => Value::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(list) => Value::List(list.into_iter().map(|value| self.node(value)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, spot)),
        };
        Node { spot, value, raw: None }
    }

    fn table(&self, table: DeTable<'_>, spot: Spot) -> Table {
        let entries = table.into_iter().map(|(key, value)| {
            let spot = self.spot(key.span().start);
            (key.into_inner().into_owned(), (spot, self.node(value)))
        });
        Table { spot, entries: entries.collect() }
    }
}
