//! House rules that no compiler checks: where imports may point, what files may be called, what the core may know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::tree::{files_below, root, shown};

/// The layers of `docs/architecture.md` from the ground up: a module imports from its own layer and from those below.
const LAYERS: [(&str, &[&str]); 5] = [
    ("ground", &["certificates", "clock", "config", "credentials", "members", "tls"]),
    ("shell", &["actors", "metrics", "peer", "probe", "store", "vitals"]),
    ("edge", &["dns", "http"]),
    ("app", &["app"]),
    ("command line", &["cli", "main"]),
];

/// What would make the core impure. Time comes as a parameter, effects go out as values.
const IMPURE: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::",
    "getrandom",
];

/// The core's whole list of dependencies: a new one is a decision about purity.
const CORE_DEPENDENCIES: [&str; 8] =
    ["arc-swap", "hashbrown", "parking_lot", "serde", "smallvec", "smol_str", "thiserror", "xxhash-rust"];

/// Names that say nothing of what is inside.
const NAMELESS: [&str; 8] = ["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

#[test]
fn imports_point_downwards_only() {
    let rank: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(rank, (_, modules))| modules.iter().map(move |module| (*module, rank)))
        .collect();
    let source = root().join("src");
    let mut wrong = Vec::new();
    for file in files_below(&source, "rs") {
        let module = top_module(&source, &file);
        if module == "lib" {
            continue;
        }
        let Some(own) = rank.get(module.as_str()) else {
            wrong.push(format!("{}: give module {module} a layer in tests/it/house.rs", shown(&file)));
            continue;
        };
        for (line, imported) in imports(&fs::read_to_string(&file).unwrap()) {
            match rank.get(imported.as_str()) {
                Some(theirs) if theirs > own => wrong.push(format!(
                    "{}:{line}: {module} ({}) imports {imported} ({})",
                    shown(&file),
                    LAYERS[*own].0,
                    LAYERS[*theirs].0
                )),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_of_imports_sees_every_way_to_write_one() {
    let text = "use crate::http::host::RequestHost;\n    pub use crate::{config::Host, tls};\nlet x = crate::store::open();\n\
                // crate::cli is not meant\nuse crate::{\n    app,\n    clock::Clock,\n};\nuse maitred::cli::run;\n";
    let found: Vec<String> = imports(text).into_iter().map(|(_, module)| module).collect();
    assert_eq!(found, ["http", "config", "tls", "store", "app", "clock", "cli"]);
}

#[test]
fn the_core_knows_no_clock_socket_thread_or_randomness() {
    let mut wrong = Vec::new();
    let files = files_below(&root().join("core/src"), "rs");
    let for_tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    let for_test = |file: &Path| for_tests.iter().any(|test| file == test || file.starts_with(test.with_extension("")));
    for file in files.iter().filter(|file| !for_test(file)) {
        for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            if line.trim() == "mod tests {" {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", shown(file), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "impure:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_proves_its_purity_by_its_manifest() {
    let manifest: toml::Table = fs::read_to_string(root().join("core/Cargo.toml")).unwrap().parse().unwrap();
    let names: Vec<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    let strange: Vec<&&str> = names.iter().filter(|name| !CORE_DEPENDENCIES.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?} in core/Cargo.toml");
    assert!(!manifest.contains_key("build-dependencies") && !manifest.contains_key("target"));
}

#[test]
fn files_are_named_after_their_idea() {
    let folders = ["src", "core", "tests", "sim"].map(|folder| root().join(folder));
    let wrong: Vec<String> = folders
        .iter()
        .flat_map(|folder| files_below(folder, "rs"))
        .filter(|file| file.iter().any(|part| NAMELESS.contains(&part.to_string_lossy().trim_end_matches(".rs"))))
        .map(|file| shown(&file))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_module_says_first_what_it_owns() {
    let folders = ["src", "core/src", "tests/it"].map(|folder| root().join(folder));
    let silent: Vec<String> = folders
        .iter()
        .flat_map(|folder| files_below(folder, "rs"))
        .filter(|file| !fs::read_to_string(file).unwrap().trim_start().starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(silent.is_empty(), "no module doc in {silent:?}");
}

/// The files that this one declares for tests only: `#[cfg(test)] mod model;`.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
        let name = pair[1].strip_suffix(';')?.rsplit(' ').next()?;
        Some(folder.join(format!("{name}.rs")))
    });
    declared.collect()
}

/// The modules of this crate that a file names, with the line. Comments do not count; a group in braces counts each of its members.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code: String = text.lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or_default())).collect();
    let mut found = Vec::new();
    for prefix in ["crate::", "maitred::"] {
        for (at, _) in code.match_indices(prefix) {
            let whole_word = !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            if whole_word {
                let line = code[..at].matches('\n').count() + 1;
                found.extend(heads(&code[at + prefix.len()..]).into_iter().map(|head| (line, head)));
            }
        }
    }
    found
}

/// The first name of a path, or those of each path of a group.
fn heads(path: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut members = vec![String::new()];
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            _ => {}
        }
        if let Some(member) = members.last_mut().filter(|_| character != ',' || depth > 0) {
            member.push(character);
        }
    }
    members.iter().map(|member| name(member)).filter(|head| !head.is_empty()).collect()
}

fn top_module(source: &Path, file: &Path) -> String {
    let first = file.strip_prefix(source).unwrap().iter().next().unwrap().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}
