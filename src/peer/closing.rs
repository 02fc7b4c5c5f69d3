//! Why a link ends, in the words of the log, of the metrics and of the close frame (RFC 6455, 7.4).

use std::borrow::Cow;

use maitred_core::replication::Violation;
use thiserror::Error;
use tokio_tungstenite::tungstenite;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use super::identity::Stranger;

/// Longest reason in a close frame, in bytes: a control frame holds 125 with the code.
const REASON_BYTES_MAX: usize = 123;

/// Why a link ends.
#[derive(Debug, Error)]
pub enum Closing {
    /// This director stops.
    #[error("the director stops")]
    Stopping,
    /// The own certificate or the authorities were replaced; the next link shows them.
    #[error("the certificate was replaced")]
    Renewed,
    /// The peer is no longer configured, or at another address.
    #[error("no longer configured like this")]
    Removed,
    /// One link is enough.
    #[error("another link is used")]
    Spare,
    /// Its certificate stands for no peer.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// A text frame.
    #[error("a text frame; only binary ones are understood")]
    Text,
    /// More bytes than a message may have.
    #[error("a message beyond its limits")]
    Oversize,
    /// Bytes that are no message.
    #[error("a frame that holds no message")]
    Malformed,
    /// Not WebSocket.
    #[error("not WebSocket: {0}")]
    Protocol(String),
    /// The core refuses it.
    #[error("it {0}")]
    Violation(#[from] Violation),
    /// Nothing was heard, not even a ping.
    #[error("nothing heard")]
    Silent,
    /// It takes nothing.
    #[error("it does not take what is sent")]
    Stuck,
    /// The peer closed it.
    #[error("closed by the peer: {0}")]
    Closed(String),
    /// The connection broke.
    #[error("broken: {0}")]
    Broken(String),
}

impl Closing {
    /// One word for metrics and log.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Renewed => "renewed",
            Self::Removed => "removed",
            Self::Spare => "spare",
            Self::Stranger(_) => "stranger",
            Self::Text => "text",
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
            Self::Protocol(_) => "protocol",
            Self::Violation(_) => "violation",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::Closed(_) => "closed",
            Self::Broken(_) => "broken",
        }
    }

    /// What the peer is told; `None` where nobody would hear it.
    #[must_use]
    pub fn frame(&self) -> Option<CloseFrame> {
        let code = match self {
            Self::Stopping => CloseCode::Away,
            Self::Renewed | Self::Removed | Self::Spare => CloseCode::Normal,
            Self::Stranger(_) | Self::Violation(_) | Self::Silent => CloseCode::Policy,
            Self::Text => CloseCode::Unsupported,
            Self::Oversize => CloseCode::Size,
            Self::Malformed | Self::Protocol(_) => CloseCode::Protocol,
            Self::Stuck | Self::Closed(_) | Self::Broken(_) => return None,
        };
        let mut reason = self.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Some(CloseFrame { code, reason: reason.into() })
    }

    /// What the peer said when it closed.
    #[must_use]
    pub fn told(frame: Option<CloseFrame>) -> Self {
        let said = |frame: CloseFrame| {
            // Another process wrote it, and it goes into the log.
            let reason: Cow<'_, str> = frame.reason.chars().filter(|it| !it.is_control()).collect();
            format!("{} {reason}", u16::from(frame.code))
        };
        Self::Closed(frame.map_or_else(|| "without a word".to_owned(), said))
    }
}

impl From<tungstenite::Error> for Closing {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::Capacity(_) => Self::Oversize,
            Error::Utf8(_) => Self::Text,
            Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Broken("the connection ended without a word".to_owned())
            }
            Error::Protocol(error) => Self::Protocol(error.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}
