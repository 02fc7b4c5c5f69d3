//! What monitoring sees: promtool reads the metrics, the internal door is closed to strangers, a container's health check asks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::process::require;
use crate::support::stub::StubServer;
use crate::support::tree::root;
use crate::support::wait;

fn director() -> (StubServer, Director) {
    let stub = StubServer::start("ua1");
    let director = Plan::new().stubs([&stub]).start();
    director.wait_for_usable(&["ua1"]);
    (stub, director)
}

/// From the path, or where `tests/run` put it.
fn promtool() -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&folders).map(|folder| folder.join("promtool")).find(|file| file.exists());
    on_path.unwrap_or_else(|| {
        let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/parts/promtool");
        require(&own.to_string_lossy());
        own
    })
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let (_stub, director) = director();
    let mut client = Client::new();
    client.get(&director.url("/desk?agent=secret-agent-7"));
    let metrics = client.get(&director.metrics_url("/metrics"));
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    assert!(text.contains("maitred_") && !text.contains("secret-agent-7"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics");
    std::fs::write(&file, &text).unwrap();
    let input = Stdio::from(std::fs::File::open(&file).unwrap());
    let checked = Command::new(promtool()).args(["check", "metrics"]).stdin(input).output().unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && words.is_empty(), "{words}\n{text}");
}

/// `conf/alerts.yml` is what it says, and asks for metrics that exist.
#[test]
fn promtool_takes_the_alerts_that_we_hand_out() {
    let file = root().join("conf/alerts.yml");
    let checked = Command::new(promtool()).args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let documented = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("maitred_")).collect();
    assert!(asked.len() > 5);
    for metric in asked {
        assert!(documented.contains(&format!("| `{metric}` |")), "{metric} is no metric");
    }
}

#[test]
fn the_internal_listener_knows_its_operator_and_no_one_else() {
    let (_stub, director) = director();
    let servers = director.internal_url("/v1/servers");
    assert_eq!(director.operator().get(&servers).status, 200);
    assert_eq!(Client::new().get(&servers).status, 401);
    // The public listener does not even know the path: it is a start like any other.
    let public = director.operator().get(&director.url("/v1/servers"));
    assert_eq!(public.status, 302);
}

#[test]
fn a_drained_server_keeps_its_sessions_and_gets_no_new_one() {
    let stubs = ["ua1", "ua2"].map(StubServer::start);
    let director = Plan::new().stubs(&stubs).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    let mut program = Client::new();
    let mut seat = |key: String| {
        let wanted = json!({"pool": "ua", "key": key});
        program.post_json(&director.url("/maitred/v1/sessions"), &wanted).json()["server"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before: Vec<String> = (0..20).map(|number| seat(number.to_string())).collect();
    assert!(before.contains(&"ua1".to_owned()));
    let ordered = director.command(&["server", "drain", "ua1"]).output().unwrap();
    assert!(ordered.status.success(), "{ordered:?}");
    for (number, server) in before.iter().enumerate() {
        assert_eq!(seat(number.to_string()), *server);
    }
    for number in 100..130 {
        assert_eq!(seat(number.to_string()), "ua2");
    }
}

#[test]
fn the_health_command_says_what_the_director_says() {
    let (_stub, mut director) = director();
    let ask = |director: &Director, question: &str| {
        let output = director.command(&["health", question]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned(),
        )
    };
    for question in ["live", "ready", "active"] {
        assert_eq!(ask(&director, question), (Some(0), "ok".into()), "{question}");
    }
    director.terminate();
    wait::for_equal("ready", &(Some(1), "no".to_owned()), || ask(&director, "ready"));
    assert_eq!(ask(&director, "live"), (Some(0), "ok".into()));
    director.wait();
    assert_eq!(ask(&director, "live").0, Some(3));
}
