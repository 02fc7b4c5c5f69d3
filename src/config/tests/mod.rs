//! The configuration as operators meet it: files on disk, variables, and what is said about mistakes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::load::{Loaded, load, read};

mod checked;
mod defaults;
mod environment;
mod include;
mod mistakes;
mod mutation;
mod reference;
mod report;
mod secrets;
mod warned;

/// The reference file, as it stands in the repository.
pub(super) const REFERENCE: &str = include_str!("../../../conf/reference.toml");

/// Files that the reference names, and whether they are secrets.
const FILES: [(&str, bool); 10] = [
    ("public.pem", false),
    ("public.key", true),
    ("internal.pem", false),
    ("internal.key", true),
    ("internal.tokens", true),
    ("peer.pem", false),
    ("peer.key", true),
    ("ca.pem", false),
    ("affinity.keys", true),
    ("ticket.pem", true),
];

/// A directory with a configuration and every file that the reference may name.
pub(super) struct Site(tempfile::TempDir);

impl Site {
    pub(super) fn new(text: &str) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        fs::create_dir(site.path("certs")).unwrap();
        for (name, secret) in FILES {
            site.write(&format!("certs/{name}"), "x");
            set_mode(&site.path(&format!("certs/{name}")), if secret { 0o640 } else { 0o644 });
        }
        site.write("maitred.toml", text);
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        self.load_with(&[])
    }

    pub(super) fn load_with(&self, environment: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
        let owned = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(&self.path("maitred.toml"), owned.collect::<Vec<_>>())
    }

    pub(super) fn known(&self) -> BTreeSet<String> {
        read(&self.path("maitred.toml"), Vec::new()).1
    }

    /// What is said, without the directory: `maitred.toml:3: key: reason`.
    pub(super) fn said(&self, diagnostics: &[Diagnostic]) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        diagnostics.iter().map(|one| one.to_string().replace(&directory, "")).collect()
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The mistakes of a text.
pub(super) fn mistakes(text: &str) -> Vec<String> {
    let site = Site::new(text);
    let errors = site.load().expect_err("it was taken");
    site.said(&errors)
}

/// The smallest configuration that seats anybody: everything else has its default.
pub(super) const SMALLEST: &str = r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
tls = { cert = "certs/public.pem", key = "certs/public.key" }
[[pool]]
name = "ua"
datacenters = ["east"]
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1.example.com"
"#;

/// The reference with every key that stands in a comment switched on.
pub(super) fn everything() -> String {
    let mut out = Vec::new();
    for line in REFERENCE.lines() {
        let is_key = line.strip_prefix("# ").is_some_and(|rest| {
            rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        });
        // The one comment that has keys of several tables on a line of prose is the header of [limits].
        out.push(if is_key { &line[2..] } else { line });
    }
    out.join("\n")
}

/// The 1-based number of the first line that contains `part`.
pub(super) fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} is not in the text")) + 1
}
