//! Who is logged in where: confirms, aliases, one session per agent, and the state that follows the agent (R4, R5, R6, R9).

use std::time::Duration;

use super::house::House;
use super::rig::*;
use super::servers::*;
use crate::director::{
    Confirm, Confirmed, Expected, FenceRefusal, ResetReason, ServerFence, SessionState, SnapshotPlace, StateRefusal,
    StateTag,
};
use crate::entry::{EndReason, Entry, Life};
use crate::ids::{Generation, Key};
use crate::seating::{Affinity, Refusal, RequestKey, Seat};

const BEAT: Duration = Duration::from_secs(2);

fn fence(server: &Server, seat: &Seat) -> ServerFence {
    ServerFence { server: server.name.clone(), incarnation: server.tag(), generation: Some(seat.generation()) }
}

fn confirm(rig: &Rig, server: &Server, seat: &Seat, agent: &str) -> Result<Confirmed, FenceRefusal> {
    let confirm = Confirm { fence: fence(server, seat), agent: Some(name_key(agent)) };
    rig.director.confirm(&pool(), &seat.entry.key, Some(seat.session()), &confirm, rig.now)
}

fn put(rig: &Rig, server: &Server, seat: &Seat, bytes: &str) -> Result<StateTag, StateRefusal> {
    let fence = fence(server, seat);
    let expected = Expected::Anything;
    rig.director.put_agent_state(
        &pool(),
        &seat.entry.key,
        Some(seat.session()),
        &fence,
        expected,
        bytes.as_bytes(),
        rig.now,
    )
}

fn read(rig: &Rig, server: &Server, seat: &Seat) -> Result<Option<String>, StateRefusal> {
    let state = rig.director.agent_state(&pool(), &seat.entry.key, Some(seat.session()), &server.name, rig.now)?;
    Ok(state.map(|state| String::from_utf8(state.bytes).unwrap()))
}

/// Two browsers without a key, seated at two servers that beat.
fn two_tabs() -> (Rig, Vec<Server>, Seat, Seat) {
    let mut rig = Rig::new(settings(3, 0));
    let mut servers = Server::all(3);
    servers.iter_mut().for_each(|server| drop(server.beat(&mut rig)));
    let one = rig.mint().unwrap();
    let other = loop {
        let seat = rig.mint().unwrap();
        if at(&seat) != at(&one) {
            break seat;
        }
    };
    (rig, servers, one, other)
}

fn of<'a>(servers: &'a mut [Server], seat: &Seat) -> &'a mut Server {
    servers.iter_mut().find(|server| server.name == seat.server.name).unwrap()
}

#[test]
fn two_tabs_and_one_login_become_one_session_and_one_reset() {
    let (mut rig, mut servers, one, other) = two_tabs();
    of(&mut servers, &one).log_in_by(&one);
    let first = confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    assert!(first.changed && first.superseded.is_empty());
    of(&mut servers, &other).log_in_by(&other);
    let second = confirm(&rig, of(&mut servers, &other), &other, "1001").unwrap();
    assert_eq!(second.superseded.len(), 1);
    assert_eq!(second.superseded[0].key, one.entry.key);
    assert_eq!(second.superseded[0].life, Life::Ended(EndReason::Superseded));

    let mut resets = Vec::new();
    servers.iter_mut().for_each(|server| server.obey = true);
    for _ in 0..60 {
        for server in &mut servers {
            resets.extend(server.beat(&mut rig).orders.into_iter().map(|order| (server.name.clone(), order)));
            rig.good(&server.name.clone());
        }
        rig.pass(BEAT);
    }
    assert_eq!(resets.len(), 1, "{resets:?}");
    let (server, order) = &resets[0];
    assert_eq!((server, &order.key, order.first), (&one.server.name, &one.entry.key, true));
    assert_eq!(order.reason, ResetReason::Ended(EndReason::Superseded));
    let sessions = rig.director.sessions_of_agent(&pool(), &name_key("1001"), rig.now);
    assert_eq!(sessions.iter().map(|seat| &seat.key).collect::<Vec<_>>(), [&other.entry.key]);
    assert_eq!(rig.director.agent_of(&sessions[0]), Some(name_key("1001")));
}

#[test]
fn the_newest_confirm_wins_whoever_repeats_himself() {
    let (mut rig, mut servers, one, other) = two_tabs();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    confirm(&rig, of(&mut servers, &other), &other, "1001").unwrap();
    let late = confirm(&rig, of(&mut servers, &one), &one, "1001");
    assert!(matches!(late, Err(FenceRefusal::Stale(seat)) if seat.life == Life::Ended(EndReason::Superseded)));
    let again = confirm(&rig, of(&mut servers, &other), &other, "1001").unwrap();
    assert!(!again.changed && again.superseded.is_empty());
    let back = rig.ask(RequestKey::Shown(other.entry.key.clone()), Some(shown(&other)), None, &[]).unwrap();
    assert_eq!((at(&back), back.session()), (at(&other), other.session()));
    let gone = rig.ask(RequestKey::Shown(one.entry.key.clone()), Some(shown(&one)), None, &[]);
    assert_eq!(gone, Err(Refusal::SessionEnded), "its cookie begins nothing");
}

#[test]
fn a_start_with_the_agents_id_finds_the_agents_session() {
    let (mut rig, mut servers, one, _) = two_tabs();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    let found = rig.start("1001").unwrap();
    assert_eq!((at(&found), found.session(), found.affinity), (at(&one), found.session(), Affinity::Kept));
    assert_eq!(found.entry.key, one.entry.key);
    assert!(!found.owner, "an id is no proof");
    assert!(rig.found("1001").is_none(), "no second session");
    let looked = rig.director.seated(&pool(), Some(&name_key("1001")), None, rig.now).unwrap();
    assert_eq!((at(&looked), &looked.entry.key), (at(&one), &one.entry.key));

    // Its server dies: the agent's session moves, and is still found.
    rig.kill(at(&one));
    let moved = rig.start("1001").unwrap();
    assert_eq!(
        (moved.affinity, moved.session(), moved.entry.key.clone()),
        (Affinity::Moved, found.session(), one.entry.key.clone())
    );
    // It ends: the id is a key like any other.
    rig.end(&moved);
    let anew = rig.start("1001").unwrap();
    assert_eq!((anew.affinity, anew.entry.key.as_str()), (Affinity::Placed, "1001"));
}

#[test]
fn a_key_with_a_live_session_of_its_own_is_no_alias() {
    let (mut rig, mut servers, one, _) = two_tabs();
    let own = rig.start("1001").unwrap();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    assert_eq!(rig.start("1001").unwrap().session(), own.session(), "it never logged in there, and is left alone");
    confirm(&rig, of(&mut servers, &own), &own, "1001").unwrap();
    assert_eq!(rig.start("1001").unwrap().session(), own.session());
    assert!(rig.found(one.entry.key.as_str()).is_some_and(|seat| seat.life != Life::Live));
    // Without an agent the key is the agent.
    let by_key = Confirm { fence: fence(of(&mut servers, &own), &own), agent: None };
    let by_key = rig.director.confirm(&pool(), &own.entry.key, None, &by_key, rig.now).unwrap();
    assert_eq!((by_key.agent.as_str(), by_key.changed), ("1001", false));
}

#[test]
fn r1_a_confirm_moves_no_stamp_and_writes_no_seat() {
    let (mut rig, mut servers, _, _) = two_tabs();
    let seat = rig.start("1001").unwrap();
    let _ = rig.entries();
    confirm(&rig, of(&mut servers, &seat), &seat, "agent").unwrap();
    let written = rig.entries();
    assert!(matches!(written.as_slice(), [Entry::Confirmed(_)]), "{written:?}");
    assert_eq!(rig.found("1001").unwrap(), seat.entry);
    assert!(rig.entries().is_empty());
}

#[test]
fn r4_what_does_not_name_the_current_seat_changes_nothing() {
    let (mut rig, mut servers, _, _) = two_tabs();
    let seat = rig.start("1001").unwrap();
    let home = of(&mut servers, &seat).clone();
    let right = fence(&home, &seat);
    let _ = rig.entries();
    let mut reborn = home.clone();
    reborn.reborn("boot-9");
    let wrong = [
        ServerFence { server: name(other(&seat)), ..right.clone() },
        ServerFence { incarnation: reborn.tag(), ..right.clone() },
        ServerFence { generation: Some(Generation::FIRST.next()), ..right.clone() },
    ];
    for fence in wrong {
        let said = Confirm { fence: fence.clone(), agent: None };
        let refused = rig.director.confirm(&pool(), &seat.entry.key, None, &said, rig.now);
        assert_eq!(refused, Err(FenceRefusal::Stale(Box::new(seat.entry.clone()))));
        let refused =
            rig.director.put_agent_state(&pool(), &seat.entry.key, None, &fence, Expected::Anything, b"x", rig.now);
        assert_eq!(refused, Err(FenceRefusal::Stale(Box::new(seat.entry.clone())).into()));
    }
    assert!(rig.entries().is_empty());
    let nowhere = Confirm { fence: ServerFence { server: name("nobody"), ..right }, agent: None };
    assert_eq!(rig.director.confirm(&pool(), &seat.entry.key, None, &nowhere, rig.now), Err(FenceRefusal::Unknown));
}

#[test]
fn r10_a_confirm_stores_a_minted_session_and_counts_it_once() {
    let (mut rig, mut servers, one, _) = two_tabs();
    let placed: u32 = ["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    let stored = rig.found(one.entry.key.as_str()).unwrap();
    assert_eq!((stored.session, stored.stamp.to_bits()), (one.session(), 0));
    assert_eq!(["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum::<u32>(), placed);
    let back = rig.ask(RequestKey::Shown(one.entry.key.clone()), Some(shown(&one)), None, &[]).unwrap();
    assert_eq!((back.session(), back.owner, back.affinity), (one.session(), true, Affinity::Kept));
    assert_eq!(rig.director.agent_of(&back.entry), Some(name_key("1001")));
}

#[test]
fn confirmed_orphaned_and_restored_are_derived() {
    let (mut rig, mut servers, _, _) = two_tabs();
    let seat = rig.start("1001").unwrap();
    let state = |rig: &Rig| rig.director.session_state(&rig.found("1001").unwrap());
    assert_eq!(state(&rig), SessionState::Seated);
    let home = of(&mut servers, &seat);
    confirm(&rig, home, &seat, "1001").unwrap();
    assert_eq!(state(&rig), SessionState::Confirmed);
    rig.kill(at(&seat));
    assert_eq!(state(&rig), SessionState::Orphaned);
    rig.revive(at(&seat));
    assert_eq!(state(&rig), SessionState::Confirmed);
    home.reborn("boot-2");
    home.beat(&mut rig);
    assert_eq!(state(&rig), SessionState::Orphaned);
    home.log_in("1001", None);
    home.beat(&mut rig);
    assert_eq!(state(&rig), SessionState::Restored, "the server has brought it over its restart");
    rig.end(&seat);
    assert_eq!(state(&rig), SessionState::Ended);
}

#[test]
fn r9_a_state_follows_its_agent_to_the_next_server() {
    let (mut rig, mut servers, one, other) = two_tabs();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    let first = put(&rig, of(&mut servers, &one), &one, "draft").unwrap();
    assert_eq!(read(&rig, of(&mut servers, &one), &one), Ok(Some("draft".to_owned())));
    let second = put(&rig, of(&mut servers, &one), &one, "longer draft").unwrap();
    assert!(second > first);
    assert_eq!(StateTag::parse(&second.to_string()), Some(second));
    // The server dies; the agent logs in elsewhere with another browser.
    rig.kill(at(&one));
    assert_eq!(read(&rig, of(&mut servers, &other), &other), Err(FenceRefusal::Unknown.into()));
    confirm(&rig, of(&mut servers, &other), &other, "1001").unwrap();
    assert_eq!(read(&rig, of(&mut servers, &other), &other), Ok(Some("longer draft".to_owned())));
    rig.revive(at(&one));
    assert!(
        matches!(read(&rig, of(&mut servers, &one), &one), Err(StateRefusal::Fence(FenceRefusal::Stale(_)))),
        "it has left"
    );
    assert!(matches!(
        put(&rig, of(&mut servers, &one), &one, "late"),
        Err(StateRefusal::Fence(FenceRefusal::Stale(_)))
    ));
    put(&rig, of(&mut servers, &other), &other, "here").unwrap();
    assert_eq!(read(&rig, of(&mut servers, &other), &other), Ok(Some("here".to_owned())));
}

#[test]
fn two_agents_on_one_browser_never_meet_each_others_state() {
    for wiped in [false, true] {
        let (mut rig, mut servers, one, _) = two_tabs();
        confirm(&rig, of(&mut servers, &one), &one, "alice").unwrap();
        put(&rig, of(&mut servers, &one), &one, "of alice").unwrap();
        if wiped {
            rig = Rig::new(settings(3, 0));
            servers.iter_mut().for_each(|server| drop(server.beat(&mut rig)));
        }
        // She leaves without a word; the next one logs in at the same browser.
        confirm(&rig, of(&mut servers, &one), &one, "bob").unwrap();
        assert_eq!(read(&rig, of(&mut servers, &one), &one), Ok(None));
        put(&rig, of(&mut servers, &one), &one, "of bob").unwrap();
        let hers = rig.start("alice").unwrap();
        assert_ne!(hers.entry.key, one.entry.key, "her id does not lead to his session");
        confirm(&rig, of(&mut servers, &hers), &hers, "alice").unwrap();
        let found = read(&rig, of(&mut servers, &hers), &hers).unwrap();
        assert_eq!(found, (!wiped).then(|| "of alice".to_owned()));
    }
}

#[test]
fn a_state_has_a_version_a_limit_and_a_reader() {
    let (mut rig, mut servers, _, _) = two_tabs();
    let seat = rig.start("1001").unwrap();
    let home = of(&mut servers, &seat).clone();
    let fence = fence(&home, &seat);
    let put = |expected, bytes: &[u8]| {
        rig.director.put_agent_state(&pool(), &seat.entry.key, None, &fence, expected, bytes, rig.now)
    };
    let tag = put(Expected::Nothing, b"one").unwrap();
    assert_eq!(put(Expected::Nothing, b"two"), Err(StateRefusal::Changed(Some(tag))));
    let next = put(Expected::Tag(tag), b"two").unwrap();
    assert_eq!(put(Expected::Tag(tag), b"three"), Err(StateRefusal::Changed(Some(next))));
    assert_eq!(put(Expected::Anything, &[0; 4097]), Err(StateRefusal::TooLong));
    assert_eq!(read(&rig, &home, &seat), Err(StateRefusal::NotConfirmed));
    confirm(&rig, &home, &seat, "1001").unwrap();
    assert_eq!(read(&rig, &home, &seat), Ok(Some("two".to_owned())));
}

#[test]
fn with_allow_multiple_an_agent_has_several_sessions_and_each_its_state() {
    let mut rig = Rig::new(with(settings(3, 0), |pool| pool.allow_multiple = true));
    let mut servers = Server::all(3);
    servers.iter_mut().for_each(|server| drop(server.beat(&mut rig)));
    let (one, two) = (rig.start("1001").unwrap(), rig.start("1001").unwrap());
    for seat in [&one, &two] {
        let done = confirm(&rig, of(&mut servers, seat), seat, "agent").unwrap();
        assert!(done.superseded.is_empty());
        put(&rig, of(&mut servers, seat), seat, &seat.session().to_string()).unwrap();
    }
    for seat in [&one, &two] {
        assert_eq!(read(&rig, of(&mut servers, seat), seat), Ok(Some(seat.session().to_string())));
    }
    assert_eq!(rig.director.sessions_of_agent(&pool(), &name_key("agent"), rig.now).len(), 2);
}

#[test]
fn aliases_and_states_come_back_from_journal_and_snapshot_in_any_order() {
    let (rig, mut servers, one, other) = two_tabs();
    confirm(&rig, of(&mut servers, &one), &one, "1001").unwrap();
    confirm(&rig, of(&mut servers, &other), &other, "1001").unwrap();
    put(&rig, of(&mut servers, &other), &other, "draft").unwrap();
    let mut snapshot = Vec::new();
    let mut place = Some(SnapshotPlace::default());
    while let Some(from) = place {
        place = rig.director.snapshot(&from, 1, rig.now, &mut |entry| snapshot.push(entry));
    }
    let journal = rig.entries();
    for entries in [journal, snapshot] {
        let mut back = Rig::unseen(settings(3, 0));
        back.skip_ids(&rig);
        back.director.restore(entries.into_iter().rev(), back.now);
        servers.iter_mut().for_each(|server| drop(server.beat(&mut back)));
        assert_eq!(read(&back, of(&mut servers, &other), &other), Ok(Some("draft".to_owned())));
        assert_eq!(back.start("1001").unwrap().entry.key, other.entry.key);
    }
}

#[test]
fn an_alias_and_its_state_live_as_long_as_the_session_and_no_longer() {
    let (mut rig, mut servers, one, _) = two_tabs();
    let home = of(&mut servers, &one).clone();
    confirm(&rig, &home, &one, "1001").unwrap();
    put(&rig, &home, &one, "draft").unwrap();
    let mut seat = one.clone();
    for _ in 0..60 {
        rig.pass(Duration::from_hours(1));
        seat = rig.ask(RequestKey::Shown(seat.entry.key.clone()), Some(shown(&seat)), None, &[]).unwrap();
        rig.sweep();
    }
    assert_eq!(read(&rig, &home, &seat), Ok(Some("draft".to_owned())), "two days and a half");
    rig.pass(Duration::from_hours(25));
    for _ in 0..10 {
        rig.sweep();
    }
    assert_eq!(rig.director.sessions(), 0);
    assert!(rig.director.sessions_of_agent(&pool(), &Key::parse("1001").unwrap(), rig.now).is_empty());
    assert_eq!(rig.director.remembered(), (0, 0));
}

#[test]
fn an_agents_session_is_found_at_every_director_and_two_confirms_at_once_leave_one() {
    let all = ["east-1", "east-2"];
    let mut house = House::new(&all, &settings(3, 0));
    house.join_all();
    house.carry();
    let mut servers = Server::all(3);
    for who in all {
        servers.iter_mut().for_each(|server| drop(server.beat(house.at(who))));
    }
    let one = house.at("east-1").start("tab-1").unwrap();
    let mut key = 2;
    let other = loop {
        let seat = house.at("east-2").start(&format!("tab-{key}")).unwrap();
        if at(&seat) != at(&one) {
            break seat;
        }
        key += 1;
    };
    house.carry();
    house.cut("east-1", "east-2");
    for seat in [&one, &other] {
        of(&mut servers, seat).log_in_by(seat);
    }
    confirm(house.at("east-1"), of(&mut servers, &one), &one, "1001").unwrap();
    house.pass(Duration::from_secs(1));
    confirm(house.at("east-2"), of(&mut servers, &other), &other, "1001").unwrap();
    house.join("east-1", "east-2");
    house.carry();
    for who in all {
        let found = house.at(who).start("1001").unwrap();
        assert_eq!(found.entry.key, other.entry.key, "the newest confirm, at {who}");
    }
    // The server of the older one beats at any director and is told.
    let home = of(&mut servers, &one);
    home.obey = true;
    home.beat(house.at("east-2"));
    house.carry();
    for _ in 0..3 {
        house.pass(Duration::from_secs(2));
        home.beat(house.at("east-1"));
    }
    assert!(home.held.is_empty());
    let sessions = |rig: &Rig| rig.director.sessions_of_agent(&pool(), &name_key("1001"), rig.now).len();
    for who in all {
        assert_eq!(sessions(house.at(who)), 1, "{who}");
    }
    // One that has lost everything learns it again.
    house.replace("east-1");
    house.pass(Duration::from_secs(2));
    assert_eq!(house.at("east-1").start("1001").unwrap().entry.key, other.entry.key);
}
