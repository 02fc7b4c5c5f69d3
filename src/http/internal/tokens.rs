//! Bearer tokens: the file that lists them, and the comparison.
//!
//! One per line, `<name> <role>[:<server>] <sha256 of the token, hex>`; `#` begins a comment. The file holds no token, so whoever
//! reads it cannot use it; it is refused when world-readable all the same, because it is a list of who may do what.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use thiserror::Error;

use crate::config::Role;
use crate::credentials::secret_file::{SecretFileError, read_secret};

/// Most tokens in a file: one per server and operator of a large site.
const TOKENS_MAX: usize = 4096;
/// Longest name of a bearer, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Why a token file was refused.
#[derive(Debug, Error)]
pub enum TokenFileError {
    /// It could not be read, or is open to every user.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A line is wrong. Never repeats the line.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
}

/// Who may come with a token.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Bearer>);

/// One line of the file.
pub(super) struct Bearer {
    /// Who it was given to.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: Role,
    hash: [u8; SHA256_OUTPUT_LEN],
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn load(path: &Path) -> Result<Self, TokenFileError> {
        Self::parse(path, &read_secret(path)?.text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, TokenFileError> {
        let mut tokens: Vec<Bearer> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let fault = |fault| TokenFileError::Line { path: path.to_owned(), line, fault };
            let bearer = parse_line(content).map_err(fault)?;
            if tokens.iter().any(|known| known.hash == bearer.hash) {
                return Err(fault("this token stands in an earlier line too"));
            }
            if tokens.len() == TOKENS_MAX {
                return Err(fault("more than 4096 tokens"));
            }
            tokens.push(bearer);
        }
        Ok(Self(tokens))
    }

    /// The bearer of this token. Every line is compared, in constant time, so that time tells nothing about any of them.
    pub(super) fn find(&self, token: &[u8]) -> Option<&Bearer> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash = digest(&SHA256, token);
        let mut found = None;
        for bearer in &self.0 {
            if is_same(&bearer.hash, hash.as_ref()) {
                found = Some(bearer);
            }
        }
        found
    }
}

fn parse_line(content: &str) -> Result<Bearer, &'static str> {
    let mut words = content.split_whitespace();
    let (Some(name), Some(role), Some(hash), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err("must be: <name> <role>[:<server>] <sha256 of the token in hexadecimal>");
    };
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || name.len() > NAME_BYTES_MAX {
        return Err("the name may have at most 64 printable characters");
    }
    let role = Role::parse(role).ok_or("the role must be operator, viewer, metrics or server:<name>")?;
    let hash = parse_hash(hash).ok_or("the third word must be a SHA-256 in 64 hexadecimal digits")?;
    if is_same(&hash, digest(&SHA256, b"").as_ref()) {
        return Err("this is the hash of an empty token");
    }
    Ok(Bearer { name: name.to_owned(), role, hash })
}

fn parse_hash(text: &str) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> = digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if text.len() == 2 * SHA256_OUTPUT_LEN { bytes.try_into().ok() } else { None }
}

/// Compares without stopping at the first difference.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::http::internal) fn line(name: &str, role: &str, token: &str) -> String {
        let hash: String =
            digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} {role} {hash}\n")
    }

    fn parse(text: &str) -> Result<Tokens, String> {
        Tokens::parse(Path::new("tokens"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_found_by_its_hash_and_no_other_text_is() {
        let text = format!("# who\n\n{}{}", line("ops", "operator", "s3cret"), line("ua1", "server:ua1", "other"));
        let tokens = parse(&text).unwrap();
        assert_eq!(
            tokens.find(b"s3cret").map(|bearer| (bearer.name.as_str(), bearer.role.clone())),
            Some(("ops", Role::Operator))
        );
        assert!(
            matches!(tokens.find(b"other"), Some(Bearer { role: Role::Server(name), .. }) if name.as_str() == "ua1")
        );
        for wrong in ["", "s3cre", "s3cret ", "S3CRET", &"x".repeat(513)] {
            assert!(tokens.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_never_repeated() {
        let good = line("ops", "operator", "t");
        for (bad, fault) in [
            ("ops operator".to_owned(), "must be"),
            (good.replace("operator", "root"), "role"),
            (good.replace("operator", "server"), "role"),
            ("ops operator abc".to_owned(), "SHA-256"),
            (line("ops", "operator", ""), "empty"),
            (format!("{good}{good}"), "earlier"),
        ] {
            let said = parse(&format!("\n{bad}")).err().unwrap();
            assert!(said.starts_with("tokens:") && said.contains(fault), "{said}");
            assert!(!said.contains("ops"), "{said}");
        }
    }
}
