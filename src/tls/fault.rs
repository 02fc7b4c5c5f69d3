//! What went wrong in a handshake, in a short stable word and a line for people.

use std::fmt::Write as _;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Longest detail, in bytes: one log line, one cell of the status.
const DETAIL_BYTES_MAX: usize = 200;

/// Why a handshake failed, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsFault {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// No authority that we believe issued it; self-signed ones too.
    UnknownIssuer,
    /// It does not cover the name that we asked for.
    WrongName,
    /// Its authority revoked it.
    Revoked,
    /// The other side asks for a certificate and does not believe ours, or we have none.
    ClientCertificate,
    /// The other side does not speak TLS.
    NotTls,
    /// The two sides share no version or cipher.
    NothingInCommon,
    /// Anything else; the detail says what.
    Other,
}

impl TlsFault {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongName => "wrong_name",
            Self::Revoked => "revoked",
            Self::ClientCertificate => "client_certificate",
            Self::NotTls => "not_tls",
            Self::NothingInCommon => "nothing_in_common",
            Self::Other => "other",
        }
    }
}

/// A fault with its detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFailure {
    /// The kind.
    pub fault: TlsFault,
    /// `<word>: <what TLS said>`, printable, at most 200 bytes.
    pub detail: String,
}

impl TlsFailure {
    /// Classifies what rustls said.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let fault = classify(error);
        let mut detail = String::new();
        let _ = write!(detail, "{}: {error}", fault.as_str());
        Self { fault, detail: printable(&detail) }
    }

    /// The same for an error of a stream or connector; `None` when TLS had no part in it (reset, closed, timed out).
    #[must_use]
    pub fn of_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Error>().map(Self::of)
    }
}

fn classify(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::WrongName,
            CertificateError::Revoked => TlsFault::Revoked,
            _ => TlsFault::Other,
        },
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied => TlsFault::ClientCertificate,
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => TlsFault::NothingInCommon,
            _ => TlsFault::Other,
        },
        Error::PeerIncompatible(_) => TlsFault::NothingInCommon,
        Error::InvalidMessage(_) => TlsFault::NotTls,
        _ => TlsFault::Other,
    }
}

/// One line: control characters become blanks, the end is cut at a character.
fn printable(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=DETAIL_BYTES_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_tls_is_none() {
        assert_eq!(TlsFailure::of_io(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
        let wrapped =
            io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(TlsFailure::of_io(&wrapped).unwrap().fault, TlsFault::ClientCertificate);
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let failure = TlsFailure::of(&Error::General(format!("a\r\n\u{1b}[2J{}", "é".repeat(300))));
        assert!(failure.detail.starts_with("other: "));
        assert!(failure.detail.len() <= DETAIL_BYTES_MAX && !failure.detail.contains(char::is_control));
    }
}
