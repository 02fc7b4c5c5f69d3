//! What one server says that it holds: its complete lists, and what they have come to lack (R8).
//!
//! ```text
//! beat: held + held_seq ──▶ a new complete list ──┐
//! beat: the same held_seq ─▶ it stands still ─────┼─▶ evidence goes on ─▶ lacking for 90 s of it: unlisted
//! beat: another or none ──▶ not valid: need_held ─┘   (silence, partial and missing lists add nothing)
//! ```
//! Owns lists and their age. Refuses to know seats: whether a listed key is a walk-in, or a lacking one matters, is decided where
//! the table is.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{Mono, Now, Time};
use crate::digest::Digest;
use crate::ids::{Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

/// Most sessions that one list may hold.
pub const HELD_MAX: usize = 20_000;
/// A key is unlisted when complete lists of the incarnation that did list it have lacked it for this long (R8).
pub const UNLISTED_AFTER: Duration = Duration::from_secs(90);
/// The most that two beats in a row prove about the time between them. Beats come every few seconds; the rest is silence, which
/// never counts.
const PROVED_BETWEEN_MAX: Duration = Duration::from_secs(30);
/// A list with a lower number than the last one is a beat that was overtaken on its way, if it comes within this time.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(10);

/// How a server came by a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// A director sent it, by a ticket.
    Ticket,
    /// The client came by itself.
    SelfMade,
}

/// One session that a server holds, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession {
    /// The key.
    pub key: Key,
    /// The session's id, where the server was told one.
    pub session: Option<SessionId>,
    /// The generation of the ticket, where there was one.
    pub generation: Option<Generation>,
    /// How it came there.
    pub via: Via,
}

/// A list is longer than [`HELD_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {HELD_MAX} sessions in one list")]
pub struct TooLong;

/// What a list tells sessions apart by: the key, and the session where the pool allows several of one key (R10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// First, so that most comparisons are one of numbers.
    hash: u64,
    /// The key.
    pub key: Key,
    /// The session, where the pool says `allow_multiple`.
    pub session: Option<SessionId>,
}

impl Place {
    /// `session` only where the pool says `allow_multiple`.
    #[must_use]
    pub fn new(key: Key, session: Option<SessionId>) -> Self {
        // Unseeded: servers are known and list what directors sent them.
        Self { hash: xxh3_64(key.as_str().as_bytes()), key, session }
    }
}

/// One listed session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is told apart by.
    pub place: Place,
    /// What the server said.
    pub held: HeldSession,
    /// Since when this incarnation has listed it without a break, by this director's clock.
    pub since: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    place: Place,
    /// On the clock of evidence.
    since: Duration,
}

/// One pool's and server's way to tell sessions apart, and whose life it is.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The pool.
    pub pool: &'a PoolName,
    /// The server.
    pub server: &'a ServerName,
    /// The life of its process.
    pub incarnation: IncarnationTag,
    /// Several sessions of one key are apart.
    pub allow_multiple: bool,
}

/// A server's latest complete list. Immutable: starts read it while the next one is made.
#[derive(Debug, Clone, Default)]
pub struct List {
    incarnation: IncarnationTag,
    seq: Option<u64>,
    valid: bool,
    /// The last beat that showed the list or repeated its number.
    heard: Option<Mono>,
    /// How long complete lists have been heard of this incarnation, without the silence between.
    evidence: Duration,
    items: Arc<[Item]>,
    gone: Arc<[Gone]>,
}

impl List {
    /// The list after one more beat.
    ///
    /// # Errors
    /// [`TooLong`]; nothing changes then.
    pub fn hear(
        &self,
        whose: Whose<'_>,
        held: Option<&[HeldSession]>,
        seq: Option<u64>,
        now: Now,
    ) -> Result<Self, TooLong> {
        if held.is_some_and(|held| held.len() > HELD_MAX) {
            return Err(TooLong);
        }
        let known = if self.incarnation == whose.incarnation {
            self.clone()
        } else {
            Self { incarnation: whose.incarnation, ..Self::default() }
        };
        Ok(match held {
            _ if known.overtook(seq, now.mono) => known,
            Some(held) => known.replaced(whose, held, seq, now),
            None if known.heard.is_some() && seq.is_some() && seq == known.seq => known.proved(now.mono),
            None => Self { valid: false, ..known },
        })
    }

    /// Whether it is complete and stands as it is: the server has shown it or repeated its number by its last beat.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.valid
    }

    /// Whose life it is about.
    #[must_use]
    pub fn incarnation(&self) -> IncarnationTag {
        self.incarnation
    }

    /// What it holds, in a fixed order.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What the server says of a key.
    #[must_use]
    pub fn find(&self, place: &Place) -> Option<&Item> {
        self.items.binary_search_by(|item| item.place.cmp(place)).ok().and_then(|at| self.items.get(at))
    }

    /// Whether this incarnation listed the key and complete lists have lacked it for long enough (R8).
    #[must_use]
    pub fn is_unlisted(&self, place: &Place) -> bool {
        let gone = self.gone.binary_search_by(|gone| gone.place.cmp(place)).ok().and_then(|at| self.gone.get(at));
        gone.is_some_and(|gone| self.evidence.saturating_sub(gone.since) >= UNLISTED_AFTER)
    }

    /// How long ago the server last showed it or repeated its number.
    #[must_use]
    pub fn age(&self, now: Mono) -> Option<Duration> {
        self.heard.map(|heard| now.since(heard))
    }

    /// What this incarnation listed and the list lacks now, and whether it has for long enough (R8).
    pub fn gone(&self) -> impl Iterator<Item = (&Place, bool)> {
        self.gone.iter().map(|gone| (&gone.place, self.evidence.saturating_sub(gone.since) >= UNLISTED_AFTER))
    }

    /// Its number.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Keys that it listed once and lacks now.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.gone.len()
    }

    /// Forgets those lacking keys that matter to nobody.
    pub fn forget_lacking(&mut self, matters: impl Fn(&Place) -> bool) {
        if !self.gone.is_empty() {
            self.gone = self.gone.iter().filter(|gone| matters(&gone.place)).cloned().collect();
        }
    }

    fn overtook(&self, seq: Option<u64>, now: Mono) -> bool {
        let newer = self.seq.zip(seq).is_some_and(|(known, told)| told < known);
        newer && self.heard.is_some_and(|heard| now.since(heard) < OVERTAKEN_WITHIN)
    }

    fn proved(mut self, now: Mono) -> Self {
        let between = self.heard.map_or(Duration::ZERO, |heard| now.since(heard));
        self.evidence += between.min(PROVED_BETWEEN_MAX);
        (self.heard, self.valid) = (Some(now), true);
        self
    }

    fn replaced(self, whose: Whose<'_>, held: &[HeldSession], seq: Option<u64>, now: Now) -> Self {
        let known = self.proved(now.mono);
        let mut items: Vec<Item> = held.iter().map(|held| item(whose, held, now.time)).collect();
        // Of two entries of one place the later generation stands.
        items.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| later(&b.held, &a.held)));
        items.dedup_by(|again, first| again.place == first.place);
        let mut gone: Vec<Gone> = Vec::new();
        let listed = |place: &Place| items.binary_search_by(|item| item.place.cmp(place)).is_ok();
        gone.extend(known.gone.iter().filter(|gone| !listed(&gone.place)).cloned());
        let lost = known.items.iter().filter(|item| !listed(&item.place));
        gone.extend(lost.map(|item| Gone { place: item.place.clone(), since: known.evidence }));
        if gone.len() > HELD_MAX {
            // Those that have been lacking for longest are the ones that count.
            gone.sort_by_key(|gone| gone.since);
            gone.truncate(HELD_MAX);
        }
        gone.sort_by(|a, b| a.place.cmp(&b.place));
        for item in &mut items {
            if let Some(before) = known.find(&item.place) {
                item.since = before.since;
            }
        }
        Self { seq, items: items.into(), gone: gone.into(), ..known }
    }
}

fn item(whose: Whose<'_>, held: &HeldSession, now: Time) -> Item {
    let session = whose.allow_multiple.then(|| held.session.unwrap_or_else(|| walk_in(whose, &held.key)));
    Item { place: Place::new(held.key.clone(), session), held: held.clone(), since: now }
}

fn later(one: &HeldSession, other: &HeldSession) -> Ordering {
    (one.generation, one.session, one.via).cmp(&(other.generation, other.session, other.via))
}

/// The id of a session that only its server knows (R5): the same at every director that hears of it, and not a secret; whoever
/// wants to end or move it must show more.
#[must_use]
pub fn walk_in(whose: Whose<'_>, key: &Key) -> SessionId {
    let digest = Digest::new("walk-in").text(whose.pool.as_str()).text(key.as_str()).text(whose.server.as_str());
    SessionId(digest.number(Some(whose.incarnation.to_bits())).finish().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Incarnation;

    struct Server {
        list: List,
        incarnation: &'static str,
        now: Now,
        allow_multiple: bool,
    }

    impl Server {
        fn new() -> Self {
            let now = Now { mono: Mono(1_000), time: Time(1_700_000_000_000) };
            Self { list: List::default(), incarnation: "boot-1", now, allow_multiple: false }
        }

        fn wait(&mut self, seconds: u64) {
            let time = Duration::from_secs(seconds);
            self.now = Now { mono: self.now.mono + time, time: self.now.time + time };
        }

        fn says(&mut self, held: Option<&[&str]>, seq: Option<u64>) {
            let held: Option<Vec<HeldSession>> = held.map(|keys| keys.iter().map(|key| one(key)).collect());
            let whose = Whose {
                pool: &PoolName::parse("ua").unwrap(),
                server: &ServerName::parse("ua1").unwrap(),
                incarnation: Incarnation::parse(self.incarnation).unwrap().tag(),
                allow_multiple: self.allow_multiple,
            };
            self.list = self.list.hear(whose, held.as_deref(), seq, self.now).unwrap();
        }

        fn lists(&self, key: &str) -> bool {
            self.list.find(&place(key)).is_some()
        }

        fn unlisted(&self, key: &str) -> bool {
            self.list.is_unlisted(&place(key))
        }
    }

    fn one(key: &str) -> HeldSession {
        HeldSession { key: Key::parse(key).unwrap(), session: None, generation: None, via: Via::Ticket }
    }

    fn place(key: &str) -> Place {
        Place::new(Key::parse(key).unwrap(), None)
    }

    #[test]
    fn a_list_stands_while_beats_repeat_its_number() {
        let mut server = Server::new();
        server.says(None, None);
        assert!(!server.list.is_valid(), "an absent list is not an empty one");
        server.says(Some(&["a", "b"]), Some(7));
        assert!(server.list.is_valid() && server.lists("a") && server.lists("b") && !server.lists("c"));
        server.says(None, Some(7));
        assert!(server.list.is_valid() && server.lists("a"));
        server.says(None, Some(8));
        assert!(!server.list.is_valid(), "somebody came or went: the list is to be told again");
        server.says(None, Some(7));
        assert!(server.list.is_valid(), "that was the list of this number");
        server.says(None, None);
        assert!(!server.list.is_valid(), "a missing field proves nothing");
    }

    #[test]
    fn a_list_without_a_number_counts_once() {
        let mut server = Server::new();
        server.says(Some(&["a"]), None);
        assert!(server.list.is_valid() && server.lists("a"));
        server.says(None, None);
        assert!(!server.list.is_valid());
    }

    #[test]
    fn r8_unlisted_after_ninety_seconds_of_complete_lists_that_lack_it() {
        let mut server = Server::new();
        server.says(Some(&["a", "b"]), Some(1));
        server.wait(5);
        server.says(Some(&["b"]), Some(2));
        for _ in 0..17 {
            server.wait(5);
            server.says(None, Some(2));
            assert!(!server.unlisted("a"));
        }
        server.wait(5);
        server.says(None, Some(2));
        assert!(server.unlisted("a"));
        assert!(!server.unlisted("b"));
        assert!(!server.unlisted("c"), "what it never listed is not unlisted");
        server.says(Some(&["a", "b"]), Some(3));
        assert!(!server.unlisted("a"));
    }

    #[test]
    fn r8_silence_and_missing_fields_never_count() {
        let mut server = Server::new();
        server.says(Some(&["a"]), Some(1));
        server.says(Some(&[]), Some(2));
        server.wait(3600);
        assert!(!server.unlisted("a"), "silence");
        server.says(None, Some(2));
        assert!(!server.unlisted("a"), "the beat after it proves no more than half a minute");
        for _ in 0..100 {
            server.wait(5);
            server.says(None, None);
        }
        assert!(!server.unlisted("a"), "beats without a word about the list");
    }

    #[test]
    fn a_new_life_has_listed_nothing_yet() {
        let mut server = Server::new();
        server.says(Some(&["a"]), Some(9));
        server.incarnation = "boot-2";
        server.says(None, Some(9));
        assert!(!server.list.is_valid() && !server.lists("a"));
        server.says(Some(&[]), Some(1));
        for _ in 0..40 {
            server.wait(5);
            server.says(None, Some(1));
        }
        assert!(server.list.is_valid() && !server.unlisted("a"), "another life listed it");
    }

    #[test]
    fn an_overtaken_beat_changes_nothing_but_a_lower_number_that_stays_does() {
        let mut server = Server::new();
        server.says(Some(&["a", "b"]), Some(5));
        server.wait(1);
        server.says(Some(&["a"]), Some(4));
        assert!(server.lists("b") && server.list.is_valid());
        server.wait(11);
        server.says(Some(&["a"]), Some(4));
        assert!(!server.lists("b"), "a server that counts anew is believed");
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_whole() {
        let server = Server::new();
        let held: Vec<HeldSession> = (0..=HELD_MAX).map(|key| one(&format!("k{key}"))).collect();
        let pool = PoolName::parse("ua").unwrap();
        let name = ServerName::parse("ua1").unwrap();
        let whose =
            Whose { pool: &pool, server: &name, incarnation: IncarnationTag::from_bits(1), allow_multiple: false };
        assert_eq!(server.list.hear(whose, Some(&held), None, server.now).err(), Some(TooLong));
        assert!(server.list.hear(whose, Some(&held[1..]), None, server.now).is_ok());
    }

    #[test]
    fn what_came_and_went_is_bounded_too() {
        let mut server = Server::new();
        for round in 0..5 {
            let keys: Vec<String> = (0..HELD_MAX / 2).map(|key| format!("{round}-{key}")).collect();
            server.says(Some(&keys.iter().map(String::as_str).collect::<Vec<_>>()), Some(round));
            server.wait(5);
        }
        assert_eq!(server.list.lacking(), HELD_MAX);
        server.list.forget_lacking(|place| place.key.as_str() == "0-1");
        assert_eq!(server.list.lacking(), 1);
    }

    #[test]
    fn sessions_of_one_key_are_apart_only_where_the_pool_allows_several() {
        let mut server = Server::new();
        server.says(Some(&["a", "a"]), Some(1));
        assert_eq!(server.list.items().len(), 1);
        server.allow_multiple = true;
        server.says(Some(&["a", "b"]), Some(2));
        let sessions: Vec<_> = server.list.items().iter().map(|item| item.place.session).collect();
        assert!(sessions.iter().all(Option::is_some) && sessions[0] != sessions[1]);
    }

    proptest! {
        /// Whatever beats come: a key is never both listed and lacking, and unlisted only after lists that lacked it.
        #[test]
        fn a_key_is_listed_or_lacking_never_both(
            beats in prop::collection::vec((prop::option::of(prop::collection::vec(0..4_u8, 0..4)), prop::option::of(0..4_u64), 0..40_u64), 1..60),
        ) {
            let mut server = Server::new();
            let mut lacked = [0_u64; 4];
            for (held, seq, wait) in beats {
                server.wait(wait);
                let names: Option<Vec<String>> = held.map(|held| held.iter().map(|key| format!("k{key}")).collect());
                let names: Option<Vec<&str>> = names.as_ref().map(|names| names.iter().map(String::as_str).collect());
                server.says(names.as_deref(), seq);
                for (key, lacked) in lacked.iter_mut().enumerate() {
                    let name = format!("k{key}");
                    prop_assert!(!(server.lists(&name) && server.unlisted(&name)));
                    *lacked = if server.lists(&name) { 0 } else { *lacked + wait };
                    if server.unlisted(&name) {
                        prop_assert!(*lacked >= 90, "{name} for {lacked} s");
                    }
                }
            }
        }
    }
}
