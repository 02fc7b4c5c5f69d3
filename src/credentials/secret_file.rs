//! Files that hold secrets: read only when others cannot read them, replaced only as a whole.
//!
//! Knows nothing of what is inside, and never repeats it in an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Longest secret file that is read, in bytes: a key file of [`super::keyring::KEYS_MAX`] keys with comments, or a PEM chain.
pub const SECRET_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Only its owner reads and writes a secret.
const OWNER_ONLY: u32 = 0o600;

/// Why a secret file was not read or written.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any user of the machine may read or write it.
    #[error("{}: is open to every user of this machine (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    WorldReadable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is longer than any secret file has to be.
    #[error("{}: is longer than {SECRET_FILE_BYTES_MAX} bytes; is this the right file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is no UTF-8 text.
    #[error("{}: is not a text file", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be replaced; the old content still stands.
    #[error("{}: cannot be written, the old content still stands: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The content of a secret file, and whether its group may read it too.
pub struct SecretText {
    /// The content.
    pub text: String,
    /// A reason to warn: mode 0600 is what a secret should have.
    pub group_readable: bool,
}

/// Reads a secret text file.
///
/// # Errors
/// When it cannot be read, is open to every user, is too long or is no text.
pub fn read_secret(path: &Path) -> Result<SecretText, SecretFileError> {
    let read_error = |source| SecretFileError::Read { path: path.to_owned(), source };
    // The permissions of the opened file, not of the name: the name may mean another file a moment later.
    let file = File::open(path).map_err(read_error)?;
    let mode = file.metadata().map_err(read_error)?.permissions().mode() & 0o7777;
    if mode & 0o006 != 0 {
        return Err(SecretFileError::WorldReadable { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(SecretFileError::TooLong { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretFileError::NotText { path: path.to_owned() })?;
    Ok(SecretText { text, group_readable: mode & 0o060 != 0 })
}

/// Replaces or creates a secret file in one step, mode 0600: a reader sees the old content or the new one, never half.
///
/// A file that exists keeps its owner, so that root may rotate the keys of a director that runs as another user. A symbolic
/// link stays one; the file that it names is replaced.
///
/// # Errors
/// When any step fails; the old content still stands.
pub fn write_secret(path: &Path, text: &str) -> Result<(), SecretFileError> {
    let write_error = |source| SecretFileError::Write { path: path.to_owned(), source };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (Some(name), folder) = (target.file_name(), folder_of(&target)) else {
        return Err(write_error(io::Error::from(io::ErrorKind::InvalidInput)));
    };
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}.new", std::process::id()));
    let draft = folder.join(draft_name);
    let written = write_draft(&draft, &target, text).and_then(|()| fs::rename(&draft, &target));
    if let Err(source) = written {
        let _ = fs::remove_file(&draft);
        return Err(write_error(source));
    }
    // The rename itself must survive a power cut; some file systems refuse to sync a folder, and then nothing can be done.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_draft(draft: &Path, target: &Path, text: &str) -> io::Result<()> {
    let _ = fs::remove_file(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    if let Ok(old) = fs::metadata(target) {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_every_user_may_read_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_secret(&path, "hush").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = read_secret(&path).unwrap();
        assert_eq!(read.text, "hush");
        assert!(!read.group_readable);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_secret(&path).unwrap().group_readable);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = read_secret(&path).err().unwrap().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("hush"), "{refused}");
    }

    #[test]
    fn replacing_leaves_no_draft_and_follows_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write_secret(&file, "one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_secret(&link, "two").unwrap();
        assert_eq!(read_secret(&file).unwrap().text, "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_write_that_fails_says_that_the_old_content_stands() {
        let folder = tempfile::tempdir().unwrap();
        let refused = write_secret(&folder.path().join("no/such/folder"), "x").err().unwrap().to_string();
        assert!(refused.contains("old content still stands"), "{refused}");
    }

    #[test]
    fn long_and_binary_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_secret(&path, &"x".repeat(SECRET_FILE_BYTES_MAX as usize + 1)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretFileError::TooLong { .. })));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretFileError::NotText { .. })));
    }
}
