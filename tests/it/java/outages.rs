//! What breaks around a Tomcat with the filter: the directors, a link that it needs, itself.

use serde_json::{Value, json};

use super::house::{House, Plans, arrive, browser, write_note};
use crate::support::client::Client;
use crate::support::tomcat::Edition;
use crate::support::wait;

#[test]
fn the_application_goes_on_without_directors_and_is_adopted_when_one_returns() {
    let mut house = House::of(&Plans {
        edition: Edition::Jakarta,
        servers: &["ua1"],
        // The second one stands in the other datacenter.
        directors: &[("east-1", "east"), ("west-1", "west")],
        params: &|_| Vec::new(),
        plan: &|plan, _| plan.with("pool", "datacenters = [\"east\", \"west\"]"),
    });
    let mut agent = browser();
    let (origin, _) = arrive(&mut agent, &house, "1001");
    agent.get(&format!("{origin}/login?agent=1001"));
    wait::for_equal("the agent is confirmed", &json!("1001"), || house.session(1, "1001")["agent"].clone());

    // One director goes: the one in the other datacenter hears the server from now on.
    house.directors[0].kill();
    let beats = house.beats(1);
    wait::until("beats go to the other director", || house.beats(1) > beats + 2.0);
    write_note(&mut agent, &origin, "still+here");

    // All are gone: who is here works on, and who comes is served.
    house.directors[1].kill();
    assert_eq!(agent.get(&format!("{origin}/desk")).json()["visits"], 2);
    let mut stranger = browser();
    wait::until("nobody is sent to a closed door", || stranger.get(&format!("{origin}/desk")).status == 200);
    let page = stranger.get(&format!("{origin}/login?agent=walk")).json();
    assert_eq!((&page["note"], &page["maitred.key"]), (&Value::Null, &json!("walk")));
    assert_eq!(agent.get(&format!("{origin}/read")).json()["note"], Value::Null);

    // One returns, and remembers nothing: it learns from the server who is there.
    house.directors[0].start_again();
    for (key, login) in [("1001", "1001"), ("walk", "walk")] {
        let known = || (house.session(0, key)["server"].clone(), house.session(0, key)["agent"].clone());
        wait::for_equal(&format!("{key} is adopted"), &(json!("ua1"), json!(login)), known);
    }
    // By the front door the walk-in comes back to what it had.
    let before = stranger.get(&format!("{origin}/desk")).json();
    let (back, after) = arrive(&mut stranger, &house, "walk");
    assert_eq!((back, &after["http_session"]), (origin.clone(), &before["http_session"]));
    assert_eq!(after["visits"].as_u64(), before["visits"].as_u64().map(|visits| visits + 1));
    let beats = house.beats(0);
    wait::until("beats go on", || house.beats(0) > beats + 5.0);
    assert_eq!(agent.get(&format!("{origin}/desk")).json()["resets"], 0, "nobody was moved or reset");
}

#[test]
fn a_broken_link_resets_each_session_once_and_a_restart_keeps_them() {
    let mut house = House::start(&["ua1"], |plan| plan);
    let link = |house: &House, word: &str| {
        let origin = house.tomcat("ua1").origin();
        Client::new().get(&format!("{origin}/link?is={word}"));
        wait::for_equal("the health page tells", &json!(word), || house.health("ua1")["depends"]["aes"].clone());
        wait::for_equal("the director knows", &json!(word == "up"), || {
            house.directors[0].server("ua1")["report"]["depends"]["aes"].clone()
        });
    };
    link(&house, "up");
    let mut agents = [browser(), browser(), browser()];
    let origin = house.tomcat("ua1").origin();
    for (number, agent) in agents.iter_mut().enumerate() {
        arrive(agent, &house, &format!("agent-{number}"));
        agent.get(&format!("{origin}/login?agent=agent-{number}"));
        let key = format!("agent-{number}");
        wait::for_equal("the agent is confirmed", &json!(key), || house.session(0, &key)["agent"].clone());
    }
    wait::for_equal("all are listed", &json!(3), || house.directors[0].server("ua1")["report"]["sessions"].clone());
    link(&house, "down");
    let resets = || Client::new().get(&format!("{origin}/read")).json()["resets"].clone();
    wait::for_equal("each session is reset", &json!(3), resets);
    // Back through the door, to the same server and the same stay; logged in again, and left alone from now on.
    for (number, agent) in agents.iter_mut().enumerate() {
        let (back, page) = arrive(agent, &house, &format!("agent-{number}"));
        assert_eq!(
            (back.as_str(), &page["visits"], &page["maitred.generation"]),
            (origin.as_str(), &json!(1), &json!(1))
        );
        agent.get(&format!("{origin}/login?agent=agent-{number}"));
    }
    link(&house, "up");
    let beats = house.beats(0);
    wait::until("many more beats", || house.beats(0) > beats + 8.0);
    assert_eq!(resets(), json!(3));
    wait::for_equal("three resets", &3, || house.directors[0].lines_with(&["event=\"session_reset\""]).len());

    // Stopped in order and started again: nothing of the filter is left behind, and stored sessions are told of.
    let before = house.health("ua1")["incarnation"].clone();
    house.tomcats[0].stop();
    let words = house.tomcats[0].words().join("\n");
    assert!(!words.contains("has failed to stop") && !words.contains("memory leak"), "{words}");
    house.tomcats[0].start_again();
    assert_ne!(house.health("ua1")["incarnation"], before);
    wait::for_equal("stored sessions are held again", &json!(3), || house.health("ua1")["sessions"].clone());
    let page = agents[0].get(&format!("{origin}/desk")).json();
    assert_eq!((&page["visits"], &page["maitred.key"]), (&json!(2), &json!("agent-0")));
}
