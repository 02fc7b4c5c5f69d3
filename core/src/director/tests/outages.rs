//! A dependency with effect `reset` breaks: each session is reset once and confirmed again where it is.

use std::time::Duration;

use super::rig::*;
use super::servers::*;
use crate::director::{Confirm, OrderId, ResetOrder, ResetReason, ServerFence};
use crate::seating::{Affinity, Seat};
use crate::settings::{DependencyEffect, Settings};

const BEAT: Duration = Duration::from_secs(2);

fn depending() -> Settings {
    with(settings(2, 0), |pool| {
        pool.depends.insert("aes".to_owned(), DependencyEffect::Reset);
    })
}

fn beats(rig: &mut Rig, server: &mut Server, times: u32) -> Vec<ResetOrder> {
    (0..times)
        .flat_map(|_| {
            rig.pass(BEAT);
            rig.good(&server.name);
            server.beat(rig).orders
        })
        .collect()
}

/// A server with five sessions of clients that directors sent, and a link that works.
fn working() -> (Rig, Server, Vec<Seat>) {
    let mut rig = Rig::new(depending());
    rig.kill("ua2");
    let mut server = Server::new("ua1");
    server.depends = vec![("aes", true)];
    server.beat(&mut rig);
    let seats: Vec<Seat> = (0..5).map(|key| rig.start(&format!("agent-{key}")).unwrap()).collect();
    seats.iter().for_each(|seat| server.log_in_by(seat));
    beats(&mut rig, &mut server, 2);
    (rig, server, seats)
}

fn firsts(orders: &[ResetOrder]) -> usize {
    orders.iter().filter(|order| order.first).count()
}

/// Resets what it is told to, and logs in again with the same ticket.
fn obey(rig: &Rig, server: &mut Server, seats: &[Seat], orders: &[ResetOrder]) -> usize {
    let mut carried_out = 0;
    for order in orders {
        if server.obeyed.contains(&order.id) {
            continue;
        }
        server.obeyed.push(order.id);
        server.done.push(order.id);
        let seat = seats.iter().find(|seat| seat.entry.key == order.key).unwrap();
        server.log_in_by(seat);
        let fence =
            ServerFence { server: server.name.clone(), incarnation: server.tag(), generation: Some(seat.generation()) };
        let confirmed = rig.director.confirm(&pool(), &order.key, None, &Confirm { fence, agent: None }, rig.now);
        assert_eq!(confirmed.unwrap().seat.server, server.name, "confirmed again at the same server");
        carried_out += 1;
    }
    carried_out
}

#[test]
fn each_session_is_reset_once_for_each_outage() {
    let (mut rig, mut server, seats) = working();
    for round in 1..=3 {
        server.depends = vec![("aes", false)];
        let mut reset = 0;
        for _ in 0..20 {
            let orders = beats(&mut rig, &mut server, 1);
            assert!(orders.iter().all(|order| order.reason == ResetReason::Dependency("aes".to_owned())));
            reset += obey(&rig, &mut server, &seats, &orders);
        }
        assert_eq!(reset, 5, "outage {round}");
        server.depends = vec![("aes", true)];
        assert_eq!(beats(&mut rig, &mut server, 20), []);
    }
    for seat in &seats {
        let back = rig.back(seat).unwrap();
        assert_eq!(
            (back.affinity, back.session(), back.generation()),
            (Affinity::Kept, seat.session(), seat.generation())
        );
    }
}

#[test]
fn an_order_repeats_until_it_is_done_also_when_the_link_is_back() {
    let (mut rig, mut server, _) = working();
    server.depends = vec![("aes", false)];
    let first = beats(&mut rig, &mut server, 1);
    assert_eq!((first.len(), firsts(&first)), (5, 5));
    server.depends = vec![("aes", true)];
    let again = beats(&mut rig, &mut server, 1);
    let ids = |orders: &[ResetOrder]| orders.iter().map(|order| order.id).collect::<Vec<OrderId>>();
    assert_eq!((ids(&again), firsts(&again)), (ids(&first), 0));
    server.done = ids(&first)[..3].to_vec();
    assert_eq!(ids(&beats(&mut rig, &mut server, 1)), ids(&first)[3..]);
    server.done = ids(&first)[3..].to_vec();
    assert_eq!(beats(&mut rig, &mut server, 5), []);
}

#[test]
fn who_logs_in_during_the_outage_is_left_alone() {
    let (mut rig, mut server, _) = working();
    server.depends = vec![("aes", false)];
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 5);
    let late = rig.start("late").unwrap();
    server.log_in_by(&late);
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 5);
    server.log_out("agent-0");
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 4, "who has gone needs none");
}

#[test]
fn a_probe_may_see_it_first_and_see_it_end() {
    let (mut rig, mut server, _) = working();
    for up in [false, true] {
        server.depends = vec![("aes", up)];
        rig.report(&server.name, server.report());
        rig.pass(BEAT);
    }
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 5, "it was short, and broke everything all the same");
}

#[test]
fn what_was_never_known_to_work_did_not_break() {
    let mut rig = Rig::new(depending());
    let mut server = Server::new("ua1");
    server.log_in("1001", None);
    server.depends = vec![("aes", false)];
    assert_eq!(beats(&mut rig, &mut server, 10), []);
    server.depends = vec![("aes", true)];
    assert_eq!(beats(&mut rig, &mut server, 10), []);
    server.depends = vec![("aes", false)];
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 1);
}

#[test]
fn a_restart_repeats_the_same_orders_and_nothing_that_is_finished() {
    let (mut rig, mut server, seats) = working();
    let mut journal = rig.entries();
    server.depends = vec![("aes", false)];
    let first = beats(&mut rig, &mut server, 1);
    journal.extend(rig.entries());
    let restart = |rig: &Rig, journal: &[crate::entry::Entry]| {
        let mut next = Rig::unseen(depending());
        next.now = rig.now;
        next.director.restore(journal.to_vec(), next.now);
        next.skip_ids(rig);
        next
    };
    let mut rig = restart(&rig, &journal);
    let again = beats(&mut rig, &mut server, 1);
    assert_eq!(again, first, "the same orders, by the same ids");
    assert_eq!(obey(&rig, &mut server, &seats, &again), 5);
    assert_eq!(beats(&mut rig, &mut server, 2), []);
    journal.extend(rig.entries());
    let mut rig = restart(&rig, &journal);
    assert_eq!(beats(&mut rig, &mut server, 10), [], "the outage goes on, and is dealt with");
    server.depends = vec![("aes", true)];
    assert_eq!(beats(&mut rig, &mut server, 2), []);
    server.depends = vec![("aes", false)];
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 5, "the next one is another");
}

#[test]
fn another_life_of_the_server_has_nothing_to_reset() {
    let (mut rig, mut server, seats) = working();
    server.depends = vec![("aes", false)];
    assert_eq!(beats(&mut rig, &mut server, 1).len(), 5);
    server.reborn("boot-2");
    let back = rig.back(&seats[0]).unwrap();
    server.log_in_by(&back);
    assert_eq!(beats(&mut rig, &mut server, 10), []);
}

#[test]
fn r6_an_orders_id_is_the_same_at_every_director_and_for_ever() {
    let (mut rig, mut server, _) = working();
    server.held.retain(|it| it.key.as_str() == "agent-0");
    for it in &mut server.held {
        it.session = Some(crate::ids::SessionId([7; 16]));
    }
    server.depends = vec![("aes", false)];
    let orders = beats(&mut rig, &mut server, 1);
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].id.to_string(), "b15a54f434073b54ba46d2900cc89053");
    assert_eq!(OrderId::parse(&orders[0].id.to_string()), Some(orders[0].id));
}
