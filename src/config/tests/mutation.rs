//! Broken files of every kind are answered: no panic, no hang, no mistake without a place.

use proptest::prelude::*;

use super::*;

/// What every answer to a broken file must be: either it is taken, or each mistake has a file, a line, a key and a reason.
fn is_answered(site: &Site, text: &str, what: &str) {
    site.write("maitred.toml", text);
    let Err(errors) = site.load() else { return };
    assert!(!errors.is_empty(), "{what}: refused without a reason");
    let lines = u32::try_from(text.lines().count()).unwrap().max(1);
    for error in &errors {
        let super::super::Place::File { path, line } = &error.place else { panic!("{what}: {error}") };
        assert_eq!(path, &site.path("maitred.toml"), "{what}: {error}");
        assert!((1..=lines).contains(line), "{what}: {error} of {lines}");
        assert!(!error.key.is_empty() && !error.reason.is_empty(), "{what}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{what}: {error}");
    }
}

#[test]
fn each_line_deleted_doubled_misspelt_or_senseless_is_answered() {
    let site = Site::new("");
    let text = everything();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let with = |replacement: &[String]| {
            let before = lines[..index].iter().map(|line| (*line).to_owned());
            let after = lines[index + 1..].iter().map(|line| (*line).to_owned());
            before.chain(replacement.iter().cloned()).chain(after).collect::<Vec<_>>().join("\n")
        };
        let key = line.split(" = ").next().unwrap();
        let doubled = [(*line).to_owned(), (*line).to_owned()];
        for replacement in [
            vec![],
            doubled.to_vec(),
            vec![format!("{}x{}", &line[..1], &line[1..])],
            vec![format!("{key} = 1")],
            vec![format!("{key} = 99999999999999999999999999999999")],
            vec![format!("{key} = 1e999")],
            vec![format!("{key} = \"\"")],
            vec![format!("{key} = \"\\u0000\\u001b\"")],
            vec![format!("{key} = []")],
            vec![format!("{key} = {{}}")],
            vec![format!("{key} = [[[{{ a = 1 }}]]]")],
            vec![format!("{key} = 1979-05-27")],
            vec![format!("{key} =")],
            vec![format!("{key}")],
            vec![line.chars().take(line.chars().count() / 2).collect()],
        ] {
            is_answered(&site, &with(&replacement), &format!("line {}: {replacement:?}", index + 1));
        }
    }
}

#[test]
fn a_wrong_type_is_told_at_its_line_and_key() {
    for line in everything().lines() {
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#') && !key.contains(' '))
        else {
            continue;
        };
        let text = everything().replacen(line, &format!("{key} = 1979-05-27"), 1);
        let number = line_of(&everything(), line);
        let said = mistakes(&text);
        let found = said.iter().any(|said| {
            said.starts_with(&format!("maitred.toml:{number}: ")) && said.contains(key) && said.contains("must be")
        });
        assert!(found || line.contains("include"), "{line}: {said:?}");
    }
}

#[test]
fn deep_and_long_things_end() {
    let deep = 100_000;
    let site = Site::new("");
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{} = 1", vec!["a"; deep].join(".")),
        format!("[{}]", vec!["a"; deep].join(".")),
        format!("a = {}1{}", "{ a = ".repeat(deep), " }".repeat(deep)),
        format!("{}=1\n", "k".repeat(deep)),
        (0..20_000).map(|number| format!("k{number} = \n")).collect::<String>(),
        (0..20_000).map(|number| format!("k{number} = 1\n")).collect::<String>(),
        "[[pool]]\n".repeat(20_000),
    ] {
        is_answered(&site, &text, &text[..20]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let site = Site::new("");
        fs::write(site.path("maitred.toml"), &bytes).unwrap();
        prop_assert!(site.load().is_err());
    }

    #[test]
    fn any_text_of_toml_like_pieces_is_answered(
        pieces in proptest::collection::vec(prop_oneof![
            Just("[pool]\n"), Just("[[pool]]\n"), Just("[[pool.server]]\n"), Just("[director]\n"), Just("[listen.public]\n"),
            Just("name = "), Just("route = "), Just("include = "), Just("labels."), Just("a"), Just("\"x\"\n"), Just("1\n"),
            Just("[{ host = \"h\" }]\n"), Just("{ cert = \"c\" }\n"), Just("["), Just("]"), Just("}"), Just("\n"), Just("\"\"\""),
            Just("# "), Just(" = "), Just("\u{e9}"), Just("\r"), Just("-1e9\n"), Just("true\n"),
        ], 0..40)
    ) {
        is_answered(&Site::new(""), &pieces.concat(), "pieces");
    }

    #[test]
    fn any_bytes_in_the_reference_are_answered(at in 0usize..5000, bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut text = REFERENCE.as_bytes().to_vec();
        let at = at.min(text.len());
        let end = (at + bytes.len()).min(text.len());
        text.splice(at..end, bytes);
        let site = Site::new("");
        fs::write(site.path("maitred.toml"), &text).unwrap();
        if let Err(errors) = site.load() {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn any_variable_is_answered(name in "[A-Z_]{0,30}", value in "\\PC{0,40}") {
        let site = Site::new(REFERENCE);
        let name = format!("MAITRED__{name}");
        if let Err(errors) = site.load_with(&[(&name, &value)]) {
            prop_assert!(site.said(&errors).iter().all(|said| said.starts_with(&name)), "{:?}", site.said(&errors));
        }
    }
}
