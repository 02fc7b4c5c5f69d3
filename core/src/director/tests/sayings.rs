//! What a server says of itself in a beat is known to every director, whichever of them it beats to.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::house::{House, of};
use super::rig::*;
use super::servers::*;
use crate::health::{Input, Report};
use crate::replication::Violation;
use crate::seating::Seat;
use crate::settings::{DependencyEffect, Settings};
use crate::wire::{Message, SAID_DEPENDS_MAX, SaidWord};

const ALL: [&str; 3] = ["east-1", "east-2", "west-1"];
/// News are told within a second, and once more within another one by a third.
const HEARD: Duration = Duration::from_millis(2_500);
const MINUTE: Duration = Duration::from_mins(1);

fn depending() -> Settings {
    with(settings(2, 0), |pool| {
        pool.depends.insert("aes".to_owned(), DependencyEffect::Reset);
        pool.depends.insert("mail".to_owned(), DependencyEffect::Degrade);
        pool.depends.insert("database".to_owned(), DependencyEffect::Down);
    })
}

fn house() -> House {
    let mut house = House::new(&ALL, &depending());
    house.join_all();
    house.carry();
    house
}

/// A server that has said to one director that it drains, and the others have had time to hear of it.
fn draining(house: &mut House) -> Server {
    let mut server = Server::new("ua1");
    server.says.draining = Some(true);
    server.beat(house.at("east-1"));
    house.pass(HEARD);
    server
}

/// A server as one director sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    input: Input,
    capacity: u32,
    reported: Option<u32>,
}

fn view(house: &House, who: &str, server: &Server) -> View {
    let rig = &house.rigs[who];
    let (view, health) = (rig.director.view(), rig.director.server_health(&server.name).unwrap());
    let load = &view.server(&server.name).unwrap().1.load;
    View { input: health.standing().input, capacity: load.capacity(), reported: load.reported() }
}

fn inputs(house: &House, server: &Server) -> [Input; 3] {
    ALL.map(|who| view(house, who, server).input)
}

#[test]
fn what_is_said_to_one_director_holds_at_all_of_them() {
    let mut house = house();
    let mut server = Server::new("ua1");
    server.says = Report { draining: Some(true), capacity: Some(7), sessions: Some(3), ..Report::default() };
    server.beat(house.at("east-1"));
    house.pass(HEARD);
    for who in ALL {
        let seen = view(&house, who, &server);
        assert_eq!(seen, View { input: Input::Draining, capacity: 7, reported: Some(3) }, "{who}");
        let seat = house.at(who).start(&format!("new-{who}")).unwrap();
        assert_eq!(at(&seat), "ua2", "{who} sends nobody new there");
    }
    // Taken back at another one.
    server.says = Report { draining: Some(false), ..Report::default() };
    server.beat(house.at("west-1"));
    house.pass(HEARD);
    assert_eq!(inputs(&house, &server), [Input::Up; 3]);
    assert_eq!(ALL.map(|who| view(&house, who, &server).capacity), [1000; 3], "what it leaves out is unknown again");
}

#[test]
fn dependencies_degrade_and_fell_at_all_of_them() {
    let mut house = house();
    let mut server = Server::new("ua1");
    server.depends = vec![("mail", false)];
    server.beat(house.at("east-2"));
    house.pass(HEARD);
    assert_eq!(inputs(&house, &server), [Input::Degraded; 3]);
    server.depends = vec![("mail", true), ("database", false)];
    server.beat(house.at("east-1"));
    // It counts with the next looks: three of them, every two seconds here.
    house.pass(HEARD + Duration::from_secs(8));
    assert_eq!(inputs(&house, &server), [Input::Down; 3]);
}

#[test]
fn a_third_bridges_a_cut_and_what_is_not_repeated_lapses_everywhere() {
    let mut house = house();
    house.cut("west-1", "east-1");
    let server = draining(&mut house);
    assert_eq!(inputs(&house, &server), [Input::Draining; 3], "by the third");
    // A director that starts now is told as well.
    house.replace("west-1");
    house.pass(HEARD);
    assert_eq!(inputs(&house, &server), [Input::Draining; 3]);
    house.pass(9 * MINUTE);
    assert_eq!(inputs(&house, &server), [Input::Draining; 3], "for ten minutes, as it would without the others");
    house.pass(MINUTE);
    assert_eq!(inputs(&house, &server), [Input::Up; 3], "no word goes round and round");
}

#[test]
fn a_director_that_was_restarted_hears_of_the_beats_that_it_took_before() {
    let mut house = house();
    let server = draining(&mut house);
    house.replace("east-1");
    house.pass(HEARD);
    assert_eq!(inputs(&house, &server), [Input::Draining; 3]);
}

#[test]
fn a_reload_forgets_no_beat_that_a_former_run_heard() {
    let mut house = house();
    let server = draining(&mut house);
    house.replace("east-1");
    house.pass(HEARD);
    let reloaded = of("east-1", &ALL, &depending());
    let rig = house.at("east-1");
    rig.director.handle_settings(reloaded, rig.now).unwrap();
    assert_eq!(view(&house, "east-1", &server).input, Input::Draining);
}

#[test]
fn the_later_word_holds_whichever_way_it_came() {
    let mut house = house();
    let mut server = draining(&mut house);
    // What a look's answer leaves out, the beat goes on saying; what it says, holds.
    let silent = Report { server: Some(server.name.clone()), sessions: Some(1), ..Report::default() };
    for who in ALL {
        house.at(who).report(&server.name, silent.clone());
    }
    assert_eq!(inputs(&house, &server), [Input::Draining; 3]);
    house.at("east-2").report(&server.name, Report { draining: Some(false), ..silent });
    assert_eq!(inputs(&house, &server), [Input::Draining, Input::Up, Input::Draining]);
    house.pass(12 * Duration::from_secs(1));
    assert_eq!(view(&house, "east-2", &server).input, Input::Up, "a repeated word is no younger than its beat");
    server.beat(house.at("east-1"));
    house.pass(12 * Duration::from_secs(1));
    assert_eq!(inputs(&house, &server), [Input::Draining; 3], "a later beat is, which comes with the next round");
}

#[test]
fn a_new_life_of_the_server_voids_what_the_former_one_said() {
    let mut house = house();
    let mut server = Server::new("ua1");
    server.says.draining = Some(true);
    server.depends = vec![("mail", false)];
    server.beat(house.at("east-1"));
    house.pass(HEARD);
    // One director is told by the server itself, and hears the old word again afterwards.
    house.at("west-1").born("ua1", "boot-1");
    house.at("west-1").born("ua1", "boot-2");
    house.pass(15 * Duration::from_secs(1));
    assert_eq!(inputs(&house, &server), [Input::Draining, Input::Draining, Input::Up]);
    // The new life beats, to another one than before: it knows nothing of any draining.
    server.reborn("boot-2");
    (server.says, server.depends) = (Report::default(), Vec::new());
    server.beat(house.at("east-2"));
    house.pass(HEARD);
    assert_eq!(inputs(&house, &server), [Input::Up; 3]);
}

/// Five clients of one server, which beats to one director after the other.
fn working(house: &mut House) -> (Server, Vec<Seat>) {
    ALL.iter().for_each(|who| house.at(who).kill("ua2"));
    let mut server = Server::new("ua1");
    (server.obey, server.depends) = (true, vec![("aes", true)]);
    let seats: Vec<Seat> = (0..5).map(|key| house.at("east-1").start(&format!("agent-{key}")).unwrap()).collect();
    seats.iter().for_each(|seat| server.log_in_by(seat));
    for who in ["east-1", "east-2", "east-1", "east-2"] {
        assert_eq!(server.beat(house.at(who)).orders, []);
        house.pass(Duration::from_secs(2));
    }
    (server, seats)
}

#[test]
fn an_outage_resets_each_session_once_whichever_directors_hear_of_it() {
    for wait in [100, 900, 3_000] {
        let mut house = house();
        let (mut server, seats) = working(&mut house);
        for outage in 1..=3 {
            for up in [false, true] {
                server.depends = vec![("aes", up)];
                for who in ["east-2", "east-1", "east-2", "east-2", "east-1"] {
                    server.beat(house.at(who));
                    // Whoever is reset logs in again.
                    for seat in &seats {
                        if !server.held.iter().any(|held| held.key == seat.entry.key) {
                            server.log_in_by(seat);
                        }
                    }
                    house.pass(Duration::from_millis(wait));
                }
            }
            let count = server.obeyed.len();
            assert_eq!(count, 5 * outage, "outage {outage}, a beat each {wait} ms");
        }
    }
}

#[test]
fn a_dependency_that_worked_at_one_director_and_is_broken_at_the_next_has_turned() {
    let mut house = house();
    let (mut server, _) = working(&mut house);
    house.replace("east-2");
    house.pass(HEARD);
    server.depends = vec![("aes", false)];
    // Its list first: it has not heard one yet.
    let orders = [server.beat(house.at("east-2")), server.beat(house.at("east-2"))].map(|answer| answer.orders.len());
    assert_eq!(orders.iter().sum::<usize>(), 5, "{orders:?}");
}

fn word(change: impl FnOnce(&mut SaidWord)) -> SaidWord {
    let mut word = SaidWord {
        server: name("ua1"),
        director: name("east-2"),
        run: 1,
        beat: 1,
        age_ms: 5,
        incarnation: crate::ids::IncarnationTag::UNKNOWN,
        sessions: None,
        capacity: None,
        draining: Some(true),
        depends: Vec::new(),
    };
    change(&mut word);
    word
}

#[test]
fn what_no_director_would_say_is_dropped_and_counted() {
    let mut house = House::new(&ALL[..2], &depending());
    house.join("east-1", "east-2");
    house.carry();
    let run = house.at("east-1").director.peers.lock().run();
    let mut hear = |words: Vec<SaidWord>| {
        let rig = house.at("east-1");
        let heard = rig.director.handle_message(&name("east-2"), Message::Said(words), rig.now);
        (heard, rig.director.server_health(&name("ua1")).unwrap().standing().input, rig.director.dropped_from_peers())
    };
    let bad = [
        ("said_server", word(|it| it.server = name("ua9"))),
        ("director", word(|it| it.director = name("east-9"))),
        ("said_limit", word(|it| it.run = u64::MAX)),
    ];
    for (reason, word) in bad {
        let (heard, input, dropped) = hear(vec![word]);
        assert_eq!((heard, input, dropped.get(reason)), (Ok(()), Input::Up, Some(&1)), "{reason}");
    }
    let silent = [
        word(|it| it.age_ms = u64::MAX),
        word(|it| it.age_ms = 600_000),
        // Its own word, which came back.
        word(|it| (it.director, it.run) = (name("east-1"), run)),
    ];
    for word in silent {
        let (heard, input, _) = hear(vec![word.clone()]);
        assert_eq!((heard, input), (Ok(()), Input::Up), "{word:?}");
    }
    let many = |count: usize| word(|it| it.depends = (0..count).map(|number| (number.to_string(), false)).collect());
    assert_eq!(hear(vec![many(SAID_DEPENDS_MAX + 1)]).0, Err(Violation::Limit));
    assert_eq!(hear(vec![word(|_| ()); 257]).0, Err(Violation::Limit));
    assert_eq!(hear(vec![word(|_| ())]).1, Input::Draining, "and the right one is taken");
}

#[derive(Debug, Clone)]
enum Step {
    Beat { to: usize, draining: Option<bool>, capacity: Option<u32>, mail: Option<bool> },
    Reborn,
    Cut(usize, usize),
    Join(usize, usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let beat = (0..3_usize, any::<Option<bool>>(), proptest::option::of(1..9_u32), any::<Option<bool>>())
        .prop_map(|(to, draining, capacity, mail)| Step::Beat { to, draining, capacity, mail });
    prop_oneof![
        6 => beat,
        1 => Just(Step::Reborn),
        1 => (0..3_usize, 0..3_usize).prop_map(|(a, b)| Step::Cut(a, b)),
        2 => (0..3_usize, 0..3_usize).prop_map(|(a, b)| Step::Join(a, b)),
        5 => (1..40_u64).prop_map(Step::Pass),
    ]
}

#[test]
fn a_word_that_is_no_news_to_its_director_is_told_to_whoever_believes_an_older_one() {
    let mut house = house();
    let mut server = Server::new("ua1");
    // The second word crosses the third: where that is heard, it says what the first did.
    for (to, draining) in [("east-1", false), ("east-2", true), ("east-1", false)] {
        server.says = Report { draining: Some(draining), ..Report::default() };
        house.pass(Duration::from_millis(300));
        server.beat(house.at(to));
    }
    house.pass(HEARD);
    for who in ALL {
        assert_eq!(view(&house, who, &server).input, Input::Up, "{who}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever was said to whom and however they were cut: once they are joined, all of them hold what the last beat said.
    #[test]
    fn all_directors_come_to_hold_what_the_last_beat_said(steps in proptest::collection::vec(step(), 1..30)) {
        let mut house = House::new(&ALL, &depending());
        house.join_all();
        house.carry();
        let mut wires: BTreeMap<(usize, usize), bool> = [(0, 1), (0, 2), (1, 2)].map(|it| (it, true)).into();
        let (mut server, mut life, mut last) = (Server::new("ua1"), 1, None);
        for step in steps {
            match step {
                Step::Beat { to, draining, capacity, mail } => {
                    server.says = Report { draining, capacity, ..Report::default() };
                    server.depends = mail.into_iter().map(|up| ("mail", up)).collect();
                    // Two beats at one moment are told apart by no clock.
                    house.pass(Duration::from_millis(100));
                    server.beat(house.at(ALL[to]));
                    last = Some(draining.unwrap_or(false));
                }
                Step::Reborn => {
                    life += 1;
                    server.reborn(&format!("boot-{life}"));
                }
                Step::Cut(a, b) | Step::Join(a, b) => {
                    let join = matches!(step, Step::Join(..));
                    if let Some(up) = wires.get_mut(&(a.min(b), a.max(b))).filter(|up| **up != join) {
                        *up = join;
                        if join { house.join(ALL[a], ALL[b]) } else { house.cut(ALL[a], ALL[b]) }
                    }
                }
                Step::Pass(ticks) => house.pass(Duration::from_millis(100 * ticks)),
            }
        }
        for ((a, b), up) in wires {
            if !up {
                house.join(ALL[a], ALL[b]);
            }
        }
        house.pass(2 * HEARD);
        let all = ALL.map(|who| house.rigs[who].director.server_health(&server.name).unwrap());
        let said: Vec<_> = all.iter().map(|it| (it.said().is_draining(), it.said().capacity())).collect();
        prop_assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", said);
        if let Some(draining) = last {
            prop_assert_eq!(said[0], (draining, server.says.capacity));
        }
    }
}

#[test]
fn a_server_is_configured_alike_where_it_is_known() {
    // Who is taken out of the configuration is spoken of no more.
    let mut house = house();
    let server = draining(&mut house);
    let alone = of("west-1", &["west-1"], &depending());
    let rig = house.at("west-1");
    rig.director.handle_settings(alone, rig.now).unwrap();
    assert_eq!(view(&house, "west-1", &server).input, Input::Up, "whom nobody vouches for says nothing");
}
