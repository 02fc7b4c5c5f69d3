//! What went wrong, in the words of the core: io, TLS and HTTP errors become a [`FailureKind`] and one short line.
//!
//! The border that matters (R11): silence (timeout, unreachable, no name) may be about the path or about this machine, anything
//! else is an answer. An error of this machine's own, no file descriptor or port left, is therefore "unreachable" and not
//! evidence against the server.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};

use maitred_core::health::FailureKind;

use crate::tls::TlsFailure;

/// Longest detail, in bytes (`Failure::detail`).
const DETAIL_BYTES_MAX: usize = 200;

/// How hyper's client tells a head above its limits: it has no other way to ask. A test shows that the words still hold.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FailureKind,
    pub(super) detail: String,
}

impl Fault {
    /// With a detail that is cut and made printable.
    pub(super) fn new(kind: FailureKind, detail: &str) -> Self {
        let mut line = String::with_capacity(detail.len().min(DETAIL_BYTES_MAX));
        for c in detail.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if line.len() + c.len_utf8() > DETAIL_BYTES_MAX {
                break;
            }
            line.push(c);
        }
        Self { kind, detail: line }
    }

    /// From the making of a connection, where the unknown is this machine's own trouble.
    pub(super) fn connecting(error: &io::Error) -> Self {
        Self::io(error, FailureKind::Unreachable)
    }

    /// From an established connection, where the unknown is the peer's way of talking.
    pub(super) fn talking(error: &io::Error) -> Self {
        Self::io(error, FailureKind::Protocol)
    }

    fn io(error: &io::Error, otherwise: FailureKind) -> Self {
        if let Some(failure) = TlsFailure::of_io(error) {
            return Self { kind: FailureKind::Tls, detail: failure.detail };
        }
        let kind = match error.kind() {
            ErrorKind::ConnectionRefused => FailureKind::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => FailureKind::Reset,
            ErrorKind::UnexpectedEof | ErrorKind::NotConnected => FailureKind::Closed,
            ErrorKind::TimedOut => FailureKind::Timeout,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied => FailureKind::Unreachable,
            _ => otherwise,
        };
        Self::new(kind, &error.to_string())
    }

    /// From HTTP: the cause that lies deepest and is known wins over hyper's own description.
    pub(super) fn http(error: &hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::talking(io);
            }
            cause = inner.source();
        }
        let kind = if error.is_parse() && error.to_string() == HEAD_TOO_LARGE {
            FailureKind::TooLarge
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            FailureKind::Closed
        } else if error.is_timeout() {
            FailureKind::Timeout
        } else {
            FailureKind::Protocol
        };
        let mut line = error.to_string();
        if let Some(cause) = error.source() {
            let _ = write!(line, ": {cause}");
        }
        Self::new(kind, &line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_network_has_its_kind() {
        for (error, kind) in [
            (ErrorKind::ConnectionRefused, FailureKind::Refused),
            (ErrorKind::ConnectionReset, FailureKind::Reset),
            (ErrorKind::BrokenPipe, FailureKind::Reset),
            (ErrorKind::UnexpectedEof, FailureKind::Closed),
            (ErrorKind::HostUnreachable, FailureKind::Unreachable),
            (ErrorKind::NetworkUnreachable, FailureKind::Unreachable),
            (ErrorKind::TimedOut, FailureKind::Timeout),
        ] {
            assert_eq!(Fault::connecting(&error.into()).kind, kind, "{error:?}");
            assert_eq!(Fault::talking(&error.into()).kind, kind, "{error:?}");
        }
    }

    #[test]
    fn trouble_of_this_machine_is_no_evidence_about_the_server() {
        const EMFILE: i32 = 24;
        let fault = Fault::connecting(&io::Error::from_raw_os_error(EMFILE));
        assert!(fault.kind.is_silence(), "{fault:?}");
    }

    #[test]
    fn a_detail_is_one_short_printable_line() {
        let fault = Fault::new(FailureKind::Protocol, &format!("a\r\nb\x1b[2J{}", "\u{e9}".repeat(200)));
        assert!(fault.detail.len() <= DETAIL_BYTES_MAX);
        assert!(!fault.detail.chars().any(char::is_control));
    }
}
