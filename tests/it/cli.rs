//! The command line as scripts and operators meet it: what it prints, where, and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::director::{Director, maitred};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

fn said(words: &[&str]) -> Ended {
    ended(maitred().args(words))
}

/// Certificates and a small valid configuration.
fn site(folder: &Path) {
    let made = ended(maitred().args(["certs", "dev", "certs", "--name", "agents.test"]).current_dir(folder));
    assert_eq!(made.code, 0, "{}", made.err);
    let text = r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
tls = { cert = "certs/public.pem", key = "certs/public.key" }
[affinity]
key_file = "certs/affinity.keys"
[[pool]]
name = "ua"
route = [{ host = "agents.test", path = "/" }]
key = ["query:agent", "cookie"]
datacenters = ["east"]
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1.test"
"#;
    fs::write(folder.join("maitred.toml"), text).unwrap();
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_with_0() {
    assert_eq!(said(&["--help"]).code, 0);
    assert_eq!(said(&["--version"]).out.split(' ').next(), Some("maitred"));
    for wrong in
        [&["serve"][..], &[], &["server", "drain"], &["demo", "--agents", "1"], &["status", "--url", "ftp://x"]]
    {
        let wrong = said(wrong);
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{}", wrong.err);
    }
}

#[test]
fn a_valid_configuration_ends_with_0_and_says_what_would_run() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let checked = ended(maitred().args(["check", "-c", "maitred.toml"]).current_dir(folder.path()));
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert!(checked.out.contains("director east-1 in east") && checked.out.ends_with("valid\n"), "{}", checked.out);
    let json = ended(maitred().args(["check", "-c", "maitred.toml", "--json"]).current_dir(folder.path())).json();
    assert_eq!(json["valid"], true);
}

#[test]
fn each_mistake_is_a_line_on_standard_error_that_an_editor_can_jump_to() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let text = fs::read_to_string(folder.path().join("maitred.toml")).unwrap();
    let text = text.replace("datacenters", "datacentres").replace("https://ua1.test", "ua1.test");
    fs::write(folder.path().join("maitred.toml"), text).unwrap();
    for command in ["check", "run"] {
        let refused = ended(maitred().args([command, "-c", "maitred.toml"]).current_dir(folder.path()));
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
        let places = refused.err.lines().filter(|line| line.contains("maitred.toml:")).count();
        assert!(places >= 2 && refused.err.contains("maitred.toml:13: pool.datacentres: "), "{}", refused.err);
    }
}

#[test]
fn certificates_that_are_no_pair_are_refused_before_a_director_would() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    fs::copy(folder.path().join("certs/peer.pem"), folder.path().join("certs/public.pem")).unwrap();
    let refused = ended(maitred().args(["check", "-c", "maitred.toml"]).current_dir(folder.path()));
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("maitred.toml:6: listen.public.tls") && refused.err.contains("not a pair"),
        "{}",
        refused.err
    );
}

#[test]
fn keys_rotate_and_what_is_not_there_ends_with_4() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let keys = |words: &[&str]| {
        ended(maitred().arg("keys").args(words).args(["--file", "certs/affinity.keys"]).current_dir(folder.path()))
    };
    let before = keys(&["list", "--json"]).json();
    let first = before["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(before["keys"][0]["state"], "seals");
    assert_eq!(keys(&["add", "next", "--after", "1h"]).code, 0);
    assert_eq!(keys(&["list", "--json"]).json()["keys"][1]["state"], "waits");
    assert_eq!(keys(&["retire", &first]).code, 1, "the key that seals stays");
    assert_eq!(keys(&["retire", "next"]).code, 0);
    assert_eq!(keys(&["retire", "next"]).code, 4);
    assert_eq!(keys(&["list", "--json"]).json(), before);
}

#[test]
fn a_hash_is_the_same_each_time_and_hides_the_key() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let hash = |key: &str| ended(maitred().args(["hash", key, "-c", "maitred.toml"]).current_dir(folder.path())).out;
    let one = hash("1001");
    assert_eq!(one.split_whitespace().next().map(str::len), Some(16), "{one}");
    assert_eq!(one, hash("1001"));
    assert_ne!(one, hash("1002"));
    assert!(!one.contains("1001"));
}

#[test]
fn certificates_are_not_overwritten_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let before = fs::read(folder.path().join("certs/ca.pem")).unwrap();
    let again = ended(maitred().args(["certs", "dev", "certs"]).current_dir(folder.path()));
    assert_eq!(again.code, 1);
    assert!(again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read(folder.path().join("certs/ca.pem")).unwrap(), before);
}

#[test]
fn a_closed_pipe_is_harmless_and_a_full_disk_is_told() {
    let mut child =
        maitred().args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = maitred().args(["completions", "bash"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn nobody_there_ends_with_3_whatever_is_asked() {
    let nobody = ["--url", "https://127.0.0.1:1"];
    for words in [&["status"][..], &["server", "list"], &["server", "drain", "ua1"], &["sessions", "find", "1001"]] {
        let unreachable = ended(maitred().args(words).args(nobody));
        assert_eq!(unreachable.code, 3, "{words:?}: {}", unreachable.err);
        assert!(unreachable.err.contains("no director answers at https://127.0.0.1:1"), "{}", unreachable.err);
    }
}

#[test]
fn the_demo_holds_what_it_claims_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = ended(maitred().args(["demo", "--once", "--agents", "20"]).env("TMPDIR", temporary.path()));
    assert_eq!(shown.code, 0, "{}\n{}", shown.out, shown.err);
    assert!(shown.out.contains("claims held") && !shown.out.contains('✗'), "{}", shown.out);
    assert!(!shown.out.contains('\u{1b}'), "piped, it is plain lines");
    // Where its files are is the system's choice.
    for line in shown.out.lines().filter(|line| !line.contains('/')) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// Two servers, and three agents seated by the public listener.
fn house() -> (Director, [StubServer; 2]) {
    let stubs = [StubServer::start("ua1"), StubServer::start("ua2")];
    let director = Plan::new().stubs(&stubs).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    let mut agents = crate::support::client::Client::new();
    for agent in ["1001", "1002", "1003"] {
        assert_eq!(agents.get(&director.url(&format!("/ua/?agent={agent}"))).status, 302);
        agents.forget_cookies();
    }
    // Whoever waited for the servers left a session of its own.
    let watcher = ended(&mut director.command(&["sessions", "end", "the watcher"]));
    assert_eq!(watcher.code, 0, "{}", watcher.err);
    (director, stubs)
}

#[test]
fn an_operator_drains_a_server_by_command() {
    let (director, _stubs) = house();
    let run = |words: &[&str]| ended(&mut director.command(words));

    let listed = run(&["server", "list"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);

    let previewed = run(&["server", "drain", "ua1", "--preview"]);
    assert!(previewed.out.starts_with("ua1: would change ready -> drain"), "{}", previewed.out);
    let drained = run(&["server", "drain", "ua1", "--reason", "kernel"]);
    assert!(drained.out.starts_with("ua1: ready -> drain"), "{} {}", drained.out, drained.err);
    let again = run(&["server", "drain", "ua1", "--reason", "kernel"]);
    assert_eq!((again.code, again.out.as_str()), (0, "ua1: unchanged, drain\n"));
    assert!(run(&["server", "list"]).out.contains("kernel"));
    assert_eq!(run(&["server", "ready", "ua1", "--json"]).json()["after"]["state"], "ready");
    let unknown = run(&["server", "drain", "ua9"]);
    assert_eq!(unknown.code, 4);
    assert!(unknown.err.contains("ua9: ") && unknown.err.contains("nearest: ua1, ua2"), "{}", unknown.err);
}

#[test]
fn a_wait_ends_when_nobody_is_left_or_with_6() {
    let (director, _stubs) = house();
    let run = |words: &[&str]| ended(&mut director.command(words));
    let server = run(&["sessions", "find", "1001", "--json"]).json()["sessions"][0]["server"].clone();
    let server = server.as_str().unwrap();
    let waited = run(&["server", "drain", server, "--wait", "1s"]);
    assert_eq!(waited.code, 6, "{} {}", waited.out, waited.err);
    for agent in ["1001", "1002", "1003"] {
        assert_eq!(run(&["sessions", "end", agent]).code, 0);
    }
    let waited = run(&["server", "drain", server, "--wait", "30s"]);
    assert_eq!(waited.code, 0, "{} {}", waited.out, waited.err);
    assert!(waited.out.ends_with("0 sessions left\n"), "{}", waited.out);
}

#[test]
fn an_operator_finds_moves_and_ends_a_session() {
    let (director, _stubs) = house();
    let run = |words: &[&str]| ended(&mut director.command(words));
    let find = || run(&["sessions", "find", "1001", "--json"]).json()["sessions"][0].clone();

    let listed = run(&["sessions", "list"]).out;
    assert!(["1001", "1002", "1003"].iter().all(|agent| listed.contains(agent)), "{listed}");
    assert_eq!(run(&["sessions", "list", "--limit", "2", "--json"]).json()["sessions"].as_array().unwrap().len(), 2);
    let other = if find()["server"] == "ua1" { "ua2" } else { "ua1" };
    let moved = run(&["sessions", "move", "1001", "--to", other]);
    assert!(moved.out.ends_with(&format!("-> {other}\n")), "{} {}", moved.out, moved.err);
    assert_eq!(find()["server"], other);
    assert_eq!(run(&["sessions", "move", "1001", "--to", other]).out, format!("1001: unchanged, {other}\n"));
    let ended_now = run(&["sessions", "end", "1001"]);
    assert_eq!(ended_now.code, 0, "{}", ended_now.err);
    assert_eq!(find()["state"], "ended");
    let again = run(&["sessions", "end", "1001"]);
    assert_eq!((again.code, again.out.as_str()), (0, "1001: unchanged, ended\n"), "{}", again.err);
    assert_eq!(run(&["sessions", "find", "4711"]).code, 4);
}

#[test]
fn a_director_is_shown_checked_and_reloaded() {
    let (director, _stubs) = house();
    let run = |words: &[&str]| ended(&mut director.command(words));
    let status = run(&["status"]);
    assert!(status.out.starts_with("director east-1 in east"), "{} {}", status.out, status.err);
    assert!(run(&["check"]).out.contains("the running director has the same configuration"));
    assert_eq!(run(&["config", "reload"]).out, "reloaded: unchanged\n");

    let checked = ended(director.command(&["check"]).env("MAITRED__DIRECTOR__STOP_DELAY", "9s"));
    assert!(checked.out.contains("  director.stop_delay: 1s -> 9s\n"), "{}", checked.out);

    fs::write(director.config(), "[[pool").unwrap();
    let other = ["--url", &director.internal_url(""), "--ca"].map(str::to_owned);
    let certs = director.certificates();
    let refused = ended(
        maitred()
            .args(["config", "reload"])
            .args(other)
            .arg(certs.path("ca.pem"))
            .arg("--cert")
            .arg(certs.path("operator.pem"))
            .arg("--key")
            .arg(certs.path("operator.key")),
    );
    assert_eq!(refused.code, 1, "{} {}", refused.out, refused.err);
    assert!(refused.err.contains("maitred.toml:1"), "the mistake is told: {}", refused.err);
}

#[test]
fn who_shows_nothing_ends_with_5() {
    let (director, _stubs) = house();
    let ca = director.certificates().path("ca.pem");
    let url = director.internal_url("");
    let refused = ended(maitred().args(["status", "--url", &url, "--ca"]).arg(&ca));
    assert_eq!(refused.code, 5, "{}", refused.err);
    let stranger = ended(maitred().args(["status", "--url", &url]));
    assert_eq!(stranger.code, 3, "an authority that we do not believe: {}", stranger.err);
}
