//! The event feed of real directors: nothing missed and nothing twice, whichever director is read and whichever dies.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::follower::Follower;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

fn start(director: &Director, key: &str) -> Value {
    let answer = Client::new().post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": key}));
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()
}

fn end(director: &Director, seat: &Value) {
    let url = director.url(&format!("/maitred/v1/sessions/{}", seat["session"].as_str().unwrap()));
    let bearer = format!("Bearer {}", seat["token"].as_str().unwrap());
    let ended = Client::new().send(Method::DELETE, &url, &[("authorization", &bearer)], "");
    assert!((200..300).contains(&ended.status), "{ended:?}");
}

/// Beginnings and ends by life of a seat.
fn lives(told: &[Value]) -> BTreeMap<String, (u32, u32)> {
    let mut lives: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for told in told {
        let life = || format!("{} {} {} {}", told["key"], told["session"], told["generation"], told["server"]);
        match told["event"].as_str().unwrap() {
            "session_placed" | "session_moved" => lives.entry(life()).or_default().0 += 1,
            "session_ended" => lives.entry(life()).or_default().1 += 1,
            "snapshot_needed" => panic!("the feed lost the thread: {told}"),
            _ => {}
        }
    }
    lives
}

#[test]
fn whoever_reads_on_at_another_director_misses_nothing_and_hears_nothing_twice() {
    let stubs = ["ua1", "ua2"].map(StubServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let run = |name| mesh.plan(name, Plan::new().stubs(&stubs)).start();
    let (mut one, two) = (run("east-1"), run("east-2"));
    one.wait_for_usable(&["ua1", "ua2"]);
    two.wait_for_usable(&["ua1", "ua2"]);
    wait_for_links(&[&one, &two]);

    let first = Follower::from_now(&one);
    let mut seats = Vec::new();
    for number in 0..10 {
        let seat = start(if number % 2 == 0 { &one } else { &two }, &format!("early-{number}"));
        if number % 3 == 0 {
            // Ended elsewhere than it began.
            let other = if number % 2 == 0 { &two } else { &one };
            wait::until("the other one knows it", || {
                other.operator().get(&other.internal_url(&format!("/v1/sessions/ua/early-{number}"))).status == 200
            });
            end(other, &seat);
        } else {
            seats.push(seat);
        }
    }
    // What is told is known to both: a director that dies takes nothing of it along.
    let done =
        |it: i32| first.has(if it % 3 == 0 { "session_ended" } else { "session_placed" }, &format!("early-{it}"));
    wait::until("it is told what two directors did", || (0..10).all(done));
    one.kill();
    // What the follower had read when its director died is where it goes on.
    let (mut told, id) = (first.told(), first.last_id());
    drop(first);

    let second = Follower::at(&two, Some(&id));
    for seat in &seats {
        end(&two, seat);
    }
    for number in 0..5 {
        start(&two, &format!("late-{number}"));
    }
    wait::until("the second one tells the rest", || second.has("session_placed", "late-4"));
    wait::until("and the ends", || {
        (1..10).filter(|it| it % 3 != 0).all(|it| second.has("session_ended", &format!("early-{it}")))
    });
    let id = second.last_id();
    told.extend(second.told());
    drop(second);

    one.start_again();
    wait_for_links(&[&one, &two]);
    let third = Follower::at(&one, Some(&id));
    start(&two, "last");
    wait::until("the first one goes on as well", || third.has("session_placed", "last"));
    told.extend(third.told());

    let lives = lives(&told);
    let odd: Vec<_> = lives.iter().filter(|(_, (began, ended))| *began != 1 || *ended > 1).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    let of = |start: &'static str| lives.iter().filter(move |(life, _)| life.starts_with(&format!("\"{start}")));
    assert_eq!(of("early-").map(|(_, (_, ended))| ended).sum::<u32>(), 10, "{lives:#?}");
    assert_eq!((of("late-").count(), of("last").count()), (5, 1), "{lives:#?}");
}

#[test]
fn a_crowd_that_leaves_is_one_event_at_every_director() {
    let stubs = ["ua1", "ua2"].map(StubServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let directors = ["east-1", "east-2"].map(|name| mesh.plan(name, Plan::new().stubs(&stubs)).start());
    let [one, two] = &directors;
    directors.iter().for_each(|director| director.wait_for_usable(&["ua1", "ua2"]));
    wait_for_links(&[one, two]);
    let followers = [Follower::from_now(one), Follower::from_now(two)];

    let seats: Vec<Value> = (0..40).map(|number| start(one, &format!("agent-{number}"))).collect();
    let known = || two.operator().get(&two.internal_url("/v1/sessions/ua/agent-39")).status == 200;
    wait::until("both know the last one", known);
    // They leave by either door, as a crowd does.
    seats.iter().enumerate().for_each(|(number, seat)| end([one, two][number % 2], seat));

    let told = |follower: &Follower| -> Vec<Value> {
        follower.told().into_iter().filter(|told| told["event"] == "mass_logout").collect()
    };
    for (director, follower) in directors.iter().zip(&followers) {
        wait::until("every end is told", || (0..40).all(|it| follower.has("session_ended", &format!("agent-{it}"))));
        wait::for_equal("the crowd is one event", &1, || told(follower).len());
        let crowd = &told(follower)[0];
        assert_eq!((&crowd["pool"], &crowd["panic"], &crowd["threshold"]), (&json!("ua"), &json!(true), &json!(0.2)));
        // Half of those who were there, and told when it was half: an alarm does not wait for the last one.
        let (count, of) = (crowd["count"].as_u64().unwrap(), crowd["of"].as_u64().unwrap());
        assert!(of >= 40 && count * 2 >= of && count < 40, "{crowd}");
        wait::until("it is a line in the log", || !director.lines_with(&["event=\"mass_logout\""]).is_empty());
    }
}

#[test]
fn an_operator_moves_the_role_and_sees_what_comes_of_it() {
    let (east, west) = (StubServer::start("ua1"), StubServer::start("ua2"));
    let mesh = Mesh::of(&[("east-1", "east"), ("west-1", "west")]);
    let run = |name| {
        let plan = Plan::new()
            .server_in("ua1", east.port(), "east")
            .server_in("ua2", west.port(), "west")
            .with("pool", "datacenters = [\"east\", \"west\"]");
        mesh.plan(name, plan).start()
    };
    let directors = [run("east-1"), run("west-1")];
    let [one, other] = &directors;
    wait_for_links(&[one, other]);
    for director in &directors {
        wait::for_equal("the servers of both sites are up", &2, || {
            let pool = director.operator().get(&director.internal_url("/v1/pools/ua")).json();
            pool["states"]["up"].as_u64().unwrap_or(0)
        });
    }
    let active = |director: &Director| {
        let role = director.operator().get(&director.internal_url("/v1/pools/ua/active")).json();
        (role["active"].as_str().unwrap().to_owned(), role["order"].as_str().unwrap().to_owned())
    };
    let order = |words: &[&str]| {
        let output = one.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let follower = Follower::from_now(other);

    // A preview changes nothing.
    order(&["datacenter", "failover", "--preview"]);
    assert_eq!(active(one), ("east".to_owned(), "auto".to_owned()));
    order(&["datacenter", "failover"]);
    for director in &directors {
        wait::for_equal("the role is where it was ordered", &("west".to_owned(), "west".to_owned()), || {
            active(director)
        });
        let seat = start(director, &format!("over there {}", director.id()));
        assert_eq!(seat["server"]["name"], "ua2", "{seat}");
    }
    order(&["datacenter", "failback"]);
    for director in &directors {
        wait::for_equal("the role is back", &("east".to_owned(), "east".to_owned()), || active(director));
        // Nobody is moved back.
        let seat = start(director, &format!("over there {}", director.id()));
        assert_eq!((&seat["server"]["name"], &seat["affinity"]), (&json!("ua2"), &json!("kept")), "{seat}");
    }
    order(&["datacenter", "auto"]);
    for director in &directors {
        wait::for_equal("no order is left", &("east".to_owned(), "auto".to_owned()), || active(director));
    }
    wait::until("the other director tells both turns of the role", || {
        let told = follower.told();
        let turn = |event: &str, site: &str| told.iter().any(|it| it["event"] == event && it["datacenter"] == site);
        ["east", "west"].iter().all(|site| turn("datacenter_active", site) && turn("datacenter_passive", site))
    });
    let status = order(&["status"]);
    let row = status.lines().find(|line| line.starts_with("west-1")).unwrap_or_default();
    assert!(row.contains("linked") && row.contains("same"), "{status}");
    let status: Value = serde_json::from_str(&order(&["status", "--json"])).unwrap();
    assert_eq!(
        (&status["peers"][0]["name"], &status["peers"][0]["in_step"]),
        (&json!("west-1"), &json!(true)),
        "{status}"
    );
}

#[test]
fn a_feed_says_who_may_read_it_and_what_it_does_not_understand() {
    let stub = StubServer::start("ua1");
    let director = Plan::new().stubs([&stub]).start();
    let ask = |query: &str, headers: &[(&str, &str)]| {
        director.operator().send(Method::GET, &director.internal_url(&format!("/v1/events{query}")), headers, "").status
    };
    for bad in ["?event=nonsense", "?pool=-", "?colour=red", "?last_event_id=x"] {
        assert_eq!(ask(bad, &[]), 400, "{bad}");
    }
    assert_eq!(ask("", &[("last-event-id", "a:b:c")]), 400);
    let stranger = Client::trusting(director.certificates(), None).get(&director.internal_url("/v1/events")).status;
    assert_eq!(stranger, 401);
    let head = director.operator().send(Method::HEAD, &director.internal_url("/v1/events"), &[], "");
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    let follower = Follower::from_now(&director);
    wait::for_equal("it is counted", &Some(1.0), || director.metric("maitred_event_readers"));
    drop(follower);
    let mut number = 0;
    wait::until("and no longer", || {
        // Whoever is gone is noticed by the next line.
        number += 1;
        start(&director, &format!("bye {number}"));
        director.metric("maitred_event_readers") == Some(0.0)
    });
}
