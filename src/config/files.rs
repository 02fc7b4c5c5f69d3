//! The files that a configuration names: there, readable, and secret where they must be.
//!
//! Looks at names and permissions only. What is inside is judged by those who use it, through [`FileUse`].

use std::fs;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Place, printable};
use super::text::reason;

/// What is in a file that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A certificate chain in PEM.
    Certificate,
    /// A private key in PEM; secret.
    PrivateKey,
    /// Certificates of authorities in PEM.
    Authorities,
    /// Hashes of bearer tokens; secret, because a hash is what an attacker would try words against.
    Tokens,
    /// Keys of the affinity cookie; secret.
    AffinityKeys,
    /// Private keys that sign tickets; secret.
    TicketKeys,
}

impl FileKind {
    /// Whether everybody on the machine may read it.
    #[must_use]
    pub fn is_secret(self) -> bool {
        match self {
            Self::Certificate | Self::Authorities => false,
            Self::PrivateKey | Self::Tokens | Self::AffinityKeys | Self::TicketKeys => true,
        }
    }
}

/// One file that the configuration names, and where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUse {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub kind: FileKind,
    /// Where it is named.
    pub place: Place,
    /// The key that names it.
    pub key: String,
}

impl FileUse {
    /// A mistake in the file's content, told at the place that names the file. `reason` must hold nothing secret.
    #[must_use]
    pub fn diagnostic(&self, reason: &str) -> Diagnostic {
        let reason = format!("{}: {reason}", printable(&self.path.to_string_lossy()));
        Diagnostic { place: self.place.clone(), key: self.key.clone(), reason }
    }
}

/// Looks whether a file can be used.
pub(super) fn look(file: &FileUse) -> Result<(), String> {
    let shown = printable(&file.path.to_string_lossy());
    let plain = |error: std::io::Error| format!("{shown}: cannot be read: {}", reason(&error));
    let metadata = fs::metadata(&file.path).map_err(plain)?;
    if !metadata.is_file() {
        return Err(format!("{shown}: is no regular file"));
    }
    if file.kind.is_secret() {
        refuse_world_access(&metadata, &shown)?;
    }
    fs::File::open(&file.path).map_err(plain).map(drop)
}

#[cfg(unix)]
fn refuse_world_access(metadata: &fs::Metadata, shown: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    Err(format!("{shown}: is a secret that everyone on this machine can reach (mode {mode:04o}): chmod 0640 {shown}"))
}

#[cfg(not(unix))]
fn refuse_world_access(_: &fs::Metadata, _: &str) -> Result<(), String> {
    Ok(())
}
