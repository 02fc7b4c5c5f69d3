//! What integrators and operators read: each life of a seat begins once and ends once, wherever it is read and however often the
//! reader changes directors.

use std::collections::BTreeMap;
use std::time::Duration;

use super::house::House;
use super::rig::*;
use crate::director::{End, ServerWord};
use crate::entry::{EndReason, OperatorWord};
use crate::events::{EVENTS_MAX, OfSession, Place, Reading, SessionTurn, Told, What};
use crate::logout::MassLogout;
use crate::seating::Seat;
use crate::wire::{Hello, Message, VERSION_OF_EVENTS};

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

/// Somebody who reads, goes away with nothing but the last id, and comes back elsewhere.
#[derive(Default)]
struct Reader {
    last_id: Option<String>,
    told: Vec<(String, What, String)>,
    lost: usize,
}

impl Reader {
    /// From now on, at this director.
    fn at(house: &mut House, who: &str) -> Self {
        let rig = house.at(who);
        let reading = rig.director.read_events(None, rig.now);
        Self { last_id: Some(reading.place().to_string()), ..Self::default() }
    }

    /// Reads everything that there is at a director, as a connection of its own.
    fn read(&mut self, house: &mut House, who: &str) -> &mut Self {
        let rig = house.at(who);
        let place = self.last_id.as_ref().map(|id| Place::parse(id).unwrap());
        let mut reading = rig.director.read_events(place, rig.now);
        self.read_on(house, who, &mut reading)
    }

    fn read_on(&mut self, house: &mut House, who: &str, reading: &mut Reading) -> &mut Self {
        let rig = house.at(who);
        loop {
            let told = rig.director.next_events(reading, 7, rig.now);
            if told.is_empty() {
                return self;
            }
            for told in told {
                let id = match told {
                    Told::Event { id, director, notice } => {
                        let by = director.as_str().to_owned();
                        self.told.push((by, notice.what.clone(), notice.reason.to_string()));
                        id
                    }
                    Told::Lost { id, .. } => {
                        self.lost += 1;
                        id
                    }
                };
                assert!(self.last_id.replace(id.to_string()) != Some(id.to_string()), "an id twice: {id}");
            }
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.told.iter().map(|(_, what, _)| what.name()).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.names().into_iter().filter(|told| *told == name).count()
    }

    /// Beginnings and ends by life of a seat: key, session, generation, server.
    fn lives(&self) -> BTreeMap<String, (u32, u32)> {
        let mut lives = BTreeMap::new();
        for (_, what, _) in &self.told {
            let What::Session(OfSession { turn, key, session, generation, server, .. }) = what else { continue };
            let life = format!("{} {session} {} {server}", key.as_str(), generation.get());
            let (began, ended): &mut (u32, u32) = lives.entry(life).or_default();
            match turn {
                SessionTurn::Placed | SessionTurn::Moved => *began += 1,
                SessionTurn::Ended => *ended += 1,
                _ => {}
            }
        }
        lives
    }

    #[track_caller]
    fn assert_pairs(&self, open: usize) {
        let lives = self.lives();
        let odd: Vec<_> = lives.iter().filter(|(_, (began, ended))| *began != 1 || *ended > 1).collect();
        assert!(odd.is_empty(), "{odd:?} of {:?}", self.names());
        assert_eq!(lives.values().filter(|(_, ended)| *ended == 0).count(), open, "{lives:?}");
    }
}

fn end(house: &mut House, who: &str, seat: &Seat) {
    let rig = house.at(who);
    let end = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
    rig.director.end(&pool(), &seat.entry.key, None, &end, rig.now).unwrap();
}

fn warm(names: &[&str], east: u32, west: u32) -> House {
    let mut house = House::new(names, &settings(east, west));
    house.join_all();
    house.pass(Duration::from_secs(6));
    house
}

#[test]
fn a_session_is_told_from_its_placement_to_its_end_at_every_director() {
    let mut house = warm(&ALL, 3, 2);
    let mut readers: Vec<Reader> = ALL.iter().map(|who| Reader::at(&mut house, who)).collect();
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    let to = if at(&seat) == "ua1" { "ua2" } else { "ua1" };
    let rig = house.at("west-1");
    let moved = rig.director.reseat(&pool(), &name_key("k"), None, &name(to), rig.now).unwrap().after;
    house.carry();
    let rig = house.at("east-2");
    let named = End::Session { session: moved.session, generation: moved.generation, reason: EndReason::Operator };
    rig.director.end(&pool(), &name_key("k"), None, &named, rig.now).unwrap();
    house.pass(Duration::from_secs(3));
    for (reader, who) in readers.iter_mut().zip(ALL) {
        reader.read(&mut house, who);
        assert_eq!(reader.names(), ["session_placed", "session_ended", "session_moved", "session_ended"], "{who}");
        let by: Vec<&str> = reader.told.iter().map(|(by, ..)| by.as_str()).collect();
        assert_eq!(by, ["east-1", "west-1", "west-1", "east-2"], "who decided tells, wherever it is read");
        let reasons: Vec<&str> = reader.told.iter().map(|(.., reason)| reason.as_str()).collect();
        assert_eq!(reasons, ["new", "moved", "moved", "operator"]);
        reader.assert_pairs(0);
    }
}

#[test]
fn a_seat_that_was_taken_and_left_before_anybody_looked_is_told_all_the_same() {
    let mut house = warm(&ALL[..2], 3, 0);
    let mut reader = Reader::at(&mut house, "east-2");
    for _ in 0..5 {
        let seat = house.at("east-1").start("k").unwrap();
        end(&mut house, "east-1", &seat);
    }
    house.carry();
    reader.read(&mut house, "east-2");
    assert_eq!((reader.count("session_placed"), reader.count("session_ended")), (5, 5));
    reader.assert_pairs(0);
}

#[test]
fn whoever_reads_on_elsewhere_misses_nothing_and_hears_nothing_twice() {
    let mut house = warm(&ALL, 3, 2);
    let mut reader = Reader::at(&mut house, "east-1");
    let (mut open, mut seats) = (0, Vec::new());
    for step in 0..120_usize {
        let who = ALL[(step * 7 + step / 5) % 4];
        match step % 3 {
            0 | 1 => {
                seats.push(house.at(who).start(&format!("k{step}")).unwrap());
                open += 1;
            }
            _ => {
                // At another director than the one that placed it.
                house.carry();
                let seat = seats.remove(step % seats.len());
                end(&mut house, who, &seat);
                open -= 1;
            }
        }
        if step % 4 == 0 {
            house.carry();
        }
        if step % 10 == 0 {
            house.pass(Duration::from_millis(300));
        }
        reader.read(&mut house, ALL[(step * 3) % 4]);
    }
    house.pass(Duration::from_secs(4));
    reader.read(&mut house, "west-2");
    assert_eq!(reader.lost, 0);
    reader.assert_pairs(open);
}

#[test]
fn a_director_dies_right_after_it_was_read_and_the_reader_goes_on_at_another_one() {
    let mut house = warm(&ALL[..3], 3, 2);
    let mut reader = Reader::at(&mut house, "east-1");
    let mut open = 0;
    for round in 0..20 {
        house.at("east-1").start(&format!("early-{round}")).unwrap();
        // Half of the time nothing has left the director when it dies; then nobody may have read it either.
        if round % 2 == 0 {
            house.carry();
        }
        open += 1;
        let before = reader.told.len();
        reader.read(&mut house, "east-1");
        let unread = usize::from(round % 2 == 1);
        assert_eq!(reader.count("session_placed") + unread, open, "{before}");
        house.replace("east-1");
        open -= unread;
        house.carry();
        reader.read(&mut house, "west-1");
        house.pass(Duration::from_secs(1));
        reader.read(&mut house, "east-1");
    }
    assert_eq!(reader.lost, 0, "peers know where its former runs ended");
    reader.assert_pairs(open);
}

#[test]
fn both_seats_of_a_cut_are_told_and_the_one_that_lost_is_ended_once() {
    let mut house = warm(&ALL, 3, 2);
    let mut readers: Vec<Reader> = ALL.iter().map(|who| Reader::at(&mut house, who)).collect();
    for (east, west) in [("east-1", "west-1"), ("east-1", "west-2"), ("east-2", "west-1"), ("east-2", "west-2")] {
        house.cut(east, west);
    }
    for key in 0..10 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
        house.pass(Duration::from_millis(100));
        house.at("west-2").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(20));
    for (east, west) in [("east-1", "west-1"), ("east-1", "west-2"), ("east-2", "west-1"), ("east-2", "west-2")] {
        house.join(east, west);
    }
    house.pass(Duration::from_secs(10));
    house.assert_one_table();
    for (number, who) in ALL.iter().enumerate() {
        // Each reads on at the director after its own.
        readers[number].read(&mut house, who);
        readers[number].read(&mut house, ALL[(number + 1) % 4]);
        let replaced = readers[number].told.iter().filter(|(.., reason)| reason == "double_seat").count();
        assert_eq!(replaced, 10, "{who}");
        readers[number].assert_pairs(10);
    }
}

#[test]
fn a_server_that_dies_with_many_is_one_incident_and_with_few_is_told_one_by_one() {
    let mut house = warm(&ALL[..2], 2, 0);
    for key in 0..60 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(2));
    let mut reader = Reader::at(&mut house, "east-2");
    let view = house.at("east-2").director.view();
    let lost = view.pool(&pool()).unwrap().server_named(&name("ua1")).unwrap().load.seats();
    for who in &ALL[..2] {
        house.at(who).kill("ua1");
    }
    house.pass(Duration::from_secs(70));
    reader.read(&mut house, "east-2");
    let incident = |what: &What| if let What::MassLogout { incident, .. } = what { Some(*incident) } else { None };
    let incidents: Vec<MassLogout> = reader.told.iter().filter_map(|(_, what, _)| incident(what)).collect();
    let [incident] = incidents[..] else { panic!("{:?}", reader.names()) };
    assert_eq!((incident.count, incident.of), (u64::from(lost), 60));
    assert_eq!((reader.count("session_orphaned"), reader.count("server_down")), (0, 1), "{:?}", reader.names());

    for who in &ALL[..2] {
        house.at(who).revive("ua1");
    }
    let mut reader = Reader::at(&mut house, "east-1");
    let keys: Vec<String> = (0..60).map(|key| format!("k{key}")).collect();
    for key in keys.iter().skip(5) {
        let seat = house.at("east-1").start(key).unwrap();
        end(&mut house, "east-1", &seat);
    }
    house.pass(Duration::from_secs(20));
    assert_eq!(reader.read(&mut house, "east-2").count("mass_logout"), 1, "ends are counted as well");
}

#[test]
fn what_all_directors_say_of_a_server_or_a_role_is_told_once() {
    let mut house = warm(&ALL, 1, 1);
    let mut reader = Reader::at(&mut house, "west-1");
    for who in ALL {
        house.at(who).kill("ua1");
    }
    house.pass(Duration::from_secs(40));
    let rig = house.at("east-1");
    rig.director
        .handle_server_order(&name("ub1"), &ServerWord::new(OperatorWord::Drain).because("works"), rig.now)
        .unwrap();
    house.pass(Duration::from_secs(2));
    reader.read(&mut house, "west-1");
    for once in ["server_down", "datacenter_passive", "datacenter_active", "server_drain"] {
        assert_eq!(reader.count(once), 1, "{once}: {:?}", reader.names());
    }
}

#[test]
fn of_two_orders_given_at_once_one_operator_is_told_that_the_other_one_won() {
    let mut house = warm(&ALL[..2], 2, 0);
    let mut reader = Reader::at(&mut house, "east-1");
    for (who, word) in [("east-1", OperatorWord::Drain), ("east-2", OperatorWord::Maint)] {
        let rig = house.at(who);
        rig.director.handle_server_order(&name("ua1"), &ServerWord::new(word).because(who), rig.now).unwrap();
    }
    house.pass(Duration::from_secs(2));
    // And one after the other is no conflict.
    let rig = house.at("east-1");
    rig.director.handle_server_order(&name("ua1"), &ServerWord::new(OperatorWord::Ready), rig.now).unwrap();
    house.pass(Duration::from_secs(2));
    reader.read(&mut house, "east-1");
    assert_eq!(reader.count("order_superseded"), 1, "{:?}", reader.names());
}

#[test]
fn the_older_of_two_contrary_orders_across_a_cut_is_told_once_after_the_heal() {
    // Whoever speaks first on the link, and whichever site has the older one.
    for sites in [["east-1", "west-1"], ["west-1", "east-1"]] {
        let mut house = warm(&ALL, 2, 2);
        let between = [("east-1", "west-1"), ("east-1", "west-2"), ("east-2", "west-1"), ("east-2", "west-2")];
        let mut readers: Vec<Reader> = ALL.iter().map(|who| Reader::at(&mut house, who)).collect();
        between.iter().for_each(|(a, b)| house.cut(a, b));
        for (who, word, site) in [(sites[0], OperatorWord::Maint, "west"), (sites[1], OperatorWord::Drain, "east")] {
            let rig = house.at(who);
            rig.director.handle_server_order(&name("ua1"), &ServerWord::new(word).because(who), rig.now).unwrap();
            rig.director.handle_role_order(&pool(), Some(name(site)), rig.now).unwrap();
            house.pass(Duration::from_secs(30));
        }
        between.iter().for_each(|(a, b)| house.join(a, b));
        house.pass(Duration::from_secs(10));
        for (reader, who) in readers.iter_mut().zip(ALL) {
            reader.read(&mut house, who);
            let told = reader.told.iter().filter_map(|(_, what, _)| match what {
                What::OrderSuperseded { server, lost, by, holds, .. } => {
                    Some((server.is_some(), lost.to_string(), by.as_str().to_owned(), holds.to_string()))
                }
                _ => None,
            });
            let mut told: Vec<_> = told.collect();
            told.sort();
            let by = sites[0].to_owned();
            let expected =
                [(false, "west".into(), by.clone(), "east".into()), (true, "maint".into(), by, "drain".into())];
            assert_eq!(told, expected, "{who}");
        }
    }
}

#[test]
fn whoever_falls_behind_is_told_what_is_lost_and_goes_on() {
    let mut house = warm(&ALL[..1], 3, 0);
    let mut reader = Reader::at(&mut house, "east-1");
    for number in 0..=EVENTS_MAX / 2 {
        let seat = house.at("east-1").start(&format!("k{number}")).unwrap();
        end(&mut house, "east-1", &seat);
        if number % 100 == 0 {
            let rig = house.at("east-1");
            rig.director.collect_events(rig.now);
        }
    }
    reader.read(&mut house, "east-1");
    assert_eq!((reader.lost, reader.told.len()), (1, EVENTS_MAX));
    let rig = house.at("east-1");
    assert_eq!(rig.director.events_kept().0, EVENTS_MAX, "no more is kept than that");
    house.at("east-1").start("last").unwrap();
    reader.read(&mut house, "east-1");
    assert_eq!((reader.lost, reader.told.len()), (1, EVENTS_MAX + 1));
}

#[test]
fn what_nobody_collected_is_lost_and_said_to_be() {
    let mut house = warm(&ALL[..1], 3, 0);
    let mut reader = Reader::at(&mut house, "east-1");
    // More than the shards of the bench keep, two changes at a time.
    for number in 0..3 * crate::director::feed::CHANGES_MAX {
        let seat = house.at("east-1").start(&format!("k{number}")).unwrap();
        end(&mut house, "east-1", &seat);
    }
    reader.read(&mut house, "east-1");
    assert_eq!(reader.lost, 1);
    assert!(house.at("east-1").director.events_kept().1 > 0);
    house.at("east-1").start("last").unwrap();
    assert_eq!(reader.read(&mut house, "east-1").names().last(), Some(&"session_placed"));
}

#[test]
fn kept_starts_are_told_while_somebody_listens_and_cost_nothing_else() {
    let mut house = warm(&ALL[..2], 3, 0);
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    let rig = house.at("east-1");
    rig.director.listen_for_kept(true);
    let mut reading = rig.director.read_events(None, rig.now);
    let mut reader = Reader::default();
    for _ in 0..3 {
        house.at("east-1").start("k").unwrap();
    }
    reader.read_on(&mut house, "east-1", &mut reading);
    assert_eq!(reader.names(), ["session_kept"; 3]);
    end(&mut house, "east-1", &seat);
    house.carry();
    reader.read_on(&mut house, "east-1", &mut reading);
    assert_eq!(reader.names().last(), Some(&"session_ended"));
    // The other director has the end, though it never heard of what was kept.
    let mut elsewhere = Reader { last_id: reader.last_id.clone(), ..Reader::default() };
    assert_eq!(elsewhere.read(&mut house, "east-2").told.len(), 0);
    let rig = house.at("east-1");
    rig.director.listen_for_kept(false);
    house.at("east-1").start("k").unwrap();
    house.at("east-1").start("k").unwrap();
    house.carry();
    reader.read_on(&mut house, "east-1", &mut reading);
    assert_eq!(reader.names().last(), Some(&"session_placed"));
}

#[test]
fn a_director_that_has_just_started_tells_no_reader_the_past_unless_it_asks_for_it() {
    let mut house = warm(&ALL[..2], 3, 0);
    let mut away = Reader::at(&mut house, "east-2");
    house.at("east-1").start("past").unwrap();
    house.carry();
    house.replace("east-2");
    // It is cold: nothing has been carried yet.
    let rig = house.at("east-2");
    let mut reading = rig.director.read_events(None, rig.now);
    let mut reader = Reader::default();
    reader.read_on(&mut house, "east-2", &mut reading);
    house.carry();
    // The first look of a director that is warm now.
    reader.read_on(&mut house, "east-2", &mut reading);
    house.at("east-1").start("present").unwrap();
    house.pass(Duration::from_secs(3));
    reader.read_on(&mut house, "east-2", &mut reading);
    assert_eq!(reader.count("session_placed"), 1, "{:?}", reader.names());
    assert_eq!(away.read(&mut house, "east-2").count("session_placed"), 2, "{:?}", away.names());
    assert_eq!(away.lost, 0);
}

#[test]
fn a_peer_of_the_former_protocol_is_told_no_events() {
    let mut rig = Rig::new(super::house::of("east-1", &["east-1", "east-2"], &settings(2, 0)));
    let peer = name("east-2");
    rig.director.handle_link_up(&peer, rig.now).unwrap();
    assert!(matches!(rig.director.next_message(&peer, rig.now), Some(Message::Hello(_))));
    let (datacenter, version) = (name("east"), VERSION_OF_EVENTS - 1);
    let hello = Hello { name: peer.clone(), datacenter, run: 1, version_min: 1, version, config: 0, have: Vec::new() };
    rig.director.handle_message(&peer, Message::Hello(hello), rig.now).unwrap();
    rig.start("k").unwrap();
    for _ in 0..50 {
        while let Some(message) = rig.director.next_message(&peer, rig.now) {
            assert!(!matches!(message, Message::Events { .. } | Message::EventsKnown(_)), "{message:?}");
        }
        rig.pass(Duration::from_millis(100));
    }
}
