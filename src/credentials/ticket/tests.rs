//! Tickets from outside: what is signed is read back, what RFCs give as examples comes out, and nothing else is believed.

use std::path::Path;
use std::process::Command;

use maitred_core::ids::{Generation, Key};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::TicketAlgorithm;
use crate::credentials::envelope::tests::{NOW, seat};

const FRONT: &str = "https://agents.example.com/ua?x=1";
const BOTH: [TicketAlgorithm; 2] = [TicketAlgorithm::EdDsa, TicketAlgorithm::Es256];

fn tickets(algorithm: TicketAlgorithm) -> Tickets {
    Tickets::new(DirectorName::parse("east-1").unwrap(), TicketKeys::ephemeral(algorithm).unwrap())
}

fn signed(tickets: &Tickets) -> String {
    tickets.sign(&seat(), [9; 16], Some(FRONT), NOW).unwrap()
}

fn word(tickets: &Tickets, ticket: impl AsRef<[u8]>) -> &'static str {
    tickets.verify(ticket.as_ref(), None, NOW).map_or_else(|fault| fault.as_str(), |_| "taken")
}

fn part(ticket: &str, at: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(ticket.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

fn kid(tickets: &Tickets) -> String {
    tickets.keys().names().next().unwrap().to_owned()
}

/// Signs any header and payload with the key that signs: what a key holder's mistake or another product would write.
fn sign_raw(tickets: &Tickets, header: &str, payload: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = tickets.keys().signing().sign(text.as_bytes(), &SystemRandom::new()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn good_header(tickets: &Tickets) -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, kid(tickets))
}

fn good_claims() -> Value {
    json!({
        "iss": "east-1", "aud": "ua3", "sub": "agent-1001", "jti": "x", "iat": NOW.0 / 1000, "exp": NOW.0 / 1000 + 60,
        "pool": "ua", "session": "07".repeat(16), "generation": 1, "return": FRONT,
    })
}

#[test]
fn a_ticket_says_who_was_seated_where() {
    for algorithm in BOTH {
        let tickets = tickets(algorithm);
        let ticket = signed(&tickets);
        assert_eq!(part(&ticket, 0)["alg"], if algorithm == TicketAlgorithm::EdDsa { "EdDSA" } else { "ES256" });
        let claims = part(&ticket, 1);
        let now = NOW.0 / 1000;
        assert_eq!(
            claims,
            json!({
                "iss": "east-1", "aud": "ua3", "sub": "agent-1001", "jti": URL_SAFE_NO_PAD.encode([9; 16]), "iat": now,
                "exp": now + 60, "pool": "ua", "session": "07".repeat(16), "generation": 1, "return": FRONT,
            })
        );
        let read = tickets.verify(ticket.as_bytes(), Some(&seat().server), NOW).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), claims, "the answer of the verification is the payload");
        assert!(!format!("{read:?} {read}").contains("agent-1001"), "no key in a log");
    }
}

#[test]
fn it_is_valid_for_a_minute_and_the_leeway_at_its_own_server() {
    let tickets = tickets(TicketAlgorithm::EdDsa);
    let ticket = signed(&tickets);
    let at = |seconds: i64, server: &str| {
        let time = Time(NOW.0.checked_add_signed(seconds * 1000).unwrap());
        let server = ServerName::parse(server).unwrap();
        tickets.verify(ticket.as_bytes(), Some(&server), time).map_or_else(|fault| fault.as_str(), |_| "taken")
    };
    for (seconds, expected) in [(-31, "future"), (-30, "taken"), (0, "taken"), (89, "taken"), (90, "expired")] {
        assert_eq!(at(seconds, "ua3"), expected, "{seconds} s");
    }
    assert_eq!(at(0, "ua1"), "audience");
    assert_eq!(at(3600, "ua1"), "audience", "a stranger learns no address from an old ticket");
    let late = tickets.verify(ticket.as_bytes(), None, NOW + Duration::from_hours(1));
    let Err(TicketFault::Expired(claims)) = late else { panic!("{late:?}") };
    assert_eq!(claims.front.as_deref(), Some(FRONT), "where to send the client");
}

#[test]
fn what_no_director_writes_is_refused_with_a_reason() {
    let tickets = tickets(TicketAlgorithm::EdDsa);
    let good = signed(&tickets);
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let kid = kid(&tickets);
    let texts: Vec<(String, &str)> = vec![
        (String::new(), "malformed"),
        (".".into(), "malformed"),
        ("..".into(), "header"),
        (good.clone() + ".", "malformed"),
        (good.clone() + "..", "malformed"),
        (format!(".{good}"), "malformed"),
        (format!("{head}.{payload}"), "malformed"),
        (format!("{head}.{payload}."), "forged"),
        (good.clone() + "=", "malformed"),
        (good.clone() + "\n", "malformed"),
        (format!(" {good}"), "malformed"),
        (format!("{head}=.{payload}.{signature}"), "malformed"),
        (good.replace('.', "%2E"), "malformed"),
        (good.replacen('.', ". ", 1), "malformed"),
        ("A".repeat(1 << 20), "too_long"),
        (format!("{head}.{}.{signature}", "A".repeat(TICKET_BYTES_MAX)), "too_long"),
        (format!("{head}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])), "forged"),
        (format!("{head}.{payload}.{}", URL_SAFE_NO_PAD.encode([0xff; 64])), "forged"),
    ];
    for (text, expected) in texts {
        assert_eq!(word(&tickets, &text), expected, "{}", &text[..text.len().min(200)]);
    }
    let headers: Vec<(String, &str)> = vec![
        (format!(r#"{{"alg":"none","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"None","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"nOnE","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"eddsa","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":"","kid":"{kid}"}}"#), "algorithm"),
        (format!(r#"{{"alg":["EdDSA"],"kid":"{kid}"}}"#), "header"),
        (format!(r#"{{"kid":"{kid}"}}"#), "header"),
        (r#"{"alg":"EdDSA"}"#.into(), "header"),
        (r#"{"alg":"none"}"#.into(), "header"),
        (r#"{"alg":"EdDSA","kid":"../../dev/null"}"#.into(), "unknown_key"),
        (r#"{"alg":"EdDSA","kid":"' OR 1"}"#.into(), "unknown_key"),
        (r#"{"alg":"EdDSA","kid":""}"#.into(), "unknown_key"),
        (r#"{"alg":"EdDSA","kid":null}"#.into(), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","jwk":{{"kty":"OKP"}}}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","jku":"https://evil"}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","x5u":"https://evil"}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","crit":["exp"]}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","b64":false,"crit":["b64"]}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","zip":"DEF"}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","alg":"EdDSA","kid":"{kid}"}}"#), "header"),
        (format!(r#"["EdDSA","{kid}","JWT"]"#), "header"),
        (format!(r#" {{"alg":"EdDSA","kid":"{kid}"}}"#), "header"),
        (format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}x"#), "header"),
        (format!("{}{}", "[".repeat(1000), "]".repeat(1000)), "header"),
        (format!(r#"{{"alg":{}"#, r#"{"a":"#.repeat(400)), "header"),
        ("\u{feff}{}".into(), "header"),
        ("null".into(), "header"),
    ];
    for (header, expected) in headers {
        let ticket = sign_raw(&tickets, &header, &good_claims().to_string());
        assert_eq!(word(&tickets, ticket), expected, "{}", &header[..header.len().min(200)]);
    }
}

#[test]
fn claims_are_read_by_type_even_when_the_signature_holds() {
    let tickets = tickets(TicketAlgorithm::EdDsa);
    let header = good_header(&tickets);
    let judge = |payload: &str| word(&tickets, sign_raw(&tickets, &header, payload));
    assert_eq!(judge(&good_claims().to_string()), "taken");
    let exp = NOW.0 / 1000 + 60;
    for bad in [
        json!(exp.to_string()),
        json!(exp as f64 + 0.5),
        json!(-1),
        json!(null),
        json!([exp]),
        json!({"exp": exp}),
        json!(true),
        json!(u64::MAX),
        json!(0),
        json!(exp + 3600),
    ] {
        let mut claims = good_claims();
        claims["exp"] = bad.clone();
        assert_eq!(judge(&claims.to_string()), "claims", "exp {bad}");
    }
    let text = good_claims().to_string();
    let exp_text = format!("\"exp\":{exp}");
    assert!(text.contains(&exp_text));
    for bad in
        ["\"exp\":1e400", "\"exp\":1e9", "\"exp\":NaN", "\"exp\":+1", "\"exp\":01", "\"exp\":18446744073709551616"]
    {
        assert_eq!(judge(&text.replace(&exp_text, bad)), "claims", "{bad}");
    }
    assert_eq!(judge(&text.replace(&exp_text, &format!("{exp_text},{exp_text}"))), "claims", "twice");
    for (name, bad) in [
        ("aud", json!(["ua3"])),
        ("aud", json!("")),
        ("aud", json!("ua 3")),
        ("iss", json!(1)),
        ("sub", json!("")),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("k".repeat(129))),
        ("iat", json!("now")),
        ("session", json!("7")),
        ("session", json!([7])),
        ("generation", json!(0)),
        ("generation", json!(1_u64 << 32)),
        ("return", json!(1)),
        ("nbf", json!(1)),
        ("admin", json!(true)),
    ] {
        let mut claims = good_claims();
        claims[name] = bad.clone();
        assert_eq!(judge(&claims.to_string()), "claims", "{name} {bad}");
    }
    for name in ["iss", "aud", "sub", "jti", "iat", "exp", "pool", "session", "generation"] {
        let mut claims = good_claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(judge(&claims.to_string()), "claims", "without {name}");
    }
    let positions = r#"["east-1","ua3","k","j",1,2,"ua","07070707070707070707070707070707",1,null]"#;
    for bad in [positions, "null", "", "[]", "\"x\"", &"[".repeat(2000)] {
        assert_eq!(judge(bad), "claims", "{bad}");
    }
    let mut without = good_claims();
    without.as_object_mut().unwrap().remove("return");
    assert_eq!(judge(&without.to_string()), "taken", "a route without a host has no front address to tell");
}

#[test]
fn the_algorithm_is_the_keys_own() {
    let (ed, ec) = (tickets(TicketAlgorithm::EdDsa), tickets(TicketAlgorithm::Es256));
    assert_eq!(word(&ed, signed(&ec)), "unknown_key");
    // HS256 with the public key as its secret: whoever verifies by the token's word takes it.
    let public = ec.keys().jwks();
    let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, kid(&ec));
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(good_claims().to_string()));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public), text.as_bytes());
    assert_eq!(word(&ec, format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))), "algorithm");
    // ES256 with r = s = 0 (CVE-2022-21449).
    let good = signed(&ec);
    let (message, _) = good.rsplit_once('.').unwrap();
    assert_eq!(word(&ec, format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]))), "forged");
    // The same signature in DER, as other libraries write it.
    assert_eq!(word(&ec, format!("{message}.{}", URL_SAFE_NO_PAD.encode([0x30, 6, 2, 1, 1, 2, 1, 1]))), "forged");
}

#[test]
fn keys_rotate_without_a_ticket_being_lost() {
    let pem = |algorithm: &str| {
        let arguments = match algorithm {
            "ed25519" => vec!["genpkey", "-algorithm", "ed25519"],
            _ => vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        String::from_utf8(Command::new("openssl").args(arguments).output().unwrap().stdout).unwrap()
    };
    let parse = |text: &str, algorithm| TicketKeys::parse(Path::new("ticket.pem"), text.as_bytes(), algorithm);
    let (old, new, ec) = (pem("ed25519"), pem("ed25519"), pem("ec"));
    let issuer = DirectorName::parse("east-1").unwrap();
    let tickets = Tickets::new(issuer, parse(&old, TicketAlgorithm::EdDsa).unwrap());
    let before = signed(&tickets);
    tickets.replace(parse(&format!("{new}{old}"), TicketAlgorithm::EdDsa).unwrap());
    let after = signed(&tickets);
    assert_ne!(part(&before, 0)["kid"], part(&after, 0)["kid"]);
    assert_eq!((word(&tickets, &before), word(&tickets, &after)), ("taken", "taken"));
    tickets.replace(parse(&format!("{ec}{new}"), TicketAlgorithm::Es256).unwrap());
    assert_eq!(part(&signed(&tickets), 0)["alg"], "ES256");
    assert_eq!((word(&tickets, &before), word(&tickets, &after)), ("unknown_key", "taken"));
    let set: Value = serde_json::from_slice(&tickets.jwks()).unwrap();
    let listed: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(listed, tickets.keys().names().collect::<Vec<_>>());
    for key in set["keys"].as_array().unwrap() {
        assert!(key.get("d").is_none(), "public halves only: {key}");
        assert_eq!(key["use"], "sig");
    }

    let refusal = |text: &str, algorithm| parse(text, algorithm).unwrap_err().to_string();
    assert!(refusal(&ec, TicketAlgorithm::EdDsa).contains("is for ES256; ticket.algorithm says EdDSA"));
    assert!(refusal(&format!("{old}{old}"), TicketAlgorithm::EdDsa).contains("section 2: repeats"));
    assert!(refusal("", TicketAlgorithm::EdDsa).contains("openssl genpkey"));
    assert!(refusal("nonsense", TicketAlgorithm::Es256).contains("P-256"));
    let sec1 = ec.replace("PRIVATE KEY", "EC PRIVATE KEY");
    assert!(refusal(&sec1, TicketAlgorithm::Es256).contains("pkcs8 -topk8"));
    let broken = old.replacen('\n', "\nAAAA", 1);
    let message = refusal(&broken, TicketAlgorithm::EdDsa);
    assert!(message.contains("ticket.pem: section 1"), "{message}");
    assert!(!message.contains(old.lines().nth(1).unwrap()), "no key in a message");
    assert!(!format!("{:?}", tickets.keys()).contains(old.lines().nth(1).unwrap()));
}

/// RFC 8037, appendix A: the key's name (A.3) and its signature (A.4).
#[test]
fn the_rfcs_own_key_has_the_rfcs_name_and_signature() {
    const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(URL_SAFE_NO_PAD.decode(SEED).unwrap());
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n");
    let keys = TicketKeys::parse(Path::new("rfc"), pem.as_bytes(), TicketAlgorithm::EdDsa).unwrap();
    assert_eq!(keys.names().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    let set: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    assert_eq!(set["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = keys.signing().sign(message, &SystemRandom::new()).unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn the_longest_ticket_fits_a_cookie_and_a_return_that_is_too_long_is_left_out() {
    let tickets = tickets(TicketAlgorithm::EdDsa);
    let long = "x".repeat(64);
    let seat = SeatEntry {
        pool: long.parse().unwrap(),
        key: Key::parse(&"\"".repeat(128)).unwrap(),
        server: long.parse().unwrap(),
        generation: Generation::parse(u64::from(u32::MAX)).unwrap(),
        ..seat()
    };
    let front = "h".repeat(RETURN_BYTES_MAX);
    let ticket = tickets.sign(&seat, [9; 16], Some(&front), NOW).unwrap();
    assert!(ticket.len() < 3 << 10, "{}", ticket.len());
    assert_eq!(tickets.verify(ticket.as_bytes(), None, NOW).unwrap().front, Some(front.clone()));
    let ticket = tickets.sign(&seat, [9; 16], Some(&format!("{front}h")), NOW).unwrap();
    assert_eq!(tickets.verify(ticket.as_bytes(), None, NOW).unwrap().front, None);
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back(key in "[^\\p{Cc}]{1,32}", generation in 1..u32::MAX, front in "[!-~]{0,512}", jti: [u8; 16]) {
        let tickets = tickets(TicketAlgorithm::EdDsa);
        let seat = SeatEntry {
            key: Key::parse(&key).unwrap(),
            generation: Generation::parse(u64::from(generation)).unwrap(),
            ..seat()
        };
        let ticket = tickets.sign(&seat, jti, Some(&front), NOW).unwrap();
        let claims = tickets.verify(ticket.as_bytes(), Some(&seat.server), NOW).unwrap();
        prop_assert_eq!(claims.sub, seat.key);
        prop_assert_eq!(claims.generation, seat.generation);
        prop_assert_eq!(claims.session, seat.session);
        prop_assert_eq!(claims.front, Some(front));
        prop_assert_eq!(claims.jti, URL_SAFE_NO_PAD.encode(jti));
    }

    #[test]
    fn any_change_of_a_character_is_noticed(at in 0_usize..400, character in "[A-Za-z0-9_.=-]") {
        let tickets = tickets(TicketAlgorithm::EdDsa);
        let ticket = signed(&tickets);
        let at = at % ticket.len();
        let changed = format!("{}{character}{}", &ticket[..at], &ticket[at + 1..]);
        prop_assume!(changed != ticket);
        prop_assert_ne!(word(&tickets, &changed), "taken");
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512), header in any::<bool>()) {
        let tickets = tickets(TicketAlgorithm::EdDsa);
        let ticket = match header {
            true => bytes,
            false => sign_raw(&tickets, &good_header(&tickets), &String::from_utf8_lossy(&bytes)).into_bytes(),
        };
        prop_assert_ne!(word(&tickets, ticket), "taken");
    }
}
