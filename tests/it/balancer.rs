//! A real HAProxy in front of the director, with the checks that its manual shows.

use crate::support::client::Client;
use crate::support::director::Plan;
use crate::support::haproxy::{Backend, HaProxy};
use crate::support::stub::StubServer;

#[test]
fn haproxy_follows_ready_and_active_through_an_outage_and_a_stop() {
    let mut desks = [StubServer::start("ua1"), StubServer::start("ua2")];
    let mut director = Plan::new().stubs(&desks).with("director", "stop_delay = \"5s\"").start();
    director.wait_for_usable(&["ua1", "ua2"]);
    let servers = [("east-1", format!("127.0.0.1:{} check check-ssl verify none", director.ports().public))];
    let checks = [
        ("ready", "option httpchk GET /health/ready"),
        ("strict", "option httpchk GET /health/ready?strict=1"),
        ("active", "option httpchk HEAD /health/active"),
        ("door", "option httpchk"),
        (
            "modern",
            "option httpchk\nhttp-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host balancer.example\nhttp-check expect rstring ^ok",
        ),
    ];
    let haproxy = HaProxy::start(&checks.map(|(name, check)| Backend { name, check, servers: &servers }));
    let thinks = |backend: &str, status: &str| haproxy.wait_for(backend, "east-1", status);
    checks.iter().for_each(|(backend, _)| thinks(backend, "UP"));

    // A total outage: the door stays open for the page, but this datacenter can seat nobody.
    desks.iter_mut().for_each(StubServer::stop);
    thinks("active", "DOWN");
    thinks("strict", "DOWN");
    thinks("modern", "DOWN");
    assert_eq!(haproxy.status("ready", "east-1"), "UP");
    assert_eq!(haproxy.status("door", "east-1"), "UP");

    desks[0].restart();
    checks.iter().for_each(|(backend, _)| thinks(backend, "UP"));

    director.terminate();
    thinks("ready", "DOWN");
    let answer = Client::new().get(&director.url("/desk?agent=1"));
    assert_eq!(answer.status, 302, "serving goes on while balancers look away");
    assert!(director.wait().success());
}
