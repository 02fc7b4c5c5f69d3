//! What the code of a page can read of a director, by the origin of the page.

use std::collections::BTreeMap;

use serde_json::Value;

use super::house::page_at;
use crate::support::browser::Browser;
use crate::support::plan::Plan;
use crate::support::stub::{StubServer, Told};

const ALLOWED: &str = "crm.test";
const OTHER: &str = "evil.test";

/// Whether a session for the page's key is there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seated {
    Nowhere,
    IfAllowed,
    Always,
}
use Seated::{Always, IfAllowed, Nowhere};

/// Each way in which a page can ask, and what its code learns: from an origin of `embed`, from any other, from none (`null`, a sandboxed
/// frame). Statuses are followed by the problem's code; "failed" is all that a browser says of what it keeps from a page.
const TABLE: [(&str, [&str; 3], Seated); 19] = [
    // An address of the application: what cannot follow a redirect is told so, in words that an allowed page can read.
    ("fetch", ["400 2000", "failed", "failed"], Nowhere),
    ("fetch with the key's header", ["400 2000", "failed", "failed"], Nowhere),
    ("fetch with another header", ["failed", "failed", "failed"], Nowhere),
    ("fetch with credentials", ["failed", "failed", "failed"], Nowhere),
    ("XHR", ["400 2000", "failed", "failed"], Nowhere),
    ("XHR DELETE", ["400 2000", "failed", "failed"], Nowhere),
    ("WebSocket", ["failed", "failed", "failed"], Nowhere),
    ("EventSource", ["failed for good", "failed for good", "failed for good"], Nowhere),
    ("module", ["failed", "failed", "failed"], Nowhere),
    ("import()", ["failed", "failed", "failed"], Nowhere),
    // What a browser loads without asking whether the page may read it is a start like any other, and follows its redirect.
    ("script", ["ran", "ran", "ran"], Always),
    ("fetch, no-cors", ["opaque", "opaque", "opaque"], Always),
    // Own paths.
    ("POST sessions", ["201 placed", "failed", "failed"], IfAllowed),
    ("POST sessions as text", ["415 1004", "failed", "failed"], Nowhere),
    ("POST sessions, no-cors", ["opaque", "opaque", "opaque"], Nowhere),
    ("read and end by token", ["200 then 204", "failed", "failed"], IfAllowed),
    ("JSONP start", ["placed", "code 1006", "code 1006"], IfAllowed),
    ("JSONP servers", ["3 servers", "code 1006", "code 1006"], Nowhere),
    ("keys of tickets", ["200", "failed", "failed"], Nowhere),
];

/// The page: asks in every way, each with a key of its own, and hands the answers to the page around it.
const PAGE: &str = r#"<!doctype html><title>page</title><script>
const front = "FRONT", name = new URLSearchParams(location.search).get("name");
const start = key => `${front}/ua/served.js?agent=${encodeURIComponent(key)}`;
const sessions = front + "/maitred/v1/sessions";
const failed = () => "failed";
async function read(answer) {
  if (answer.type === "opaque") return "opaque";
  const text = await answer.text();
  let value = {};
  try { value = JSON.parse(text); } catch { }
  return [answer.status, value.code ?? value.affinity].filter(part => part !== undefined).join(" ");
}
const ask = (url, options) => fetch(url, options).then(read).catch(failed);
const json = body => ({method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
const xhr = (method, url) => new Promise(done => {
  const request = new XMLHttpRequest();
  request.open(method, url);
  request.onload = () => done(`${request.status} ${JSON.parse(request.responseText).code}`);
  request.onerror = () => done("failed");
  request.send();
});
const script = (attributes) => new Promise(done => {
  window.served = undefined;
  const element = Object.assign(document.createElement("script"), attributes);
  element.onload = () => done(window.served === undefined ? "loaded" : "ran");
  element.onerror = () => done("failed");
  document.head.append(element);
});
const jsonp = (path, shown) => new Promise(done => {
  window.answered = value => done(value.error ? `code ${value.error.code}` : shown(value));
  const element = document.createElement("script");
  element.src = `${front}/maitred/v1/${path}`;
  element.onerror = () => done("failed");
  document.head.append(element);
});
const ways = {
  "fetch": key => ask(start(key)),
  "fetch with the key's header": key => ask(front + "/ua/served.js", {headers: {"X-Agent-Id": key}}),
  "fetch with another header": key => ask(start(key), {headers: {"X-Other": "1"}}),
  "fetch with credentials": key => ask(start(key), {credentials: "include"}),
  "XHR": key => xhr("GET", start(key)),
  "XHR DELETE": key => xhr("DELETE", start(key)),
  "WebSocket": key => new Promise(done => {
    const socket = new WebSocket(start(key).replace("https:", "wss:"));
    socket.onopen = () => done("open");
    socket.onerror = () => done("failed");
  }),
  "EventSource": key => new Promise(done => {
    const events = new EventSource(start(key));
    events.onopen = () => done("open");
    events.onerror = () => done(events.readyState === EventSource.CLOSED ? "failed for good" : "failed");
  }),
  "module": key => script({type: "module", src: start(key)}),
  "import()": key => import(start(key)).then(() => "loaded", failed),
  "script": key => script({src: start(key)}),
  "fetch, no-cors": key => ask(start(key), {mode: "no-cors"}),
  "POST sessions": key => ask(sessions, json({pool: "ua", key})),
  "POST sessions as text": key => ask(sessions, {method: "POST", body: JSON.stringify({pool: "ua", key})}),
  "POST sessions, no-cors": key => ask(sessions, {method: "POST", mode: "no-cors", body: JSON.stringify({pool: "ua", key})}),
  "read and end by token": async key => {
    try {
      const seat = await (await fetch(sessions, json({pool: "ua", key}))).json();
      const own = {headers: {Authorization: `Bearer ${seat.token}`}}, path = `${sessions}/${seat.session}`;
      const read = await fetch(path, own), ended = await fetch(path, {...own, method: "DELETE"});
      return `${read.status} then ${ended.status}`;
    } catch { return "failed"; }
  },
  "JSONP start": key => jsonp(`start.js?callback=answered&pool=ua&key=${encodeURIComponent(key)}`, seat => seat.affinity),
  "JSONP servers": key => jsonp("servers.js?callback=answered&pool=ua", list => `${list.servers.length} servers`),
  "keys of tickets": key => ask(front + "/maitred/v1/jwks.json"),
};
(async () => {
  const answers = {origin: self.origin};
  for (const way in ways) answers[way] = await ways[way](`${name} ${way}`);
  parent.postMessage(JSON.stringify(answers), "*");
})();
</script>"#;

/// The page around it, which only shows what it is handed.
fn around(frame: &str) -> String {
    format!(
        "<!doctype html><title>around</title><pre id=answers></pre>\
         <script>onmessage = event => document.getElementById('answers').textContent = event.data</script>{frame}"
    )
}

#[test]
fn what_the_code_of_a_page_can_read_depends_on_its_origin_alone() {
    let desks = [StubServer::start("ua1"), StubServer::start("ua2"), StubServer::start("ua3")];
    for desk in &desks {
        desk.answer_by(|_| {
            let headers = vec![("content-type", "text/javascript".to_owned())];
            Some(Told { status: 200, headers, body: "window.served = true;".into() })
        });
    }
    let pages = StubServer::start("embedding");
    let allowed = page_at(ALLOWED, &pages, "");
    let director = Plan::new().stubs(&desks).with("pool", &format!("jsonp = true\nembed = [{allowed:?}]")).start();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    pages.page("/asking", &PAGE.replace("FRONT", &director.url("")));
    let callers = [
        ("allowed", page_at(ALLOWED, &pages, "/asking?name=allowed"), ""),
        ("other", page_at(OTHER, &pages, "/asking?name=other"), ""),
        ("null", page_at(ALLOWED, &pages, "/asking?name=null"), " sandbox=\"allow-scripts\""),
    ];

    let mut browser = Browser::start();
    let mut seen: BTreeMap<&str, Value> = BTreeMap::new();
    for (caller, address, sandbox) in &callers {
        pages.page("/around", &around(&format!("<iframe{sandbox} src=\"{address}\"></iframe>")));
        browser.open(&page_at(ALLOWED, &pages, "/around")).unwrap();
        let answers = browser.wait_for_text("#answers", |text| !text.is_empty());
        seen.insert(caller, serde_json::from_str(&answers).unwrap());
    }
    assert_eq!(seen["allowed"]["origin"], allowed);
    assert_eq!(seen["other"]["origin"], page_at(OTHER, &pages, ""));
    assert_eq!(seen["null"]["origin"], "null");

    let mut wrong = Vec::new();
    for (way, expected, seated) in TABLE {
        for (caller, expected) in ["allowed", "other", "null"].into_iter().zip(expected) {
            if seen[caller][way] != expected {
                wrong.push(format!("{way}, {caller}: {} instead of {expected:?}", seen[caller][way]));
            }
            let key = format!("{caller} {way}").replace(' ', "%20").replace('\'', "%27");
            let found = director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}"))).status;
            let is_there = seated == Always || (seated == IfAllowed && caller == "allowed");
            // An ended one is shown as ended.
            if found != if is_there { 200 } else { 404 } {
                wrong.push(format!("{way}, {caller}: its session is answered with {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen["allowed"].as_object().map(serde_json::Map::len), Some(TABLE.len() + 1), "each way has its row");
}
