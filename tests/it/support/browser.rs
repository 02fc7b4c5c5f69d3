//! A real Chromium without a window, driven by chromedriver over WebDriver (W3C): the few commands that a person's hands are.
//!
//! Every name under `.test` leads to loopback. The authority of the tests is not in its store, so certificate errors are accepted; that
//! certificates are right is shown by the other clients.

use std::process::Command;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::process::Process;
use super::wait;

/// One browser with an empty profile. Ends when it is dropped.
pub(crate) struct Browser {
    driver: Process,
    base: String,
    session: String,
    client: Client,
    _profile: TempDir,
}

/// A tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tab(String);

impl Browser {
    /// As a person gets it.
    pub(crate) fn start() -> Self {
        Self::start_with(&json!({}), &[])
    }

    /// One that blocks third-party cookies, as Safari and Firefox do by default and Chromium by choice.
    pub(crate) fn without_third_party_cookies() -> Self {
        let block = json!({"cookie_controls_mode": 1, "block_third_party_cookies": true});
        Self::start_with(&json!({ "profile": block }), &[])
    }

    /// One that takes these ports of loopback for addresses of these spaces: `public`, `local`.
    pub(crate) fn with_address_spaces(ports: &[(u16, &str)]) -> Self {
        let rules: Vec<String> = ports.iter().map(|(port, space)| format!("127.0.0.1:{port}={space}")).collect();
        Self::start_with(&json!({}), &[format!("--ip-address-space-overrides={}", rules.join(","))])
    }

    fn start_with(preferences: &Value, more: &[String]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = driver(&profile);
        let mut browser = Self {
            driver,
            base: format!("http://127.0.0.1:{port}"),
            session: String::new(),
            client: Client::new(),
            _profile: profile,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "timeouts": {"pageLoad": 60_000, "script": 60_000},
            "goog:chromeOptions": {"args": arguments(&browser._profile, more), "prefs": preferences},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made =
            browser.call(Method::POST, "/session", &wanted).unwrap_or_else(|error| panic!("no browser: {error}"));
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    /// Types an address. An error is what the person sees instead of a page (`net::ERR_CONNECTION_REFUSED`).
    pub(crate) fn open(&mut self, url: &str) -> Result<(), String> {
        self.command(Method::POST, "/url", &json!({ "url": url })).map(|_| ())
    }

    /// Presses reload.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        self.command(Method::POST, "/refresh", &json!({})).map(|_| ())
    }

    /// Presses the back button.
    pub(crate) fn back(&mut self) {
        self.command(Method::POST, "/back", &json!({})).unwrap();
    }

    /// Clicks the first element that matches.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let element = self.element(selector);
        let id = element.as_object().and_then(|object| object.values().next()).and_then(Value::as_str).unwrap();
        self.command(Method::POST, &format!("/element/{id}/click"), &json!({})).unwrap();
    }

    /// The tab that is looked at.
    pub(crate) fn tab(&mut self) -> Tab {
        Tab(self.command(Method::GET, "/window", &Value::Null).unwrap().as_str().unwrap().to_owned())
    }

    /// Opens another tab and looks at it.
    pub(crate) fn open_tab(&mut self) -> Tab {
        let made = self.command(Method::POST, "/window/new", &json!({"type": "tab"})).unwrap();
        let tab = Tab(made["handle"].as_str().unwrap().to_owned());
        self.look_at(&tab);
        tab
    }

    /// Looks at a tab from now on.
    pub(crate) fn look_at(&mut self, tab: &Tab) {
        self.command(Method::POST, "/window", &json!({"handle": tab.0})).unwrap();
    }

    /// Answers the browser's question to the person, for the site that is shown: `granted`, `denied`, `prompt`.
    pub(crate) fn answer_permission(&mut self, name: &str, state: &str) {
        let answer = json!({"descriptor": {"name": name}, "state": state});
        self.command(Method::POST, "/permissions", &answer).unwrap();
    }

    /// Deletes all cookies of all sites, as a person who clears the browsing data.
    pub(crate) fn forget_cookies(&mut self) {
        let command = json!({"cmd": "Network.clearBrowserCookies", "params": {}});
        self.command(Method::POST, "/goog/cdp/execute", &command).unwrap();
    }

    /// Puts a cookie for a domain into the jar; the page that is shown must be of that domain.
    pub(crate) fn set_cookie(&mut self, name: &str, value: &str, domain: &str) {
        let cookie =
            json!({"name": name, "value": value, "domain": domain, "path": "/", "secure": true, "httpOnly": true});
        self.command(Method::POST, "/cookie", &json!({ "cookie": cookie })).unwrap();
    }

    /// How many redirects documents have followed since the last call.
    pub(crate) fn redirects(&mut self) -> usize {
        let followed = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let (method, what) = (&message["message"]["method"], &message["message"]["params"]);
            method == "Network.requestWillBeSent" && what["type"] == "Document" && what["redirectResponse"].is_object()
        };
        self.log("performance").iter().filter(|entry| followed(entry)).count()
    }

    /// What the console has said since the last call.
    pub(crate) fn console(&mut self) -> Vec<String> {
        self.log("browser").iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn log(&mut self, kind: &str) -> Vec<Value> {
        let entries = self.command(Method::POST, "/se/log", &json!({ "type": kind })).unwrap();
        entries.as_array().unwrap().clone()
    }

    /// Closes the tab's page and opens an empty one.
    pub(crate) fn leave(&mut self) {
        self.open("about:blank").unwrap();
    }

    /// What the address line shows.
    pub(crate) fn address(&mut self) -> String {
        self.command(Method::GET, "/url", &Value::Null).unwrap().as_str().unwrap().to_owned()
    }

    /// The text of the first element that matches, as rendered; `None` when there is none, or no page yet.
    pub(crate) fn text(&mut self, selector: &str) -> Option<String> {
        let script = "const found = document.querySelector(arguments[0]); return found && found.innerText;";
        self.run(script, &json!([selector])).ok()?.as_str().map(str::to_owned)
    }

    /// Looks into a frame from now on, until the next page.
    #[track_caller]
    pub(crate) fn enter_frame(&mut self, selector: &str) {
        let frame = self.element(selector);
        self.command(Method::POST, "/frame", &json!({ "id": frame })).unwrap();
    }

    /// Waits until there is such an element.
    #[track_caller]
    fn element(&mut self, selector: &str) -> Value {
        wait::for_some(&format!("the page has {selector}"), || {
            self.command(Method::POST, "/element", &json!({"using": "css selector", "value": selector})).ok()
        })
    }

    /// Runs a script in the page.
    pub(crate) fn run(&mut self, script: &str, arguments: &Value) -> Result<Value, String> {
        self.command(Method::POST, "/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Waits until an element has a text that passes.
    #[track_caller]
    pub(crate) fn wait_for_text(&mut self, selector: &str, passes: impl Fn(&str) -> bool) -> String {
        wait::for_some(&format!("the page shows the text of {selector}"), || {
            self.text(selector).filter(|text| passes(text))
        })
    }

    fn command(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("{}{path}", self.session);
        self.call(method, &path, body)
    }

    fn call(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let text = if method == Method::POST { body.to_string() } else { String::new() };
        let url = format!("{}{path}", self.base);
        let answer = self.client.try_send(method, &url, &[("content-type", "application/json")], &text)?;
        let value = answer.json()["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser leads a group of its own: ask the driver to end it, then end the driver.
        let session = std::mem::take(&mut self.session);
        if !session.is_empty() {
            let _ended_already = self.call(Method::DELETE, &session, &Value::Null);
        }
        self.driver.kill();
        // Its last files may still be written while the profile is removed.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A driver and its port. It takes a free port of one family of addresses and gives up when somebody has it in the other one.
fn driver(profile: &TempDir) -> (Process, u16) {
    for _ in 0..5 {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", profile.path()).env("XDG_CONFIG_HOME", profile.path());
        let mut driver = Process::start("chromedriver", &mut command);
        let port = wait::for_some("chromedriver says its port, or ends", || {
            let words = driver.words();
            let said = words.iter().find_map(|line| {
                line.split("started successfully on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok()
            });
            said.map(Some).or_else(|| driver.ended().map(|_| None))
        });
        if let Some(port) = port {
            return (driver, port);
        }
    }
    panic!("no free port for chromedriver");
}

fn arguments(profile: &TempDir, more: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--headless=new",
        // As root, and where user namespaces are closed, the sandbox cannot start.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-sync",
        "--host-resolver-rules=MAP *.test 127.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend_from_slice(more);
    arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
    arguments
}
