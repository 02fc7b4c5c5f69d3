//! The description of the listeners, held against the listeners that run: schemathesis makes requests out of `openapi.json`, good
//! ones and bad ones, and judges each answer by it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::process::require;
use crate::support::stub::StubServer;

/// Made-up requests of each operation, beside those for each limit that the description names.
const EXAMPLES: &str = "10";

fn house() -> (Director, [StubServer; 2]) {
    let stubs = [StubServer::start("ua1"), StubServer::start("ua2")];
    let pool = "jsonp = true\nembed = [\"https://desk.example.com\"]\nlabels = { media = \"query:media\" }\n";
    let director = Plan::new().stubs(&stubs).with("pool", pool).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    (director, stubs)
}

/// What the director says of one listener. Parameters get values that exist: otherwise nearly every answer is a 404.
fn described(director: &Director, listener: &str, known: &[(&str, &[&str])]) -> Value {
    let mut document = director.operator().get(&director.internal_url("/openapi.json")).json();
    let paths = document["paths"].as_object_mut().unwrap();
    for item in paths.values_mut() {
        let operations = item.as_object_mut().unwrap();
        operations.retain(|_, operation| operation["x-listeners"].as_array().unwrap().contains(&json!(listener)));
        // The feed of events never ends, and whoever reads it waits for the end.
        operations.retain(|_, operation| operation["operationId"] != "events");
        for operation in operations.values_mut() {
            let in_path = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .filter(|it| it["in"] == "path");
            for parameter in in_path {
                if let Some((_, values)) = known.iter().find(|(name, _)| parameter["name"] == *name) {
                    parameter["schema"] = json!({ "type": "string", "enum": values });
                }
            }
        }
    }
    paths.retain(|_, item| !item.as_object().unwrap().is_empty());
    document
}

/// Runs schemathesis and fails with its report.
fn hold(document: &Value, url: &str, director: &Director, more: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/parts/schemathesis/bin/schemathesis");
    require(&program.to_string_lossy());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
    let certificates = director.certificates();
    let output = Command::new(program)
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(root.join("tests/it/description/schemathesis.toml"))
        .args(["run", "openapi.json", "--url", url, "--no-color", "--continue-on-failure"])
        // The same requests each time. Random ones would find more, at a time that nobody chose.
        .args(["--generation-deterministic", "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing"])
        // Guesses at tokens are braked, for those who are let in as well; who may do what has a matrix of its own.
        .args(["--generation-with-security-parameters", "false", "--exclude-checks", "ignored_auth"])
        .args(["--suppress-health-check", "all", "--request-timeout", "60", "--max-redirects", "1"])
        .arg("--tls-verify")
        .arg(certificates.path("ca.pem"))
        .args(more)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{complaints}");
    let count = report.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 100), "it asked: {report}");
    let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let names: BTreeSet<&str> = operations.map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert!(report.contains(&format!("Tested: {}\n", names.len())), "every operation: {report}");
    assert!(!director.has_said("panicked"), "{:?}", director.words());
}

#[test]
fn the_internal_listener_is_as_it_is_described() {
    let (director, _stubs) = house();
    let seat =
        director.client().post_json(&director.url("/maitred/v1/sessions"), &json!({ "pool": "ua", "key": "1001" }));
    assert_eq!(seat.status, 201, "{}", seat.text());
    let known: [(&str, &[&str]); 3] = [("name", &["ua1", "ua2"]), ("pool", &["ua"]), ("key", &["1001", "nobody"])];
    let document = described(&director, "internal", &known);
    let (cert, key) = (director.certificates().path("operator.pem"), director.certificates().path("operator.key"));
    let identity = ["--request-cert", &cert.to_string_lossy(), "--request-cert-key", &key.to_string_lossy()];
    hold(&document, &director.internal_url(""), &director, &identity);
}

#[test]
fn the_public_listener_is_as_it_is_described() {
    let (director, _stubs) = house();
    let seat =
        director.client().post_json(&director.url("/maitred/v1/sessions"), &json!({ "pool": "ua", "key": "1001" }));
    let seat = seat.json();
    let (session, token) = (seat["session"].as_str().unwrap(), seat["token"].as_str().unwrap());
    let document = described(&director, "public", &[("session", &[session, "00000000000000000000000000000000"])]);
    let url = format!("https://localhost:{}", director.ports().public);
    hold(&document, &url, &director, &["--header", &format!("Authorization: Bearer {token}")]);
}
