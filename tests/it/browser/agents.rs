//! Two agents one after the other at one machine: neither ever meets the other's session or what was typed into it, whether or not the
//! director remembers anything.

use serde_json::{Value, json};

use super::house::House;
use super::talk::Seat;
use crate::support::browser::Browser;
use crate::support::desk::Handover;

/// One server, so that they cannot miss each other by chance.
fn one_desk(lines: &str) -> House {
    let house = House::of(&["ua1"], Handover::Query, lines, "");
    let logout = house.url("/maitred/logout?pool=ua");
    house.desks[0].show(&format!("<form method=post action=\"{logout}\"><button id=out>Log out</button></form>"));
    house
}

/// Kills the director, which keeps no journal, and starts it again.
fn wipe(house: &mut House) {
    house.director.kill();
    house.director.start_again();
    house.director.wait_for_usable(&["ua1"]);
}

/// What the desk shows: who it serves, in which session, and what was typed into it.
fn opens(browser: &mut Browser, address: &str, key: impl Fn(&str) -> bool) -> (String, String, String) {
    browser.open(address).unwrap();
    let key = browser.wait_for_text("#key", |text| !text.is_empty() && key(text));
    (key, browser.text("#session").unwrap(), browser.text("#notes").unwrap())
}

#[test]
fn agents_with_names_of_their_own_never_meet_at_one_machine() {
    for forgetful in [false, true] {
        let mut house = one_desk("");
        let mut browser = Browser::without_third_party_cookies();
        let (_, first, notes) = opens(&mut browser, &house.url("/desk?agent=1001&note=a"), |key| key == "1001");
        assert_eq!(notes, "[a]");
        let (_, again, notes) = opens(&mut browser, &house.url("/desk?agent=1001&note=a"), |key| key == "1001");
        assert_eq!((again, notes.as_str()), (first.clone(), "[aa]"), "this is what there is to meet");
        if forgetful {
            wipe(&mut house);
        }
        let (_, second, notes) = opens(&mut browser, &house.url("/desk?agent=2002&note=b"), |key| key == "2002");
        assert_ne!(second, first, "forgetful: {forgetful}");
        assert_eq!(notes, "[b]", "forgetful: {forgetful}");
        if forgetful {
            wipe(&mut house);
        }
        // The bookmark of the first one, which the second one finds open.
        let (_, third, notes) = opens(&mut browser, &house.url("/desk?agent=1001&note=c"), |key| key == "1001");
        assert_ne!(third, second);
        assert!(!notes.contains('b'), "{notes}");
    }
}

#[test]
fn agents_without_names_never_meet_when_the_first_has_logged_out() {
    for forgetful in [false, true] {
        let mut house = one_desk("key = [\"cookie\"]\nafter_logout = \"/maitred/nothing\"");
        let mut browser = Browser::without_third_party_cookies();
        let (first, session, _) = opens(&mut browser, &house.url("/desk?note=a"), |_| true);
        if forgetful {
            wipe(&mut house);
        }
        let (_, kept, notes) = opens(&mut browser, &house.url("/desk?note=a"), |key| key == first);
        assert_eq!((&kept, notes.as_str()), (&session, "[aa]"), "the cookie is enough, forgetful: {forgetful}");
        browser.click("#out");
        browser.wait_for_text("h1", |text| text == "There is nothing at this address");
        if forgetful {
            wipe(&mut house);
        }
        let (_, second, notes) = opens(&mut browser, &house.url("/desk?note=b"), |key| key != first);
        assert_ne!(second, session);
        assert_eq!(notes, "[b]", "forgetful: {forgetful}");
    }
}

/// The agent opens the desk and logs in there, which the desk tells.
fn logs_in(house: &House, browser: &mut Browser, agent: &str) -> Seat {
    browser.open(&house.url("/desk")).unwrap();
    let seat = Seat::shown(browser);
    house.beat("ua1", &[&seat], &[]);
    assert_eq!(house.confirm(&seat, agent)["agent"], agent);
    seat
}

#[test]
fn what_an_agent_left_is_for_the_same_agent_only_even_in_the_same_session() {
    for forgetful in [false, true] {
        // The keys are minted: nothing but the login tells the two apart, and nobody logs out.
        let mut house = one_desk("key = [\"cookie\"]");
        let mut browser = Browser::without_third_party_cookies();
        house.beat("ua1", &[], &[]);
        let first = logs_in(&house, &mut browser, "ann");
        house.leave(&first, "what ann wrote");
        assert_eq!(house.left(&first), (200, json!("what ann wrote")), "this is what there is to meet");
        if forgetful {
            wipe(&mut house);
        }
        let second = logs_in(&house, &mut browser, "bob");
        assert_eq!((&second.key, &second.session), (&first.key, &first.session), "the browser's cookie leads back");
        assert_eq!(house.left(&second), (404, Value::Null), "forgetful: {forgetful}");
        house.leave(&second, "what bob wrote");
        if forgetful {
            wipe(&mut house);
        }
        let third = logs_in(&house, &mut browser, "ann");
        let anns = if forgetful { (404, Value::Null) } else { (200, json!("what ann wrote")) };
        assert_eq!(house.left(&third), anns, "forgetful: {forgetful}");
    }
}
