//! The envelope as seen from outside: what goes in comes out, and nothing else does.

use maitred_core::entry::EndReason;
use proptest::prelude::*;

use super::super::keyring::tests::{encoded, ring};
use super::*;

pub(crate) const TTL: Duration = Duration::from_secs(24 * 3600);
pub(crate) const NOW: Time = Time(1_800_000_000_000);

pub(crate) fn pool() -> PoolName {
    PoolName::parse("ua").unwrap()
}

pub(crate) fn seals() -> Seals {
    Seals::new(ring(&format!("a {}", encoded(1))))
}

pub(crate) fn seat() -> SeatEntry {
    SeatEntry {
        pool: pool(),
        key: Key::parse("agent-1001").unwrap(),
        session: SessionId([7; 16]),
        server: ServerName::parse("ua3").unwrap(),
        incarnation: IncarnationTag::from_bits(0xfeed),
        generation: Generation::FIRST,
        stamp: Stamp::at(NOW),
        writer: DirectorName::parse("east-1").unwrap(),
        life: Life::Live,
        seen: NOW,
        minted: false,
    }
}

fn open(seals: &Seals, value: impl AsRef<[u8]>) -> Result<Opened, CookieFault> {
    seals.open_cookie(&pool(), TTL, value.as_ref(), NOW)
}

fn with_payload(alter: impl FnOnce(&mut Payload<'_>)) -> Result<Opened, CookieFault> {
    let (seals, seat) = (seals(), seat());
    let mut payload = Payload::of(&seat, true, NOW);
    alter(&mut payload);
    let value = seal_payload(seals.keyring().sealing(NOW).unwrap(), Purpose::Cookie, &payload).unwrap();
    open(&seals, value)
}

#[test]
fn the_longest_seat_fits_well_within_what_is_read() {
    let long = "x".repeat(64);
    let seat = SeatEntry {
        pool: PoolName::parse(&long).unwrap(),
        key: Key::parse(&"k".repeat(128)).unwrap(),
        server: ServerName::parse(&long).unwrap(),
        writer: DirectorName::parse(&long).unwrap(),
        generation: Generation::parse(u64::from(u32::MAX)).unwrap(),
        incarnation: IncarnationTag::from_bits(u64::MAX),
        stamp: Stamp::at(NOW + AHEAD_MAX),
        ..seat()
    };
    let value = seals().seal_cookie(&seat, true, NOW).unwrap();
    assert!(value.len() < 600, "{}", value.len());
    assert_eq!(seals().open_cookie(&seat.pool, TTL, value.as_bytes(), NOW).unwrap().shown.seat, seat);
}

#[test]
fn nothing_of_the_seat_is_readable_and_no_two_values_are_equal() {
    let (one, two) =
        (seals().seal_cookie(&seat(), true, NOW).unwrap(), seals().seal_cookie(&seat(), true, NOW).unwrap());
    assert_ne!(one, two);
    let bytes = URL_SAFE_NO_PAD.decode(&one).unwrap();
    for name in ["agent-1001", "ua3", "east-1"] {
        assert!(!bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is in clear");
    }
}

#[test]
fn an_ended_session_is_not_sealed() {
    let ended = SeatEntry { life: Life::Ended(EndReason::Client), ..seat() };
    assert_eq!(seals().seal_cookie(&ended, true, NOW), Err(SealError::Ended));
}

#[test]
fn a_cookie_of_another_pool_is_foreign() {
    let value = seals().seal_cookie(&seat(), true, NOW).unwrap();
    let other = PoolName::parse("cobrowse").unwrap();
    assert_eq!(seals().open_cookie(&other, TTL, value.as_bytes(), NOW), Err(CookieFault::ForeignPool));
}

#[test]
fn a_cookie_is_no_token_and_a_token_no_cookie() {
    let seals = seals();
    let cookie = seals.seal(Purpose::Cookie, &seat(), true, NOW).unwrap();
    let token = seals.seal(Purpose::Token, &seat(), true, NOW).unwrap();
    let any = |_: &str| Some((pool(), TTL));
    assert_eq!(seals.open(Purpose::Token, cookie.as_bytes(), NOW, any), Err(CookieFault::Forged));
    assert_eq!(seals.open(Purpose::Cookie, token.as_bytes(), NOW, any), Err(CookieFault::Forged));
    assert!(seals.open(Purpose::Token, token.as_bytes(), NOW, any).is_ok());
}

#[test]
fn a_rotation_keeps_old_cookies_until_their_key_is_retired() {
    let seals = seals();
    let old = seals.seal_cookie(&seat(), true, NOW).unwrap();
    seals.replace(ring(&format!("a {}\nb {}", encoded(1), encoded(2))));
    let new = seals.seal_cookie(&seat(), true, NOW).unwrap();
    assert!(open(&seals, &old).is_ok());
    seals.replace(ring(&format!("b {}", encoded(2))));
    assert_eq!(open(&seals, &old), Err(CookieFault::UnknownKey));
    assert!(open(&seals, &new).is_ok());
    // The same id with another secret, as two directors with different files would have it.
    seals.replace(ring(&format!("b {}", encoded(3))));
    assert_eq!(open(&seals, &new), Err(CookieFault::UnknownKey));
}

#[test]
fn a_key_that_is_not_due_here_opens_what_a_faster_clock_sealed() {
    let early = ring(&format!("a {}\nb {} from=2100-01-01T00:00:00Z", encoded(1), encoded(2)));
    let seals = seals();
    seals.replace(ring(&format!("b {}", encoded(2))));
    let value = seals.seal_cookie(&seat(), true, NOW).unwrap();
    seals.replace(early);
    assert!(open(&seals, &value).is_ok());
}

#[test]
fn a_cookie_never_outlives_the_record_that_it_carries_nor_its_max_age() {
    let seals = seals();
    let value = seals.seal_cookie(&seat(), true, NOW).unwrap();
    let at = |now| seals.open_cookie(&pool(), TTL, value.as_bytes(), now).map(|_| ());
    assert_eq!(at(NOW + TTL - Duration::from_millis(1)), Ok(()));
    assert_eq!(at(NOW + TTL), Err(CookieFault::Expired));

    let day = Duration::from_secs(24 * 3600);
    assert_eq!(with_payload(|p| (p.stamp, p.seen) = (0, (NOW - day).0)), Err(CookieFault::Expired));
    assert_eq!(with_payload(|p| p.issued = (NOW - day).0), Err(CookieFault::Expired));
    assert!(with_payload(|p| p.stamp = 0).is_ok(), "a server's word is kept alive by its sighting");
}

#[test]
fn poisoned_counters_are_refused_not_clamped() {
    assert_eq!(with_payload(|p| p.generation = 0), Err(CookieFault::Generation));
    assert_eq!(with_payload(|p| p.generation = 1 << 32), Err(CookieFault::Generation));
    let week = AHEAD_MAX;
    assert!(with_payload(|p| p.stamp = Stamp::at(NOW + week).to_bits()).is_ok());
    let later = NOW + week + Duration::from_millis(1);
    assert_eq!(with_payload(|p| p.stamp = Stamp::at(later).to_bits()), Err(CookieFault::Future));
    assert_eq!(with_payload(|p| p.seen = later.0), Err(CookieFault::Future));
    assert_eq!(with_payload(|p| p.issued = u64::MAX), Err(CookieFault::Future));
    assert_eq!(with_payload(|p| p.server = "no/name"), Err(CookieFault::Malformed));
    assert_eq!(with_payload(|p| p.key = ""), Err(CookieFault::Malformed));
}

#[test]
fn what_is_too_long_is_not_even_decoded() {
    let seals = seals();
    assert_eq!(open(&seals, vec![b'A'; VALUE_BYTES_MAX + 1]), Err(CookieFault::TooLong));
    for length in [VALUE_BYTES_MAX - 1, VALUE_BYTES_MAX] {
        assert_eq!(open(&seals, vec![b'A'; length]), Err(CookieFault::Malformed), "{length}");
    }
}

#[test]
fn every_fault_has_its_own_word() {
    let words: std::collections::BTreeSet<_> = CookieFault::ALL.iter().map(|fault| fault.as_str()).collect();
    assert_eq!(words.len(), CookieFault::ALL.len());
}

fn any_seat() -> impl Strategy<Value = SeatEntry> {
    let name = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
    let names = (name, "[^\\p{Cc}]{1,32}", name);
    let numbers = (any::<[u8; 16]>(), any::<u64>(), 1..=u64::from(u32::MAX), 0..=NOW.0 << 16, any::<bool>());
    (names, numbers).prop_map(|((server, key, writer), (session, incarnation, generation, stamp, minted))| SeatEntry {
        pool: pool(),
        key: Key::parse(&key).unwrap(),
        session: SessionId(session),
        server: ServerName::parse(&server).unwrap(),
        incarnation: IncarnationTag::from_bits(incarnation),
        generation: Generation::parse(generation).unwrap(),
        stamp: Stamp::from_bits(stamp),
        writer: DirectorName::parse(&writer).unwrap(),
        life: Life::Live,
        seen: NOW,
        minted,
    })
}

proptest! {
    #[test]
    fn what_is_sealed_comes_back(seat in any_seat(), owner: bool) {
        let seals = seals();
        let value = seals.seal_cookie(&seat, owner, NOW).unwrap();
        prop_assert_eq!(open(&seals, &value), Ok(Opened { shown: Shown { seat, owner }, issued: NOW, returns: 0 }));
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is(at in 0_usize..4096, bit in 0_u32..8) {
        let seals = seals();
        let mut bytes = URL_SAFE_NO_PAD.decode(seals.seal_cookie(&seat(), true, NOW).unwrap()).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let expected = match at {
            0 => CookieFault::Malformed,
            1..NONCE_AT => CookieFault::UnknownKey,
            _ => CookieFault::Forged,
        };
        prop_assert_eq!(open(&seals, URL_SAFE_NO_PAD.encode(bytes)), Err(expected));
    }

    #[test]
    fn a_changed_character_never_opens(at in 0_usize..4096, to: u8) {
        let seals = seals();
        let mut value = seals.seal_cookie(&seat(), true, NOW).unwrap().into_bytes();
        let at = at % value.len();
        prop_assume!(value[at] != to);
        value[at] = to;
        prop_assert!(open(&seals, value).is_err());
    }

    #[test]
    fn a_truncated_value_never_opens(keep in 0_usize..4096) {
        let seals = seals();
        let value = seals.seal_cookie(&seat(), true, NOW).unwrap();
        let fault = open(&seals, &value[..keep % value.len()]).unwrap_err();
        prop_assert!(matches!(fault, CookieFault::Malformed | CookieFault::Forged));
    }

    #[test]
    fn random_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let seals = seals();
        prop_assert!(open(&seals, &bytes).is_err());
        prop_assert!(open(&seals, URL_SAFE_NO_PAD.encode(&bytes)).is_err());
    }

    #[test]
    fn an_authentic_envelope_with_any_content_is_parsed_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let seals = seals();
        let ring = seals.keyring();
        let key = ring.sealing(NOW).unwrap();
        let nonce = fresh_nonce().unwrap();
        let mut sealed = content;
        let mac = key.cipher.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce), associated(Purpose::Cookie, key.tag), &mut sealed).unwrap();
        let envelope = [&[VERSION][..], &key.tag, &nonce, &sealed, mac.as_ref()].concat();
        prop_assert!(open(&seals, URL_SAFE_NO_PAD.encode(envelope)).is_err());
    }
}

#[test]
fn the_count_of_returns_rides_along_and_takes_no_room() {
    for returns in 0..=RETURNS_MAX + 1 {
        let value = seals().seal_cookie_after(&seat(), true, returns, NOW).unwrap();
        assert_eq!(value.len(), seals().seal_cookie(&seat(), true, NOW).unwrap().len());
        let opened = open(&seals(), value).unwrap();
        assert_eq!((opened.returns, opened.shown.owner), (returns.min(RETURNS_MAX), true));
    }
}
