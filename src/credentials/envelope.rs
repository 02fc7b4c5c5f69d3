//! The sealed envelope: a seat as unreadable, unforgeable text.
//!
//! ```text
//! base64url( version 1 B | key tag 4 B | nonce 12 B | AES-256-GCM( postcard payload ) | tag 16 B )
//! associated data: version, purpose, key tag
//! ```
//! The purpose in the associated data keeps a cookie from being used as a token. The pool is inside the authenticated payload
//! and compared after opening: a token is shown without a pool, and a cookie of another pool is then counted as what it is.
//! Names, keys and addresses are never in clear, and the AEAD compares in constant time.
//!
//! **Nonces** are 96 random bits. With one key 2^32 envelopes keep the chance that any nonce repeats below 2^-33 (NIST SP
//! 800-38D, 8.3); at 100 starts a second that is 16 months, at 1,000 seven weeks. Rotate keys (`maitred keys add`) before that.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maitred_core::clock::{Stamp, Time};
use maitred_core::entry::{Life, SeatEntry};
use maitred_core::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use maitred_core::seating::Shown;
use ring::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::keyring::{AffinityKey, KeyTag, Keyring};

/// Longest cookie value or token that is looked at, in bytes. The longest that is made is below 600.
pub const VALUE_BYTES_MAX: usize = 1024;
/// How far ahead a stamp may lie (R2).
const AHEAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

const VERSION: u8 = 1;
const TAG_AT: usize = 1;
const NONCE_AT: usize = TAG_AT + size_of::<KeyTag>();
const PAYLOAD_AT: usize = NONCE_AT + NONCE_LEN;
/// AES-GCM's own tag.
const MAC_BYTES: usize = 16;
/// Room for the longest payload: four names and a key at their limits, and 60 bytes of numbers.
const ENVELOPE_BYTES_MAX: usize = VALUE_BYTES_MAX / 4 * 3;

/// What an envelope is for; one kind never opens as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Cookie = 1,
    Token = 2,
}

/// Why a cookie or token is treated as absent. Each has a stable word for the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum CookieFault {
    /// Not an envelope, or one of another version.
    #[error("is not a maitred envelope")]
    Malformed,
    /// Longer than [`VALUE_BYTES_MAX`].
    #[error("is too long")]
    TooLong,
    /// More values of one name than are looked at.
    #[error("is one of too many")]
    TooMany,
    /// Sealed with a key that is not in the file (any more).
    #[error("was sealed with an unknown key")]
    UnknownKey,
    /// Altered, made up, or a cookie used as a token.
    #[error("is forged")]
    Forged,
    /// Its session would have expired by the record that it carries (R18).
    #[error("has expired")]
    Expired,
    /// Of another pool, or of one that is not configured any more.
    #[error("belongs to another pool")]
    ForeignPool,
    /// Stamped more than 7 days ahead (R2).
    #[error("lies in the future")]
    Future,
    /// A generation outside 1 to 2^32 (R2).
    #[error("has an impossible generation")]
    Generation,
}

impl CookieFault {
    /// Every fault, for counters that are created once.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::TooLong,
        Self::TooMany,
        Self::UnknownKey,
        Self::Forged,
        Self::Expired,
        Self::ForeignPool,
        Self::Future,
        Self::Generation,
    ];

    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::ForeignPool => "foreign_pool",
            Self::Future => "future",
            Self::Generation => "generation",
        }
    }
}

/// Why a seat could not be sealed. The start is served without a cookie then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The session has ended; a cookie of it would be a way back.
    #[error("an ended session is not sealed")]
    Ended,
    /// The system gives no randomness, or the envelope could not be built.
    #[error("sealing failed")]
    Failed,
}

/// An opened cookie or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the core wants to know of it (R7).
    pub shown: Shown,
    /// When it was sealed; of several the newest counts.
    pub issued: Time,
    /// How often in a row its browser had come back soon; at most [`RETURNS_MAX`].
    pub returns: u8,
}

/// Seals and opens with the keys in force; shared by all threads, its keys swapped by a reload.
#[derive(Debug)]
pub struct Seals {
    keyring: ArcSwap<Keyring>,
}

impl Seals {
    /// With these keys.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring: ArcSwap::from_pointee(keyring) }
    }

    /// Puts other keys in force, in one step.
    pub fn replace(&self, keyring: Keyring) {
        self.keyring.store(Arc::new(keyring));
    }

    /// The keys in force.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// A cookie's value for this seat.
    ///
    /// # Errors
    /// When the seat is a tombstone, or the system gives no randomness.
    pub fn seal_cookie(&self, seat: &SeatEntry, owner: bool, now: Time) -> Result<String, SealError> {
        self.seal_cookie_after(seat, owner, 0, now)
    }

    /// The same for a browser that has come back soon `returns` times in a row; more than [`RETURNS_MAX`] are not told apart. The count
    /// rides in the cookie, so that every director knows it and none keeps a table.
    ///
    /// # Errors
    /// As [`Self::seal_cookie`].
    pub fn seal_cookie_after(
        &self,
        seat: &SeatEntry,
        owner: bool,
        returns: u8,
        now: Time,
    ) -> Result<String, SealError> {
        self.seal_counted(Purpose::Cookie, seat, owner, returns, now)
    }

    /// The seat that a cookie's value of `pool` carries; `ttl` is the pool's session TTL.
    ///
    /// # Errors
    /// The reason to treat it as absent.
    pub fn open_cookie(&self, pool: &PoolName, ttl: Duration, value: &[u8], now: Time) -> Result<Opened, CookieFault> {
        self.open(Purpose::Cookie, value, now, |named| (named == pool.as_str()).then(|| (pool.clone(), ttl)))
    }

    pub(super) fn seal(&self, purpose: Purpose, seat: &SeatEntry, owner: bool, now: Time) -> Result<String, SealError> {
        self.seal_counted(purpose, seat, owner, 0, now)
    }

    fn seal_counted(
        &self,
        purpose: Purpose,
        seat: &SeatEntry,
        owner: bool,
        returns: u8,
        now: Time,
    ) -> Result<String, SealError> {
        if seat.life != Life::Live {
            return Err(SealError::Ended);
        }
        let keyring = self.keyring.load();
        let key = keyring.sealing(now).ok_or(SealError::Failed)?;
        let mut payload = Payload::of(seat, owner, now);
        payload.flags |= returns.min(RETURNS_MAX) << RETURNS_SHIFT;
        seal_payload(key, purpose, &payload)
    }

    /// `pool_of` gives the pool of that name and its TTL, if such a pool may be shown here.
    pub(super) fn open(
        &self,
        purpose: Purpose,
        value: &[u8],
        now: Time,
        pool_of: impl FnOnce(&str) -> Option<(PoolName, Duration)>,
    ) -> Result<Opened, CookieFault> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(CookieFault::TooLong);
        }
        let mut buffer = [0; ENVELOPE_BYTES_MAX];
        let length = URL_SAFE_NO_PAD.decode_slice(value, &mut buffer).map_err(|_| CookieFault::Malformed)?;
        let envelope = &mut buffer[..length];
        if length < PAYLOAD_AT + MAC_BYTES || envelope[0] != VERSION {
            return Err(CookieFault::Malformed);
        }
        let (head, sealed) = envelope.split_at_mut(PAYLOAD_AT);
        let (Ok(tag), Ok(nonce)) = (KeyTag::try_from(&head[TAG_AT..NONCE_AT]), head[NONCE_AT..].try_into()) else {
            return Err(CookieFault::Malformed);
        };
        let keyring = self.keyring.load();
        let key = keyring.by_tag(tag).ok_or(CookieFault::UnknownKey)?;
        let plain = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(nonce), associated(purpose, tag), sealed)
            .map_err(|_| CookieFault::Forged)?;
        let (payload, rest): (Payload<'_>, _) = postcard::take_from_bytes(plain).map_err(|_| CookieFault::Malformed)?;
        if !rest.is_empty() {
            return Err(CookieFault::Malformed);
        }
        let (pool, ttl) = pool_of(payload.pool).ok_or(CookieFault::ForeignPool)?;
        payload.checked(pool, ttl, now)
    }
}

fn associated(purpose: Purpose, tag: KeyTag) -> Aad<[u8; 6]> {
    let [a, b, c, d] = tag;
    Aad::from([VERSION, purpose as u8, a, b, c, d])
}

fn seal_payload(key: &AffinityKey, purpose: Purpose, payload: &Payload<'_>) -> Result<String, SealError> {
    let mut buffer = [0; ENVELOPE_BYTES_MAX];
    let nonce = fresh_nonce()?;
    buffer[0] = VERSION;
    buffer[TAG_AT..NONCE_AT].copy_from_slice(&key.tag);
    buffer[NONCE_AT..PAYLOAD_AT].copy_from_slice(&nonce);
    let room = ENVELOPE_BYTES_MAX - MAC_BYTES;
    let length = postcard::to_slice(payload, &mut buffer[PAYLOAD_AT..room]).map_err(|_| SealError::Failed)?.len();
    let end = PAYLOAD_AT + length;
    let mac = key
        .cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            associated(purpose, key.tag),
            &mut buffer[PAYLOAD_AT..end],
        )
        .map_err(|_| SealError::Failed)?;
    debug_assert_eq!(AES_256_GCM.tag_len(), MAC_BYTES);
    buffer[end..end + MAC_BYTES].copy_from_slice(mac.as_ref());
    Ok(URL_SAFE_NO_PAD.encode(&buffer[..end + MAC_BYTES]))
}

/// Random nonces drawn from the system 64 at a time: one system call for 64 starts instead of one each.
const NONCES_DRAWN: usize = 64;

struct Nonces {
    random: SystemRandom,
    drawn: [[u8; NONCE_LEN]; NONCES_DRAWN],
    left: usize,
}

thread_local! {
    static NONCES: RefCell<Nonces> =
        RefCell::new(Nonces { random: SystemRandom::new(), drawn: [[0; NONCE_LEN]; NONCES_DRAWN], left: 0 });
}

fn fresh_nonce() -> Result<[u8; NONCE_LEN], SealError> {
    NONCES.with_borrow_mut(|nonces| {
        if nonces.left == 0 {
            nonces.random.fill(nonces.drawn.as_flattened_mut()).map_err(|_| SealError::Failed)?;
            nonces.left = NONCES_DRAWN;
        }
        nonces.left -= 1;
        Ok(nonces.drawn[nonces.left])
    })
}

const FLAG_OWNER: u8 = 1;
const FLAG_MINTED: u8 = 2;
/// Three bits of the flags.
const RETURNS_SHIFT: u32 = 2;
/// The highest number of returns that a cookie remembers.
pub const RETURNS_MAX: u8 = 7;

/// What the envelope holds: a live seat, the owner's right and the issue time. Field order is the format of version 1.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    pool: &'a str,
    key: &'a str,
    server: &'a str,
    writer: &'a str,
    session: [u8; 16],
    incarnation: [u8; 8],
    generation: u64,
    stamp: u64,
    seen: u64,
    issued: u64,
    flags: u8,
}

impl<'a> Payload<'a> {
    fn of(seat: &'a SeatEntry, owner: bool, now: Time) -> Self {
        Self {
            pool: seat.pool.as_str(),
            key: seat.key.as_str(),
            server: seat.server.as_str(),
            writer: seat.writer.as_str(),
            session: seat.session.0,
            incarnation: seat.incarnation.to_bits().to_le_bytes(),
            generation: seat.generation.get().into(),
            stamp: seat.stamp.to_bits(),
            seen: seat.seen.0,
            issued: now.0,
            flags: u8::from(owner) * FLAG_OWNER + u8::from(seat.minted) * FLAG_MINTED,
        }
    }

    /// Parses everything, though it is authentic: a key holder's mistake or an older director must not poison the table (R2).
    fn checked(&self, pool: PoolName, ttl: Duration, now: Time) -> Result<Opened, CookieFault> {
        let (stamp, seen, issued) = (Stamp::from_bits(self.stamp), Time(self.seen), Time(self.issued));
        let generation = Generation::parse(self.generation).map_err(|_| CookieFault::Generation)?;
        if [stamp.time(), seen, issued].into_iter().any(|time| time > now + AHEAD_MAX) {
            return Err(CookieFault::Future);
        }
        // R18: never later than the record that it carries; and never later than the Max-Age that the browser was told.
        if now >= stamp.time().max(seen) + ttl || now >= issued + ttl {
            return Err(CookieFault::Expired);
        }
        let seat = SeatEntry {
            pool,
            key: Key::parse(self.key).map_err(|_| CookieFault::Malformed)?,
            session: SessionId(self.session),
            server: ServerName::parse(self.server).map_err(|_| CookieFault::Malformed)?,
            incarnation: IncarnationTag::from_bits(u64::from_le_bytes(self.incarnation)),
            generation,
            stamp,
            writer: DirectorName::parse(self.writer).map_err(|_| CookieFault::Malformed)?,
            life: Life::Live,
            seen,
            minted: self.flags & FLAG_MINTED != 0,
        };
        let returns = self.flags >> RETURNS_SHIFT & RETURNS_MAX;
        Ok(Opened { shown: Shown { seat, owner: self.flags & FLAG_OWNER != 0 }, issued, returns })
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
pub(super) mod tests;
