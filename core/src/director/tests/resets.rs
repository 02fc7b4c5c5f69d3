//! Double seats: which of two stays is reset, when, and that a stay which comes back is found again (R6).

use std::time::Duration;

use super::rig::*;
use super::servers::*;
use crate::director::{ResetOrder, ResetReason};
use crate::entry::{EndReason, Entry, SeatEntry};
use crate::held::{HeldSession, Via};
use crate::ids::{Generation, SessionId};
use crate::seating::Seat;

const BEAT: Duration = Duration::from_secs(2);

/// A seat, a server that does not have it, and a ticket which that server was shown all the same: of so many generations more.
fn apart(rig: &mut Rig, ahead: u32) -> (Seat, Server) {
    let seat = rig.start("1001").unwrap();
    let other = Server::new(other(&seat));
    (seat.clone(), with_ticket(other, &seat, ahead))
}

fn with_ticket(mut server: Server, seat: &Seat, ahead: u32) -> Server {
    let mut generation = seat.generation();
    (0..ahead).for_each(|_| generation = generation.next());
    server.log_in("1001", Some(seat));
    server.held = vec![HeldSession {
        key: seat.entry.key.clone(),
        session: Some(seat.session()),
        generation: Some(generation),
        via: Via::Ticket,
    }];
    server
}

/// Beats for so long, or until there is an order.
fn orders(rig: &mut Rig, server: &mut Server, seconds: u64) -> Vec<ResetOrder> {
    for _ in 0..=seconds / BEAT.as_secs() {
        for server in rig.servers() {
            rig.good(&server);
        }
        let orders = server.beat(rig).orders;
        if !orders.is_empty() {
            return orders;
        }
        rig.pass(BEAT);
    }
    Vec::new()
}

#[test]
fn r6_a_loser_with_the_higher_generation_is_reset_a_minute_after_a_start_that_came_later() {
    let mut rig = Rig::new(settings(2, 0));
    let (seat, mut loser) = apart(&mut rig, 1);
    assert_eq!(orders(&mut rig, &mut loser, 150), [], "a later start that nobody remembers may have seated it");
    let kept = rig.back(&seat).unwrap();
    assert!(kept.entry.stamp > seat.entry.stamp && kept.generation() == seat.generation());
    assert_eq!(loser.beat(&mut rig).orders, [], "not at once: the generation does not settle it");
    let told = orders(&mut rig, &mut loser, 70);
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].reason, told[0].generation), (&ResetReason::Moved, Some(seat.generation().next())));
}

#[test]
fn r6_a_loser_with_the_higher_generation_is_reset_when_the_records_server_has_it_too() {
    let mut rig = Rig::new(settings(2, 0));
    let (seat, mut loser) = apart(&mut rig, 1);
    rig.logged_in(&seat);
    assert_eq!(orders(&mut rig, &mut loser, 70).len(), 1, "both list it");

    let mut rig = Rig::new(settings(2, 0));
    let (seat, mut loser) = apart(&mut rig, 1);
    let mut winner = Server::new(at(&seat));
    winner.beat(&mut rig);
    assert_eq!(orders(&mut rig, &mut loser, 150), [], "the other one is known not to have it");

    // The other server's beats go to other directors: what they saw raises `seen`.
    let mut rig = Rig::new(settings(2, 0));
    let (seat, mut loser) = apart(&mut rig, 1);
    assert_eq!(orders(&mut rig, &mut loser, 70), []);
    let sighted = SeatEntry { seen: rig.now.time, ..rig.found("1001").unwrap() };
    assert_eq!(sighted.stamp, seat.entry.stamp);
    rig.director.restore([Entry::Seat(sighted)], rig.now);
    assert_eq!(orders(&mut rig, &mut loser, 70).len(), 1);
}

#[test]
fn r6_a_stay_of_another_session_is_reset_when_it_is_older_than_the_end() {
    for before in [true, false] {
        let mut rig = Rig::new(settings(2, 0));
        let seat = rig.start("1001").unwrap();
        let mut server = with_ticket(Server::new(other(&seat)), &seat, 1);
        server.held[0].session = Some(SessionId([9; 16]));
        if before {
            assert_eq!(orders(&mut rig, &mut server, 10), []);
        }
        rig.pass(BEAT);
        rig.end(&seat);
        rig.pass(BEAT);
        let told = orders(&mut rig, &mut server, 150);
        let reasons: Vec<_> = told.iter().map(|order| order.reason.clone()).collect();
        let expected = if before { vec![ResetReason::Ended(EndReason::Client)] } else { vec![] };
        assert_eq!(reasons, expected, "what came after the end was not ended by it");
    }
}

#[test]
fn r6_a_stay_that_comes_back_under_the_same_ticket_is_reset_again() {
    let mut rig = Rig::new(settings(2, 0));
    let seat = rig.start("1001").unwrap();
    let mut old = rig.logged_in(&seat);
    rig.avoid(&seat);
    let first = orders(&mut rig, &mut old, 0);
    assert_eq!(first.len(), 1);
    old.log_out("1001");
    old.done = vec![first[0].id];
    assert_eq!(old.beat(&mut rig).orders, []);
    rig.pass(BEAT);
    // A cookie of the former seat, shown to a director that had not heard of the move.
    old.log_in_by(&seat);
    old.done = vec![first[0].id];
    let again = old.beat(&mut rig).orders;
    assert_eq!(again.iter().map(|order| order.id).collect::<Vec<_>>(), [first[0].id], "the order is the same one");
    assert_eq!(again[0].generation, Some(Generation::FIRST));
}

#[test]
fn r6_what_is_listed_long_after_it_was_said_to_be_done_is_ordered_again() {
    let mut rig = Rig::new(settings(2, 0));
    let seat = rig.start("1001").unwrap();
    let mut old = rig.logged_in(&seat);
    rig.avoid(&seat);
    let id = orders(&mut rig, &mut old, 0)[0].id;
    for _ in 0..60 {
        old.done = vec![id];
        assert_eq!(old.beat(&mut rig).orders, [], "never while it says that it is done");
        rig.pass(BEAT);
        rig.servers().iter().for_each(|server| rig.good(server));
    }
    let mut waited = Duration::ZERO;
    while old.beat(&mut rig).orders.is_empty() {
        rig.pass(BEAT);
        rig.servers().iter().for_each(|server| rig.good(server));
        waited += BEAT;
        assert!(waited < Duration::from_secs(90));
    }
    assert!(waited >= Duration::from_secs(50), "{waited:?}");
}
