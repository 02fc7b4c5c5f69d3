//! A director that has just started and is still catching up asks its peers before it places a key that it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use maitred_core::director::Director;
use maitred_core::ids::{DirectorName, Key, SessionId};
use maitred_core::seating::{RequestKey, StartRequest};
use maitred_core::session::TableOptions;
use maitred_core::wire::{Lane, Message};

use super::fixture::{Fixture, config, parse};

/// Cold directors to try: each is warm after 5 s by itself, and a loaded machine may need longer for one answer.
const TRIES: usize = 20;

/// The server that a start of the key is sent to.
fn sent_to(fixture: &Fixture) -> String {
    fixture.get("/?agent=1001").server().to_owned()
}

#[test]
fn a_known_session_is_kept_although_the_records_have_not_come_yet() {
    let (me, peer): (DirectorName, DirectorName) = (parse("east-1"), parse("east-2"));
    let natural = sent_to(&Fixture::start());
    let elsewhere = ["ua1", "ua2", "ua3"].into_iter().find(|name| *name != natural).unwrap();
    let mut cold = config();
    cold.settings.peers = BTreeMap::from([(peer.clone(), parse("east"))]);
    let mut theirs = cold.settings.clone();
    (theirs.director, theirs.peers) = (peer.clone(), BTreeMap::from([(me.clone(), parse("east"))]));

    for _ in 0..TRIES {
        let fixture = Fixture::with(&cold);
        let (director, clock) = (&fixture.edge.director, &fixture.edge.clock);
        let other = Director::new(theirs.clone(), TableOptions::default(), clock.now()).unwrap();
        let key = Key::parse("1001").unwrap();
        let (pool, session) = (parse("ua"), SessionId([7; 16]));
        let start = StartRequest {
            pool: &pool,
            key: RequestKey::Given(key.clone()),
            shown: None,
            labels: &[],
            avoid: None,
            session,
        };
        other.start(&start, clock.now()).unwrap();
        other.reseat(&pool, &key, None, &parse(elsewhere), clock.now()).unwrap();
        director.handle_link_up(&peer, clock.now()).unwrap();
        other.handle_link_up(&me, clock.now()).unwrap();
        let sent = std::thread::scope(|scope| {
            let asking = scope.spawn(|| sent_to(&fixture));
            // Everything is carried but records: the director stays cold.
            let carried = |message: &Message| message.lane() == Lane::Words;
            while !asking.is_finished() {
                while let Some(message) = director.next_message(&peer, clock.now()) {
                    if carried(&message) {
                        other.handle_message(&me, message, clock.now()).unwrap();
                    }
                }
                while let Some(message) = other.next_message(&me, clock.now()) {
                    if carried(&message) {
                        director.handle_message(&peer, message, clock.now()).unwrap();
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            asking.join().unwrap()
        });
        if sent == elsewhere {
            return;
        }
    }
    panic!("nobody was sent to {elsewhere}, where the peer knows the session");
}
