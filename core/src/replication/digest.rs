//! What a table holds in 32 KiB: one number per bucket of keys, the same at every director that holds the same.
//!
//! The bytes that are hashed are written here, field by field, and never by a codec: a codec's next version must not make two
//! equal tables differ.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Time;
use crate::entry::{EndReason, Entry, Life};
use crate::session::{Seen, expires};
use crate::wire::BUCKETS;

/// Younger records are on their way already (R18).
pub(super) const YOUNG: Duration = Duration::from_secs(5);
/// What expires sooner is not worth a difference (R18)...
const SOON: Duration = Duration::from_mins(10);
/// ... unless that would leave out too much: never more than this part of its life.
const SOON_PART: u32 = 8;

/// How a record takes part in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is compared.
    Compared,
    /// It is left out, but part of a snapshot.
    Passing,
    /// It has expired, or is no session data.
    None,
}

/// How an entry of a pool with this TTL takes part.
pub(super) fn part(entry: &Entry, ttl: Duration, now: Time) -> Part {
    let (stamp, end) = match entry {
        Entry::Seat(seat) => (seat.stamp, expires(seat.life, seat.stamp, Seen::at(seat.seen), ttl)),
        // A state may outlive its stamp under a live seat; it is no longer compared then, but handed on.
        Entry::State(state) => (state.stamp, (state.stamp.time() + ttl).max(now + Duration::from_millis(1))),
        // It lives as long as its session, which has a stamp of its own.
        Entry::Confirmed(confirmed) => {
            (confirmed.stamp, (confirmed.stamp.time() + ttl).max(now + Duration::from_millis(1)))
        }
        Entry::ServerOrder(_)
        | Entry::RoleOrder(_)
        | Entry::LastVerdict(_)
        | Entry::LastRole(_)
        | Entry::Clock(_)
        | Entry::Outage(_) => {
            return Part::None;
        }
    };
    if end <= now {
        Part::None
    } else if stamp.time() + YOUNG > now || end <= now + SOON.min(ttl / SOON_PART) {
        Part::Passing
    } else {
        Part::Compared
    }
}

/// The bucket of an entry's key.
pub(super) fn bucket(entry: &Entry) -> usize {
    let Some((pool, key)) = entry.of_session() else { return 0 };
    let hash = xxh3_64(key.as_str().as_bytes()) ^ xxh3_64(pool.as_str().as_bytes()).rotate_left(17);
    usize::try_from(hash >> 32).unwrap_or(0) % BUCKETS
}

/// The hash of everything that an entry says. `bytes` is scratch.
pub(super) fn hash(entry: &Entry, bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    write(entry, bytes);
    xxh3_64(bytes)
}

/// One entry in bytes that mean the same for ever.
pub(super) fn write(entry: &Entry, bytes: &mut Vec<u8>) {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        // Every text is far below 64 KiB.
        bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    match entry {
        Entry::Seat(seat) => {
            bytes.push(1);
            text(bytes, seat.pool.as_str());
            text(bytes, seat.key.as_str());
            bytes.extend_from_slice(&seat.session.0);
            text(bytes, seat.server.as_str());
            bytes.extend_from_slice(&seat.incarnation.to_bits().to_le_bytes());
            bytes.extend_from_slice(&seat.generation.get().to_le_bytes());
            bytes.extend_from_slice(&seat.stamp.to_bits().to_le_bytes());
            text(bytes, seat.writer.as_str());
            bytes.push(match seat.life {
                Life::Live => 0,
                Life::Ended(EndReason::Client) => 1,
                Life::Ended(EndReason::Server) => 2,
                Life::Ended(EndReason::Operator) => 3,
                Life::Ended(EndReason::Superseded) => 4,
            });
            bytes.extend_from_slice(&Seen::at(seat.seen).time().0.to_le_bytes());
            bytes.push(u8::from(seat.minted));
        }
        Entry::State(state) => {
            bytes.push(2);
            text(bytes, state.pool.as_str());
            text(bytes, state.key.as_str());
            bytes.extend_from_slice(&state.session.0);
            bytes.extend_from_slice(&state.stamp.to_bits().to_le_bytes());
            bytes.extend_from_slice(&state.version.to_le_bytes());
            text(bytes, state.writer.as_str());
            bytes.extend_from_slice(&state.bytes);
        }
        Entry::Confirmed(confirmed) => {
            bytes.push(3);
            text(bytes, confirmed.pool.as_str());
            text(bytes, confirmed.key.as_str());
            bytes.extend_from_slice(&confirmed.session.0);
            bytes.push(u8::from(confirmed.by_session));
            text(bytes, confirmed.server.as_str());
            bytes.extend_from_slice(&confirmed.incarnation.to_bits().to_le_bytes());
            bytes.extend_from_slice(&confirmed.generation.get().to_le_bytes());
            text(bytes, confirmed.agent.as_str());
            bytes.extend_from_slice(&confirmed.stamp.to_bits().to_le_bytes());
            text(bytes, confirmed.writer.as_str());
        }
        Entry::ServerOrder(_)
        | Entry::RoleOrder(_)
        | Entry::LastVerdict(_)
        | Entry::LastRole(_)
        | Entry::Clock(_)
        | Entry::Outage(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use crate::entry::SeatEntry;
    use crate::ids::{Generation, IncarnationTag, Key, SessionId};

    fn seat(stamp: u64) -> SeatEntry {
        SeatEntry {
            pool: "ua".parse().unwrap(),
            key: Key::parse("agent-1001").unwrap(),
            session: SessionId([7; 16]),
            server: "ua1".parse().unwrap(),
            incarnation: IncarnationTag::from_bits(9),
            generation: Generation::FIRST,
            stamp: Stamp::at(Time(stamp)),
            writer: "east-1".parse().unwrap(),
            life: Life::Live,
            seen: Time(stamp),
            minted: false,
        }
    }

    #[test]
    fn the_bytes_of_an_entry_are_committed() {
        // A change here makes directors of two versions see a difference in every bucket, for as long as both run.
        let entry = Entry::Seat(seat(1_700_000_000_000));
        assert_eq!(hash(&entry, &mut Vec::new()), 14_913_326_369_290_876_426);
        assert_eq!(bucket(&entry), 1699);
    }

    #[test]
    fn every_field_counts() {
        let one = seat(1_700_000_000_000);
        let others = [
            SeatEntry { session: SessionId([8; 16]), ..one.clone() },
            SeatEntry { server: "ua2".parse().unwrap(), ..one.clone() },
            SeatEntry { life: Life::Ended(EndReason::Client), ..one.clone() },
            SeatEntry { minted: true, ..one.clone() },
            SeatEntry { seen: Time(1_700_000_001_000), ..one.clone() },
            SeatEntry { writer: "east-2".parse().unwrap(), ..one.clone() },
            SeatEntry { generation: Generation::FIRST.next(), ..one.clone() },
        ];
        let hash_of = |seat: &SeatEntry| hash(&Entry::Seat(seat.clone()), &mut Vec::new());
        assert!(others.iter().all(|other| hash_of(other) != hash_of(&one)));
        let same_second = SeatEntry { seen: Time(1_700_000_000_900), ..one.clone() };
        assert_eq!(hash_of(&same_second), hash_of(&one), "sightings count in whole seconds");
    }

    #[test]
    fn the_young_and_what_expires_soon_are_handed_on_but_not_compared() {
        let ttl = Duration::from_hours(24);
        let (born, entry) = (Time(1_700_000_000_000), Entry::Seat(seat(1_700_000_000_000)));
        assert_eq!(part(&entry, ttl, born + Duration::from_secs(4)), Part::Passing);
        assert_eq!(part(&entry, ttl, born + Duration::from_secs(6)), Part::Compared);
        assert_eq!(part(&entry, ttl, born + ttl - Duration::from_mins(9)), Part::Passing);
        assert_eq!(part(&entry, ttl, born + ttl), Part::None);
        // A pool that forgets within minutes is compared too.
        assert_eq!(part(&entry, Duration::from_mins(4), born + Duration::from_secs(10)), Part::Compared);
    }
}
