//! How soon a session that was started at one director is known to another one of its datacenter.
//!
//! With `MAITRED_TEST_BINARY` (a release build) and `MAITRED_MEASURE=1` it prints the figures of `docs/performance.md`.

use std::time::{Duration, Instant};

use hyper::Method;

use crate::support::kept::Line;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

#[test]
fn a_start_is_known_to_the_peer_beside_it() {
    let stubs = ["ua1", "ua2", "ua3"].map(StubServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let run = |name| mesh.plan(name, Plan::new().stubs(&stubs)).start();
    let (one, two) = (run("east-1"), run("east-2"));
    for director in [&one, &two] {
        director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    }
    wait_for_links(&[&one, &two]);
    let measured = std::env::var_os("MAITRED_MEASURE").is_some();
    let (mut here, mut there) = (Line::open(&one), Line::open(&two));
    let mut took: Vec<Duration> = Vec::new();
    for number in 0..if measured { 2_000 } else { 50 } {
        let key = format!("agent-{number}");
        let started = here.start(&key);
        assert_eq!(started.status, 201, "{started:?}");
        let seat = started.json();
        let answered = Instant::now();
        // HEAD tells where the caller already sits and creates nothing. Without a pause: it is milliseconds that are measured.
        let at = loop {
            let answer = there.ask(Method::HEAD, &format!("/app?agent={key}"), &[], "");
            if let Some(at) = answer.headers.get("location") {
                break at.to_str().unwrap().to_owned();
            }
            assert!(answered.elapsed() < wait::LIMIT, "{key} is never known");
        };
        took.push(answered.elapsed());
        let url = seat["server"]["url"].as_str().unwrap().trim_end_matches('/');
        assert!(at.starts_with(url), "{key} sits at {url}, and the peer says {at}");
        if measured {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    if measured {
        took.sort();
        let share = |permille: usize| took[(took.len() * permille / 1000).min(took.len() - 1)];
        println!(
            "known to the peer after its answer: half within {:.2?}, 99 of 100 within {:.2?}, the slowest {:.2?}",
            share(500),
            share(990),
            share(1000)
        );
    }
}
