//! `maitred keys add | retire | list`: edits of the key file that keep its comments, and a listing that keeps its secrets.
//!
//! A rotation is: add with a delay (every director must have reloaded the file before the key seals), wait until the new key
//! seals and the pools' session TTL has passed, retire the old one. Each edit is checked as a whole before it is written.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maitred_core::clock::Time;

use super::keyring::{KeyFileError, KeyId, Keyring, format_rfc3339, fresh_secret};
use super::secret_file::{SecretFileError, read_secret, write_secret};

const HEADER: &str = "# Affinity keys of maitred: <id> <base64 of 32 bytes> [from=<RFC 3339>]. Secret: whoever reads this can forge cookies.\n";

/// What a listing says of one key. Nothing secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its name in the file.
    pub id: KeyId,
    /// When it may start to seal, RFC 3339; `None` when the file does not say.
    pub from: Option<String>,
    /// What it does now.
    pub state: KeyState,
}

/// What a key does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Seals new cookies and opens its own.
    Seals,
    /// Only opens what it sealed once.
    Opens,
    /// Will seal when its time comes; opens already.
    Waits,
}

impl KeyState {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seals => "seals",
            Self::Opens => "opens",
            Self::Waits => "waits",
        }
    }
}

/// The keys of the file, in the order of the file.
///
/// # Errors
/// When the file is refused.
pub fn list(path: &Path, now: Time) -> Result<Vec<ListedKey>, KeyFileError> {
    let ring = Keyring::load(path)?;
    let sealing = ring.sealing(now).map(|key| key.line);
    let mut keys: Vec<_> = ring.keys().collect();
    keys.sort_by_key(|key| key.line);
    let listed = keys.into_iter().map(|key| ListedKey {
        id: key.id.clone(),
        from: (key.from > Time(0)).then(|| format_rfc3339(key.from)),
        state: match () {
            () if Some(key.line) == sealing => KeyState::Seals,
            () if key.from > now => KeyState::Waits,
            () => KeyState::Opens,
        },
    });
    Ok(listed.collect())
}

/// Appends a random key that seals after `delay`, creating the file when there is none (then without delay: nothing else could
/// seal). Without an id it is named after the day, `k20260801`, with a suffix when taken.
///
/// # Errors
/// When the file is refused, the id is taken, or the file cannot be written; nothing has changed then.
pub fn add(path: &Path, id: Option<KeyId>, delay: Duration, now: Time) -> Result<ListedKey, KeyFileError> {
    let edit_error = |problem: String| KeyFileError::Edit { path: path.to_owned(), problem };
    let (mut text, ring) = match read_secret(path) {
        Ok(read) => {
            let ring = match Keyring::parse(path, &read.text) {
                Err(KeyFileError::Empty { .. }) => None,
                parsed => Some(parsed?),
            };
            (read.text, ring)
        }
        Err(SecretFileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            (HEADER.to_owned(), None)
        }
        Err(error) => return Err(error.into()),
    };
    let taken = |id: &str| ring.iter().flat_map(Keyring::keys).any(|key| key.id.as_str() == id);
    let id = match id {
        Some(id) if taken(id.as_str()) => {
            return Err(edit_error(format!("the id {id} is already used; choose another")));
        }
        Some(id) => id,
        None => named_after_the_day(now, taken).ok_or_else(|| edit_error("too many keys today".to_owned()))?,
    };
    let from = ring.is_some().then(|| format_rfc3339(now + delay));
    let secret = fresh_secret().map_err(|error| edit_error(format!("the system gives no randomness: {error}")))?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{id} {}", STANDARD.encode(secret)));
    if let Some(from) = &from {
        text.push_str(&format!(" from={from}"));
    }
    text.push('\n');
    write_checked(path, &text)?;
    let listed = list(path, now)?.into_iter().find(|key| key.id == id);
    listed.ok_or_else(|| edit_error(format!("was changed by someone else while {id} was added; look again")))
}

/// Removes a key. Cookies that it sealed are unknown from then on, so the key that seals stays.
///
/// # Errors
/// When there is no such key, it is the one that seals, or the file is refused or cannot be written; nothing has changed then.
pub fn retire(path: &Path, id: &KeyId, now: Time) -> Result<(), KeyFileError> {
    let edit_error = |problem: String| KeyFileError::Edit { path: path.to_owned(), problem };
    let text = read_secret(path)?.text;
    let ring = Keyring::parse(path, &text)?;
    let Some(key) = ring.keys().find(|key| key.id == *id) else {
        return Err(edit_error(format!("holds no key {id}; see: maitred keys list")));
    };
    if ring.sealing(now).is_some_and(|sealing| sealing.id == *id) {
        return Err(edit_error(format!("{id} is the key that seals; add another and wait until that one seals")));
    }
    let kept: String = text
        .split_inclusive('\n')
        .enumerate()
        .filter(|(index, _)| index + 1 != key.line)
        .map(|(_, line)| line)
        .collect();
    write_checked(path, &kept)
}

fn write_checked(path: &Path, text: &str) -> Result<(), KeyFileError> {
    Keyring::parse(path, text)?;
    Ok(write_secret(path, text)?)
}

fn named_after_the_day(now: Time, taken: impl Fn(&str) -> bool) -> Option<KeyId> {
    let day: String = format_rfc3339(now).chars().take(10).filter(char::is_ascii_digit).collect();
    let plain = format!("k{day}");
    let name = std::iter::once(plain.clone())
        .chain((2..=super::keyring::KEYS_MAX).map(|number| format!("{plain}-{number}")))
        .find(|name| !taken(name))?;
    KeyId::parse(&name).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Time = Time(1_785_542_400_000); // 2026-08-01T00:00:00Z
    const HOUR: Duration = Duration::from_secs(3600);

    fn states(path: &Path, now: Time) -> Vec<(String, &'static str)> {
        list(path, now).unwrap().into_iter().map(|key| (key.id.to_string(), key.state.as_str())).collect()
    }

    #[test]
    fn a_rotation_from_the_first_key_to_the_retired_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("affinity.keys");
        let first = add(&path, None, HOUR, NOW).unwrap();
        assert_eq!((first.id.as_str(), first.from, first.state), ("k20260801", None, KeyState::Seals));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let second = add(&path, None, HOUR, NOW).unwrap();
        assert_eq!((second.id.as_str(), second.from.as_deref()), ("k20260801-2", Some("2026-08-01T01:00:00Z")));
        assert_eq!(second.state, KeyState::Waits);
        let refused = retire(&path, &first.id, NOW).unwrap_err().to_string();
        assert!(refused.contains("the key that seals"), "{refused}");

        let later = NOW + HOUR;
        assert_eq!(states(&path, later), [("k20260801".into(), "opens"), ("k20260801-2".into(), "seals")]);
        retire(&path, &first.id, later).unwrap();
        assert_eq!(states(&path, later), [("k20260801-2".into(), "seals")]);
    }

    #[test]
    fn an_edit_keeps_comments_and_what_it_does_not_touch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("affinity.keys");
        let (a, b) = (super::super::keyring::tests::encoded(1), super::super::keyring::tests::encoded(2));
        write_secret(&path, &format!("# ours\na {a} # the first\n\nb {b}")).unwrap();
        add(&path, Some(KeyId::parse("c").unwrap()), HOUR, NOW).unwrap();
        retire(&path, &KeyId::parse("a").unwrap(), NOW).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("# ours\n\nb {b}\nc ")), "{text}");
    }

    #[test]
    fn an_edit_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("affinity.keys");
        let id = KeyId::parse("only").unwrap();
        add(&path, Some(id.clone()), HOUR, NOW).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        assert!(add(&path, Some(id.clone()), HOUR, NOW).unwrap_err().to_string().contains("already used"));
        assert!(retire(&path, &id, NOW).is_err());
        assert!(retire(&path, &KeyId::parse("other").unwrap(), NOW).unwrap_err().to_string().contains("holds no key"));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        write_secret(&path, "broken").unwrap();
        assert!(add(&path, None, HOUR, NOW).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "broken");
    }
}
