//! The keys that seal cookies and tokens: read from the key file, chosen by time.
//!
//! One key per line, `<id> <base64 of 32 bytes> [from=<RFC 3339>]`, `#` begins a comment. The key that SEALS is, of those whose
//! `from` has come, the one with the latest `from`; a missing `from` is the oldest of all, and of equal ones the later line
//! wins. While no `from` has come the earliest one seals, for a director that cannot sign would forget every client. Every key
//! in the file OPENS, due or not: another director's clock may be ahead.
//!
//! Knows the file's text only; [`super::key_file`] edits it, [`super::Seals`] uses and swaps it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maitred_core::clock::{Time, millis};
use maitred_core::ids::{Key, NAME_BYTES_MAX};
use ring::{aead, hkdf, hmac};
use thiserror::Error;

use super::secret_file::{SecretFileError, read_secret};

/// Most keys in a file: rotations overlap by a session's TTL, so a handful is usual and more is a mistake.
pub const KEYS_MAX: usize = 64;
/// Bytes of a key.
pub const SECRET_BYTES: usize = 32;

/// A key's name in the file. Not secret, but of no use to a client: cookies carry a tag that is derived from the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Parses an id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if allowed && (1..=NAME_BYTES_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an id is 1 to 64 letters, digits, '.', '_' and '-'")
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a cookie says about its key: four bytes derived from the secret itself, so that an id that means another key at
/// another director is seen as unknown instead of forged.
pub(super) type KeyTag = [u8; 4];

/// One key, ready to use.
pub struct AffinityKey {
    /// Its name in the file.
    pub id: KeyId,
    /// When it may start to seal; zero when the file does not say.
    pub from: Time,
    /// Its line in the file, from 1.
    pub line: usize,
    pub(super) tag: KeyTag,
    pub(super) cipher: aead::LessSafeKey,
    log: hmac::Key,
}

impl AffinityKey {
    /// Derives what is used from the file's secret, so that one secret can serve other purposes later without being shared.
    fn new(id: KeyId, from: Time, line: usize, secret: &[u8; SECRET_BYTES]) -> Option<Self> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"maitred affinity 1").extract(secret);
        let cipher = aead::LessSafeKey::new(root.expand(&[b"seal"], &aead::AES_256_GCM).ok()?.into());
        let mut tag = [0; 4];
        root.expand(&[b"tag"], TagLength).ok()?.fill(&mut tag).ok()?;
        let log = root.expand(&[b"log"], hmac::HMAC_SHA256).ok()?.into();
        Some(Self { id, from, line, tag, cipher, log })
    }

    /// How the log writes a session's key: 64 bits that nobody without the key file can search for. Equal at every director
    /// that has the same file.
    #[must_use]
    pub fn hash_for_log(&self, key: &Key) -> u64 {
        let hash = hmac::sign(&self.log, key.as_str().as_bytes());
        hash.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
    }
}

impl fmt::Debug for AffinityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffinityKey").field("id", &self.id).field("from", &self.from).finish_non_exhaustive()
    }
}

struct TagLength;

impl hkdf::KeyType for TagLength {
    fn len(&self) -> usize {
        size_of::<KeyTag>()
    }
}

/// Why a key file was refused. Names file and line and what to do, never a key.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// One line of it.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// It holds no key.
    #[error("{}: holds no key; run: maitred keys add", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// An edit that would leave the file unusable, or names what is not there.
    #[error("{}: {problem}", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// All keys of a file, the newest first. Never empty.
#[derive(Debug)]
pub struct Keyring {
    newest_first: Vec<AffinityKey>,
}

impl Keyring {
    /// Reads a key file.
    ///
    /// # Errors
    /// When the file is unreadable or open to every user, or a line is wrong; see [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        Self::parse(path, &read_secret(path)?.text)
    }

    /// Parses a key file's text; `path` is only for messages.
    ///
    /// # Errors
    /// At the first line that is wrong, at a weak or repeated key, or when there is no key at all.
    pub fn parse(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        let mut keys: Vec<(AffinityKey, [u8; SECRET_BYTES])> = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            let refuse = |problem: String| KeyFileError::Line { path: path.to_owned(), line, problem };
            let Some(parsed) = parse_line(content).map_err(refuse)? else { continue };
            if keys.len() == KEYS_MAX {
                return Err(refuse(format!("more than {KEYS_MAX} keys; retire old ones with: maitred keys retire")));
            }
            let key = AffinityKey::new(parsed.id, parsed.from, line, &parsed.secret)
                .ok_or_else(|| refuse("the key cannot be used; make another with: maitred keys add".to_owned()))?;
            for (other, secret) in &keys {
                if other.id == key.id {
                    return Err(refuse(format!("the id {} is already used in line {}", key.id, other.line)));
                }
                if *secret == parsed.secret || other.tag == key.tag {
                    return Err(refuse(format!("repeats the key of line {}; remove one of them", other.line)));
                }
            }
            keys.push((key, parsed.secret));
        }
        if keys.is_empty() {
            return Err(KeyFileError::Empty { path: path.to_owned() });
        }
        let mut newest_first: Vec<AffinityKey> = keys.into_iter().map(|(key, _)| key).collect();
        newest_first.sort_by_key(|key| std::cmp::Reverse((key.from, key.line)));
        Ok(Self { newest_first })
    }

    /// A ring of one random key, for a director whose configuration names no file: cookies last as long as the process.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral() -> Result<Self, getrandom::Error> {
        let id = KeyId("ephemeral".to_owned());
        AffinityKey::new(id, Time(0), 1, &fresh_secret()?)
            .map(|key| Self { newest_first: vec![key] })
            .ok_or(getrandom::Error::UNEXPECTED)
    }

    /// The key that seals at `now`; see the module's rule.
    #[must_use]
    pub fn sealing(&self, now: Time) -> Option<&AffinityKey> {
        self.newest_first.iter().find(|key| key.from <= now).or(self.newest_first.last())
    }

    /// All keys, the newest first.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &AffinityKey> {
        self.newest_first.iter()
    }

    /// The key with this tag; few keys, so a scan.
    pub(super) fn by_tag(&self, tag: KeyTag) -> Option<&AffinityKey> {
        self.newest_first.iter().find(|key| key.tag == tag)
    }
}

struct ParsedLine {
    id: KeyId,
    secret: [u8; SECRET_BYTES],
    from: Time,
}

/// One line; `None` when it holds only a comment. Base64 has no `#`, so a comment may follow a key.
fn parse_line(content: &str) -> Result<Option<ParsedLine>, String> {
    let mut words = content.split('#').next().unwrap_or_default().split_ascii_whitespace();
    let Some(id) = words.next() else { return Ok(None) };
    let id = KeyId::parse(id)?;
    let Some(encoded) = words.next() else {
        return Err(format!("the key of {id} is missing; a line is: <id> <base64 of 32 bytes> [from=<RFC 3339>]"));
    };
    let secret = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| <[u8; SECRET_BYTES]>::try_from(bytes).ok())
        .ok_or_else(|| format!("the key of {id} is not the base64 of 32 bytes; make one with: maitred keys add"))?;
    if let Some(weakness) = weakness(&secret) {
        return Err(format!("the key of {id} is weak ({weakness}); make a random one with: maitred keys add"));
    }
    let from = match words.next() {
        None => Time(0),
        Some(word) => word.strip_prefix("from=").and_then(parse_rfc3339).ok_or_else(|| {
            format!("after the key of {id} only from=<RFC 3339> may follow, for example from=2027-01-31T08:00:00Z")
        })?,
    };
    if words.next().is_some() {
        return Err(format!("there is more text after the key of {id}; a comment begins with #"));
    }
    Ok(Some(ParsedLine { id, secret, from }))
}

/// What shows that 32 bytes were not drawn at random. Each is hit by a random key with less than one chance in 10^12.
fn weakness(secret: &[u8; SECRET_BYTES]) -> Option<&'static str> {
    let (first, second) = secret.split_at(SECRET_BYTES / 2);
    let mut seen = [false; 256];
    secret.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let step = secret[1].wrapping_sub(secret[0]);
    if secret.iter().all(|byte| *byte == secret[0]) {
        Some("one byte repeated")
    } else if first == second || seen.iter().filter(|seen| **seen).count() < 16 {
        Some("a repeated pattern")
    } else if secret.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
        Some("a count")
    } else if secret.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        Some("readable text")
    } else {
        None
    }
}

/// An RFC 3339 time with `Z` or a numeric offset.
fn parse_rfc3339(text: &str) -> Option<Time> {
    let (local, offset_minutes) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match offset.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = offset[1..].split_once(':')?;
            let number =
                |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?;
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            (
                local,
                sign * (0..24)
                    .contains(&hours)
                    .then_some(hours * 60 + (0..60).contains(&minutes).then_some(minutes)?)?,
            )
        }
    };
    let moment = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let utc = since_epoch(moment) as i64 - offset_minutes * 60_000;
    u64::try_from(utc).ok().map(Time)
}

fn since_epoch(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A time as the key file writes it: RFC 3339 in UTC, whole seconds.
pub(super) fn format_rfc3339(time: Time) -> String {
    // humantime knows no year above 9999 and panics there.
    const YEAR_9999: u64 = 253_402_300_799_000;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(time.0.min(YEAR_9999))).to_string()
}

/// 32 random bytes.
pub(super) fn fresh_secret() -> Result<[u8; SECRET_BYTES], getrandom::Error> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key that passes for random, told apart by `seed`.
    pub(crate) fn encoded(seed: u8) -> String {
        let mut secret = [0_u8; SECRET_BYTES];
        for (index, byte) in secret.iter_mut().enumerate() {
            *byte = (index as u8).wrapping_mul(167).wrapping_add(seed).rotate_left(u32::from(index as u8 % 7)) ^ 0xa5;
        }
        STANDARD.encode(secret)
    }

    pub(crate) fn ring(text: &str) -> Keyring {
        Keyring::parse(Path::new("affinity.keys"), text).unwrap()
    }

    fn refusal(text: &str) -> String {
        Keyring::parse(Path::new("affinity.keys"), text).err().unwrap().to_string()
    }

    fn sealing_id(ring: &Keyring, now: u64) -> String {
        ring.sealing(Time(now)).unwrap().id.to_string()
    }

    #[test]
    fn the_newest_key_that_is_due_seals() {
        let text = format!(
            "# rotation of spring\nold {}\n\nnext {} from=1970-01-01T00:00:10Z # soon\nlate {} from=1970-01-01T01:00:20+01:00\n",
            encoded(1),
            encoded(2),
            encoded(3)
        );
        let ring = ring(&text);
        assert_eq!(sealing_id(&ring, 0), "old");
        assert_eq!(sealing_id(&ring, 9_999), "old");
        assert_eq!(sealing_id(&ring, 10_000), "next");
        assert_eq!(sealing_id(&ring, 20_000), "late");
        assert_eq!(ring.keys().len(), 3);
    }

    #[test]
    fn of_equal_times_the_later_line_seals_and_without_a_due_key_the_earliest() {
        let equal = ring(&format!("a {}\nb {}\n", encoded(1), encoded(2)));
        assert_eq!(sealing_id(&equal, 5), "b");
        let future =
            ring(&format!("a {} from=2030-01-01T00:00:00Z\nb {} from=2031-01-01T00:00:00Z", encoded(1), encoded(2)));
        assert_eq!(sealing_id(&future, 5), "a");
    }

    #[test]
    fn each_wrong_line_is_named_and_no_key_is_repeated_in_the_message() {
        let good = encoded(1);
        let same = STANDARD.encode([7; 32]);
        let halves = STANDARD.encode([&[1, 2, 3, 4, 5, 6, 7, 8, 90, 10, 11, 12, 13, 14, 15, 16_u8][..]; 2].concat());
        let count = STANDARD.encode((0..32).collect::<Vec<u8>>());
        let words = STANDARD.encode(b"correct horse battery staple 123");
        let cases = [
            ("k".to_owned(), "missing"),
            (format!("k/1 {good}"), "an id is"),
            ("k c2hvcnQ=".to_owned(), "not the base64 of 32 bytes"),
            ("k !!!".to_owned(), "not the base64 of 32 bytes"),
            (format!("k {same}"), "weak (one byte repeated)"),
            (format!("k {halves}"), "weak (a repeated pattern)"),
            (format!("k {count}"), "weak (a count)"),
            (format!("k {words}"), "weak (readable text)"),
            (format!("k {good} from=tomorrow"), "from=2027-01-31"),
            (format!("k {good} until=2030-01-01T00:00:00Z"), "from=2027-01-31"),
            (format!("k {good} from=2030-01-01T00:00:00Z more"), "more text"),
        ];
        for (line, expected) in cases {
            let message = refusal(&format!("# comment\n{line}\n"));
            assert!(message.starts_with("affinity.keys:2: "), "{message}");
            assert!(message.contains(expected), "{line}: {message}");
            assert!(!message.contains(&good) && !message.contains("c2hvcnQ"), "{message}");
        }
    }

    #[test]
    fn ids_and_keys_stand_once_and_a_file_is_never_empty() {
        assert!(
            refusal(&format!("k {}\nk {}", encoded(1), encoded(2))).contains(":2: the id k is already used in line 1")
        );
        assert!(refusal(&format!("k {}\nl {}", encoded(1), encoded(1))).contains(":2: repeats the key of line 1"));
        assert!(refusal("# nothing\n\n").contains("maitred keys add"));
        let many: String = (0..=KEYS_MAX).map(|n| format!("k{n} {}\n", encoded(n as u8))).collect();
        assert!(refusal(&many).contains("more than 64 keys"));
    }

    #[test]
    fn times_are_read_with_offsets_and_written_in_utc() {
        assert_eq!(parse_rfc3339("2026-08-01T02:00:00+02:00"), parse_rfc3339("2026-08-01T00:00:00Z"));
        assert_eq!(parse_rfc3339("2026-07-31T19:30:00-04:30"), parse_rfc3339("2026-08-01T00:00:00Z"));
        for bad in ["", "Z", "2026-08-01", "2026-08-01T00:00:00", "2026-08-01T00:00:00+25:00", "é6-08-01T00:00:00+é:00"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
        let time = parse_rfc3339("2026-08-01T00:00:00Z").unwrap();
        assert_eq!(format_rfc3339(time), "2026-08-01T00:00:00Z");
        assert!(!format_rfc3339(Time(u64::MAX)).is_empty());
    }

    #[test]
    fn nothing_secret_shows_in_debug() {
        let text = format!("{:?}", ring(&format!("k {}", encoded(1))));
        assert!(text.contains("\"k\"") && !text.contains(&encoded(1)[..8]), "{text}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "(?s).{0,300}") {
            let _ = Keyring::parse(Path::new("k"), &text);
        }
    }
}
