//! A real HAProxy in front of the director, with the checks that its manual shows.

use crate::support::certificates::FRONT;
use crate::support::client::Client;
use crate::support::haproxy::{Backend, HaProxy};
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::ports;
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

/// `conf/front/haproxy.cfg` as it is handed out, with the addresses of this machine.
#[test]
fn the_balancer_that_we_hand_out_finds_a_director_that_is_well() {
    let desks = [StubServer::start("ua1"), StubServer::start("ua2")];
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east"), ("west-1", "west")]);
    let pool = "datacenters = [\"east\", \"west\"]";
    let run = |name| mesh.plan(name, Plan::new().stubs(&desks).with("pool", pool)).start();
    let mut directors = ["east-1", "east-2", "west-1"].map(run);
    directors.iter().for_each(|director| director.wait_for_usable(&["ua1", "ua2"]));
    wait_for_links(&directors.each_ref());

    let front = ports::free();
    let mut text = include_str!("../../conf/front/haproxy.cfg").to_owned();
    let mut put = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in the file any more");
        text = text.replace(from, to);
    };
    put("bind :443", &format!("bind 127.0.0.1:{front}"));
    put("/etc/maitred/ca.pem", &directors[0].certificates().path("ca.pem").to_string_lossy());
    put("agents.example.com", FRONT);
    for (name, director) in ["east-1", "east-2", "west-1"].into_iter().zip(&directors) {
        put(&format!("{name}.example.com:8443"), &format!("127.0.0.1:{}", director.ports().public));
    }
    let haproxy = HaProxy::run(&text);
    for name in ["east-1", "east-2", "west-1"] {
        haproxy.wait_for("directors", name, "UP");
    }

    // Whichever director it finds: the same server for the same agent, and no cookie of the balancer.
    let through =
        directors[0].url("/desk?agent=7").replace(&directors[0].ports().public.to_string(), &front.to_string());
    let server = Client::new().get(&through).location().host_str().unwrap().to_owned();
    let again = |times: usize| {
        for _ in 0..times {
            let answer = Client::new().get(&through);
            assert_eq!((answer.status, answer.location().host_str()), (302, Some(server.as_str())), "{answer:?}");
        }
    };
    again(6);
    let [one, two, _] = &mut directors;
    one.kill();
    again(6);
    haproxy.wait_for("directors", "east-1", "DOWN");
    two.kill();
    haproxy.wait_for("directors", "east-2", "DOWN");
    again(3);
}
