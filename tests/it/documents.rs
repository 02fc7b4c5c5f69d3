//! What documents promise: configurations that are accepted, commands that exist, links that lead somewhere.

use std::fs;
use std::path::PathBuf;

use crate::support::director::maitred;
use crate::support::tree::{files_below, root, shown};

/// A configuration's shape when it means to be whole; shorter blocks are excerpts.
const WHOLE: [&str; 2] = ["[listen.public]", "[[pool]]"];

/// Documents that are linked to before they are there. To be empty.
const COMING: [&str; 0] = [];

#[test]
fn each_configuration_that_we_hand_out_is_accepted() {
    let files = files_below(&root().join("conf"), "toml");
    assert!(!files.is_empty());
    for file in files {
        accepted(&shown(&file), &fs::read_to_string(&file).unwrap());
    }
}

#[test]
fn each_whole_configuration_in_the_documents_is_accepted() {
    for (document, _, text) in
        blocks("toml").into_iter().filter(|(_, _, text)| WHOLE.iter().all(|part| text.contains(part)))
    {
        accepted(&document, &text);
    }
}

#[test]
fn each_command_in_the_documents_exists() {
    let mut seen = 0;
    for (document, line, text) in blocks("sh") {
        for (number, command) in text.lines().enumerate() {
            let words = command.trim().trim_start_matches("$ ");
            let ours = words.strip_prefix("maitred ").or_else(|| {
                words.strip_prefix("cargo run").and_then(|rest| rest.split_once(" -- ")).map(|(_, ours)| ours)
            });
            if let Some(ours) = ours {
                seen += 1;
                let place = format!("{document}:{}", line + number + 1);
                known(&place, ours);
            } else if let Some(script) = words
                .split_whitespace()
                .next()
                .filter(|word| word.contains('/') && !word.contains("://") && !word.starts_with('/'))
            {
                assert!(root().join(script).exists(), "{document}:{}: {script} is not there", line + number + 1);
            }
        }
    }
    assert!(seen > 0, "the README shows no command");
}

#[test]
fn each_decision_has_a_number_of_its_own() {
    let mut numbers = std::collections::BTreeSet::new();
    for file in files_below(&root().join("docs/decisions"), "md") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let number = name.split('-').next().unwrap().to_owned();
        let heading = format!("# {number}. ");
        assert!(number == "0000" || fs::read_to_string(&file).unwrap().starts_with(&heading), "{name}: no {heading}");
        assert!(numbers.insert(number), "{name}: the number is taken");
    }
    assert!(numbers.len() > 1);
}

#[test]
fn each_link_between_documents_leads_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") || COMING.contains(&path) {
                continue;
            }
            if !document.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {target}", shown(&document)));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// `maitred check` takes it, with certificates of its own and a state folder of its own.
#[track_caller]
fn accepted(place: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let made = maitred().args(["certs", "dev"]).arg(&certs).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    // Relative to where it stands, or where a package puts it.
    let text = text.replace("/etc/maitred", &folder.path().to_string_lossy());
    let text = text.replace("/var/lib/maitred", &folder.path().join("state").to_string_lossy());
    let file = folder.path().join("maitred.toml");
    fs::write(&file, text).unwrap();
    let checked = maitred().current_dir(folder.path()).args(["check", "--config"]).arg(&file).output().unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{place} is refused:\n{words}");
}

/// The command exists: everything before its first option or argument asks for help successfully.
#[track_caller]
fn known(place: &str, command: &str) {
    let is_command =
        |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-');
    let words: Vec<&str> = command.split_whitespace().take_while(is_command).take(2).collect();
    let helps = |words: &[&str]| maitred().arg("help").args(words).output().unwrap().status.success();
    // The second word may be an argument (`maitred explain 1001` is one, `maitred keys add` is not).
    assert!(
        !words.is_empty() && (helps(&words) || helps(&words[..1])),
        "{place}: there is no maitred {}",
        words.join(" ")
    );
}

/// Fenced blocks of a language: document, line of the fence, text.
fn blocks(language: &str) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let mut open: Option<(usize, String)> = None;
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                if let Some((start, block)) = open.take() {
                    found.push((shown(&document), start, block));
                } else if !fenced && info.trim() == language {
                    open = Some((number + 1, String::new()));
                }
                fenced = !fenced;
            } else if let Some((_, block)) = &mut open {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let mut documents = files_below(&root().join("docs"), "md");
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(top.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    documents.sort();
    documents
}
