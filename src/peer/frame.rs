//! One binary frame is one message: postcard, no compression, limits before bytes are kept.

use bytes::Bytes;
use maitred_core::wire::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::closing::Closing;

/// Where peers ask for a WebSocket.
pub const PATH: &str = "/maitred/peer";
/// Largest frame and largest message, in bytes. Data messages are at most 64 KiB (R17); words about 10,000 servers are more.
pub const BYTES_MAX: usize = 1 << 20;
/// Reads and writes in pieces of this size.
const BUFFER_BYTES: usize = 64 * 1024;

/// The limits of both sides.
#[must_use]
pub fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * BYTES_MAX)
        .max_message_size(Some(BYTES_MAX))
        .max_frame_size(Some(BYTES_MAX))
}

/// A message as a frame's bytes.
///
/// # Errors
/// Larger than a frame may be, which the core's own limits prevent.
pub fn encode(message: &Message) -> Result<Bytes, Closing> {
    // The weight is nearly always enough, and bytes that need not be asked for one by one are written in half the time.
    let mut bytes = vec![0; message.weight()];
    let written = postcard::to_slice(message, &mut bytes).map(|written| written.len());
    match written {
        Ok(length) => bytes.truncate(length),
        Err(_) => bytes = postcard::to_stdvec(message).map_err(|_| Closing::Malformed)?,
    }
    if bytes.len() > BYTES_MAX { Err(Closing::Oversize) } else { Ok(bytes.into()) }
}

/// The message in a frame, all of it.
///
/// # Errors
/// [`Closing::Malformed`]: no message, or something behind it.
pub fn decode(bytes: &[u8]) -> Result<Message, Closing> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Closing::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_comes_back_and_nothing_may_follow_it() {
        let message = Message::Pong { sent: 300 };
        let bytes = encode(&message).unwrap();
        assert_eq!(decode(&bytes).unwrap(), message);
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(decode(&longer), Err(Closing::Malformed)));
        assert!(matches!(decode(&bytes[..bytes.len() - 1]), Err(Closing::Malformed)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            if let Ok(message) = decode(&bytes) {
                prop_assert!(encode(&message).is_ok());
            }
        }
    }
}
