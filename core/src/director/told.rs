//! What servers list otherwise than the table says, told by whichever director their beats reach (R8).
//!
//! A server beats to one director; its list decides at all of them. So each director tells the others which life of each server
//! beats to it, and where the list and the own table differ. Words carry their age and no wall clock, are repeated while they
//! hold and lapse when they are not, so nothing has to be taken back. They move nobody: they are looked at when a start finds
//! that its session's server may have lost it, and when a server is told to reset.
//!
//! What a list never held is not told: that the table seats a key at a server whose list has never named it is no evidence (R8). A
//! director that has that list itself is kinder for it than R6 asks and leaves an older stay alone, one that has not gives the reset
//! that R6 allows; both after a minute, and both where the record's start came later. And a server whose beats end is spoken of no
//! more: after half a minute only the director that heard it last knows its list. Another one then keeps a session by its record
//! (R7, R14), as if nobody listed anything; its start has a stamp, and so settles it everywhere.
//!
//! Owns what was told and to whom. Refuses to know what follows from it. One lock, a leaf; while nothing was told, no start takes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

use super::hearsay::Reason;
use super::telling::{Cadence, Telling};
use crate::clock::{Mono, Now, Since, millis};
use crate::held::Place;
use crate::ids::{DirectorName, IncarnationTag, ServerName};
use crate::session::STAMP_AHEAD_MAX;
use crate::settings::{PoolSettings, Settings};
use crate::wire::{LIST_ITEMS_MAX, ListItem, ListSays, ListWord, Message, WORDS_MAX};

/// Most differences of one server's list that are told: more than a dead server's sessions, spread over the others. The rest
/// follows as those are settled.
const ITEMS_MAX: usize = 1024;
/// News are told no more often than each second: a crowd that logs in makes one message.
const CADENCE: Cadence = Cadence { every: Duration::from_secs(10), news_every: Duration::from_secs(1) };
/// A word that is not repeated lapses: its server beats no more, or differs no more.
const LASTS: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Told {
    inner: RwLock<Inner>,
    /// Servers that others spoke of.
    spoken_of: AtomicUsize,
    /// Servers of which somebody said that their list lacks a key.
    lacking: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    own: BTreeMap<ServerName, Own>,
    heard: BTreeMap<ServerName, BTreeMap<DirectorName, Heard>>,
    peers: BTreeMap<DirectorName, Telling>,
    /// Rises with what the others should hear soon.
    news: u64,
}

/// What this director has from a server's own beats.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) incarnation: IncarnationTag,
    pub(super) held_seq: Option<u64>,
    pub(super) at: Mono,
    pub(super) items: Vec<ListItem>,
}

/// What another director, which heard a server last, told of its list.
#[derive(Debug)]
pub(super) struct LastWord {
    /// The life of the server.
    pub(super) life: IncarnationTag,
    /// What the list says of the place; `None`: the same as that director's table.
    pub(super) says: Option<ListSays>,
}

/// What one director told of one server.
#[derive(Debug)]
struct Heard {
    run: u64,
    beat: u64,
    held_seq: Option<u64>,
    incarnation: IncarnationTag,
    since: Since,
    items: BTreeMap<Place, (u64, ListSays, Since)>,
}

impl Told {
    /// A server's beat that showed a valid list, and what that says otherwise.
    pub(super) fn own(&self, server: &ServerName, mut own: Own) {
        own.items.truncate(ITEMS_MAX);
        let mut inner = self.inner.write();
        let same = inner.own.get(server).is_some_and(|it| it.incarnation == own.incarnation && it.items == own.items);
        inner.news += u64::from(!same);
        inner.own.insert(server.clone(), own);
    }

    /// A new link: everything is told anew.
    pub(super) fn begin(&self, peer: &DirectorName) {
        self.inner.write().peers.remove(peer);
    }

    /// Forgets what is not configured any more.
    pub(super) fn configure(&self, settings: &Settings) {
        let mut inner = self.inner.write();
        inner.own.retain(|server, _| pool_of(settings, server).is_some());
        inner.heard.retain(|server, by| {
            by.retain(|director, _| settings.peers.contains_key(director));
            pool_of(settings, server).is_some() && !by.is_empty()
        });
        inner.peers.retain(|peer, _| settings.peers.contains_key(peer));
        self.count(&inner);
    }

    fn count(&self, inner: &Inner) {
        self.spoken_of.store(inner.heard.len(), Relaxed);
        let lacks = |heard: &Heard| heard.items.values().any(|(_, says, _)| matches!(says, ListSays::Lacks { .. }));
        self.lacking.store(inner.heard.values().filter(|by| by.values().any(lacks)).count(), Relaxed);
    }

    /// Takes another director's words; the lives of servers that they speak of, for a start to know without a lock that it must
    /// look closer.
    pub(super) fn hear(
        &self,
        words: Vec<ListWord>,
        way: Duration,
        settings: &Settings,
        now: Now,
    ) -> (Vec<(ServerName, IncarnationTag)>, Vec<Reason>) {
        let mut inner = self.inner.write();
        let (mut lives, mut dropped) = (Vec::new(), Vec::new());
        for word in words {
            let life = (word.server.clone(), word.incarnation);
            match inner.hear(word, way, settings, now) {
                Ok(()) => lives.push(life),
                Err(reason) => dropped.push(reason),
            }
        }
        self.count(&inner);
        (lives, dropped)
    }

    /// What a server's list says, if another director heard of it later than `own_age`: the latest word alone decides.
    pub(super) fn latest(
        &self,
        server: &ServerName,
        place: &Place,
        own_age: Option<Duration>,
        now: Mono,
    ) -> Option<LastWord> {
        if self.is_empty() {
            return None;
        }
        let inner = self.inner.read();
        let heard = inner.heard.get(server)?.values().min_by_key(|heard| (heard.since.age(now), heard.incarnation))?;
        let age = heard.since.age(now);
        let says = heard.items.get(place).map(|(_, says, _)| says.clone());
        let last = LastWord { life: heard.incarnation, says };
        (age <= LASTS && own_age.is_none_or(|own| age < own)).then_some(last)
    }

    /// Whether somebody said that a list lacks something: without, no seat is unlisted.
    pub(super) fn may_lack(&self) -> bool {
        self.lacking.load(Relaxed) > 0
    }

    /// Whether nothing was told at all.
    pub(super) fn is_empty(&self) -> bool {
        self.spoken_of.load(Relaxed) == 0
    }

    /// What to tell a peer now, own words and those heard of others, if it is time.
    pub(super) fn words_for(&self, peer: &DirectorName, me: &DirectorName, run: u64, now: Mono) -> Vec<Message> {
        let mut inner = self.inner.write();
        let news = inner.news;
        if !inner.peers.entry(peer.clone()).or_default().is_due(news, CADENCE, now) {
            return Vec::new();
        }
        let own = inner.own.iter().map(|(server, own)| {
            let word = ListWord {
                server: server.clone(),
                director: me.clone(),
                run,
                beat: own.at.0,
                age_ms: millis(now.since(own.at)),
                incarnation: own.incarnation,
                held_seq: own.held_seq,
                says: Vec::new(),
                more: false,
            };
            (word, own.items.clone())
        });
        let heard = inner.heard.iter().flat_map(|(server, by)| by.iter().map(move |it| (server, it)));
        let heard = heard.filter(|(_, (director, _))| *director != peer).map(|(server, (director, heard))| {
            let fresh = heard.items.iter().filter(|(_, (_, _, since))| since.age(now) <= LASTS);
            // What was told before the latest word goes on growing old where it is.
            let items = fresh.filter(|(_, (beat, ..))| *beat == heard.beat).map(|(place, (_, says, _))| ListItem {
                key: place.key.clone(),
                session: place.session,
                says: says.clone(),
            });
            let word = ListWord {
                server: server.clone(),
                director: director.clone(),
                run: heard.run,
                beat: heard.beat,
                age_ms: millis(heard.since.age(now)),
                incarnation: heard.incarnation,
                held_seq: heard.held_seq,
                says: Vec::new(),
                more: false,
            };
            (word, items.collect())
        });
        let fresh = own.chain(heard).filter(|(word, _)| Duration::from_millis(word.age_ms) <= LASTS);
        packed(fresh)
    }
}

impl Inner {
    fn hear(&mut self, word: ListWord, way: Duration, settings: &Settings, now: Now) -> Result<(), Reason> {
        if word.director == settings.director {
            return Ok(());
        }
        if !settings.peers.contains_key(&word.director) {
            return Err("director");
        }
        let pool = pool_of(settings, &word.server).ok_or("list_server")?;
        if word.run > (now.time + STAMP_AHEAD_MAX).0 {
            return Err("list_limit");
        }
        let since = Since::new(now.mono, Duration::from_millis(word.age_ms).saturating_add(way));
        if since.age(now.mono) > LASTS {
            return Ok(());
        }
        let by = self.heard.entry(word.server).or_default();
        let new = || Heard {
            run: word.run,
            beat: 0,
            held_seq: None,
            incarnation: word.incarnation,
            since,
            items: BTreeMap::new(),
        };
        let heard = by.entry(word.director).or_insert_with(new);
        if (word.run, word.beat) >= (heard.run, heard.beat) {
            if word.run != heard.run || word.incarnation != heard.incarnation {
                *heard = new();
            }
            if word.beat > heard.beat {
                // By whichever way it came first: what goes around must grow old.
                (heard.beat, heard.since, heard.held_seq) = (word.beat, since, word.held_seq);
            }
            heard.items.retain(|_, (_, _, since)| since.age(now.mono) <= LASTS);
            let beat = word.beat;
            for item in word.says {
                let session = item.session.filter(|_| pool.allow_multiple);
                let place = Place::new(item.key, session);
                let known = heard.items.get(&place).map(|(beat, ..)| *beat);
                if known.is_none_or(|known| known < beat) && (known.is_some() || heard.items.len() < ITEMS_MAX) {
                    heard.items.insert(place, (beat, item.says, since));
                }
            }
            if !word.more {
                heard.items.retain(|_, (of, ..)| *of == beat);
            }
        }
        Ok(())
    }
}

/// As few messages as their limits allow.
fn packed(words: impl Iterator<Item = (ListWord, Vec<ListItem>)>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let (mut waiting, mut items): (Vec<ListWord>, usize) = (Vec::new(), 0);
    let parts = words.flat_map(|(word, says)| {
        let count = says.len().div_ceil(LIST_ITEMS_MAX).max(1);
        (1..=count).map(move |part| {
            let says = says.chunks(LIST_ITEMS_MAX).nth(part - 1).unwrap_or_default().to_vec();
            ListWord { says, more: part < count, ..word.clone() }
        })
    });
    for word in parts {
        if waiting.len() == WORDS_MAX || items + word.says.len() > LIST_ITEMS_MAX {
            messages.push(Message::Lists(std::mem::take(&mut waiting)));
            items = 0;
        }
        items += word.says.len();
        waiting.push(word);
    }
    if !waiting.is_empty() {
        messages.push(Message::Lists(waiting));
    }
    messages
}

fn pool_of<'a>(settings: &'a Settings, server: &ServerName) -> Option<&'a PoolSettings> {
    settings.pools.values().find(|pool| pool.servers.contains_key(server)).map(|pool| &**pool)
}
