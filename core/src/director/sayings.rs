//! What servers say of themselves in beats, told by whichever director their beats reach: draining, capacity, sessions,
//! dependencies.
//!
//! A server beats to one director; what it says decides at all of them. So each director tells the others the latest beat of each
//! server that it knows, its own or one that it was told. Words carry their age and no wall clock, are repeated and grow old, as a
//! beat to this director itself does: what is not repeated for ten minutes lapses, and nothing has to be taken back. Which of two
//! words holds is [`Said`](crate::health::Said)'s. A dependency that resets turns where the beat is heard, and the outage is told as
//! the register that it is, so that no outage is counted twice.
//!
//! Owns when and to whom it is told, and what is not believed.

use std::time::Duration;

use super::Director;
use super::control::Control;
use super::hearsay::Reason;
use super::telling::Cadence;
use crate::clock::{Mono, Now, Since, millis};
use crate::fault::{Fault, planted};
use crate::health::{Change, HeardBeat, LatestReport, Report, WORD_LASTS};
use crate::ids::{DirectorName, ServerName};
use crate::session::STAMP_AHEAD_MAX;
use crate::wire::{Message, SAID_DEPENDS_MAX, SaidWord, WORDS_MAX};

/// Other news than how many sessions there are wait a second: a crowd that logs in is no news.
const CADENCE: Cadence = Cadence { every: Duration::from_secs(10), news_every: Duration::from_secs(1) };

impl Control {
    /// Notes that the others should hear soon what a server says, when it says otherwise than before.
    pub(super) fn note_saying(&mut self, server: &ServerName, before: Option<&LatestReport>) {
        let Some(beat) = self.watch.server(server).and_then(|health| health.said().beat()) else { return };
        if before.is_none_or(|before| !before.agrees(beat)) {
            self.hearsay.sayings += 1;
        }
    }

    /// What to tell a peer now, if it is time.
    pub(super) fn sayings_for(&mut self, peer: &DirectorName, run: u64, now: Now) -> Vec<Message> {
        if !self.hearsay.sayings_are_due(peer, CADENCE, now.mono) {
            return Vec::new();
        }
        let me = &self.settings.director;
        let words = self.settings.pools.values().flat_map(|pool| {
            pool.servers.keys().filter_map(|server| {
                let beat = self.watch.server(server)?.said().beat()?;
                let of = |(name, up): (&String, &bool)| pool.depends.contains_key(name).then(|| (name.clone(), *up));
                let depends = beat.report.depends.iter().filter_map(of).collect();
                Some(word_of(server, beat, (me, run), depends, now.mono))
            })
        });
        packed(words.filter(|word| Duration::from_millis(word.age_ms) < WORD_LASTS))
    }
}

impl Director {
    /// Takes another director's word of what a server said, if it is news; hands it on then.
    pub(super) fn hear_saying(
        &self,
        control: &mut Control,
        word: SaidWord,
        (way, run): (Duration, u64),
        now: Now,
    ) -> Result<Vec<Change>, Reason> {
        let mine = word.director == control.settings.director;
        if !mine && !control.settings.peers.contains_key(&word.director) {
            return Err("director");
        }
        if word.run > (now.time + STAMP_AHEAD_MAX).0 {
            return Err("said_limit");
        }
        let before = control.watch.server(&word.server).ok_or("said_server")?.said().beat().cloned();
        // What this run heard itself it knows; what a former one heard it has forgotten.
        if (mine && word.run == run) || planted(Fault::HearNoBeats) {
            return Ok(Vec::new());
        }
        let said = Since::new(now.mono, Duration::from_millis(word.age_ms).saturating_add(way));
        let (server, sessions) = (word.server, word.sessions);
        let report = Report {
            sessions,
            capacity: word.capacity,
            draining: word.draining,
            depends: word.depends.into_iter().collect(),
            ..Report::default()
        };
        let heard = Some(HeardBeat { director: word.director, run: word.run, beat: word.beat });
        let told = LatestReport { report, life: word.incarnation, said, heard };
        let outdated = before.as_ref().is_some_and(|known| !known.agrees(&told) && known.said.is_after(said));
        let settings = std::sync::Arc::clone(&control.settings);
        let Some(changes) = control.watch.hear_beat(&server, told, &settings, now) else {
            // What this director knows was no news to it, but whoever believes an older word has not heard of it.
            control.hearsay.sayings += u64::from(outdated);
            return Ok(Vec::new());
        };
        control.note_saying(&server, before.as_ref());
        self.count_report(control, &server, sessions, said, now);
        Ok(changes)
    }
}

fn word_of(
    server: &ServerName,
    beat: &LatestReport,
    (me, run): (&DirectorName, u64),
    depends: Vec<(String, bool)>,
    now: Mono,
) -> SaidWord {
    let age = beat.said.age(now);
    let (director, run, number) = match &beat.heard {
        Some(heard) => (heard.director.clone(), heard.run, heard.beat),
        // It came when it was said.
        None => (me.clone(), run, now.0.saturating_sub(millis(age))),
    };
    SaidWord {
        server: server.clone(),
        director,
        run,
        beat: number,
        age_ms: millis(age),
        incarnation: beat.life,
        sessions: beat.report.sessions,
        capacity: beat.report.capacity,
        draining: beat.report.draining,
        depends,
    }
}

/// As few messages as their limits allow.
fn packed(words: impl Iterator<Item = SaidWord>) -> Vec<Message> {
    let mut messages: Vec<Vec<SaidWord>> = Vec::new();
    let mut depends = 0;
    for mut word in words {
        word.depends.truncate(SAID_DEPENDS_MAX);
        depends += word.depends.len();
        match messages.last_mut() {
            Some(message) if message.len() < WORDS_MAX && depends <= SAID_DEPENDS_MAX => message.push(word),
            _ => {
                depends = word.depends.len();
                messages.push(vec![word]);
            }
        }
    }
    messages.into_iter().map(Message::Said).collect()
}
