//! Pages for people: what went wrong, in plain words, without anything from outside.
//!
//! One template, one inline style sheet that the Content-Security-Policy names by its hash, no script: the outage page retries by
//! `<meta http-equiv="refresh">`, which works in every browser and frame. Holds nothing that the client sent.

use std::sync::LazyLock;

use actix_http::header::HeaderValue;
use askama::Template;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest;

use crate::http::problem::Problem;

/// Media type of a page.
pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("pages/style.css");

/// `'sha256-...'` of the style sheet: the policy allows this one and no other.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
    format!("'sha256-{}'", BASE64_STANDARD.encode(hash))
});

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    style: &'static str,
    heading: &'a str,
    advice: &'a str,
    reason: &'a str,
    status: u16,
    code: u16,
    request_id: &'a str,
    retry_seconds: Option<u32>,
}

/// Writes the page of a problem; with `retry_seconds` it retries by itself.
///
/// # Errors
/// When the template cannot be written.
pub fn of(problem: &Problem, request_id: &str, retry_seconds: Option<u32>) -> Result<String, askama::Error> {
    let (heading, advice) = in_plain_words(problem);
    let page = ProblemPage {
        style: STYLE,
        heading,
        advice,
        reason: &problem.detail(),
        status: problem.status(),
        code: problem.code(),
        request_id,
        retry_seconds,
    };
    page.render()
}

/// What a person who does not know the system should read first.
fn in_plain_words(problem: &Problem) -> (&'static str, &'static str) {
    match problem.status() {
        503 => (
            "The application is not available right now",
            "You do not have to do anything: this page tries again by itself and takes you there as soon as it is back.",
        ),
        429 => (
            "Many people are coming back at once",
            "You do not have to do anything: this page tries again by itself, and it will be your turn shortly.",
        ),
        404 | 421 => {
            ("There is nothing at this address", "Please check the address, or start again from your usual bookmark.")
        }
        401 | 403 => ("This is not open to you", "Please start again from your usual bookmark."),
        500..=599 => ("Something went wrong here", "Please try again in a moment."),
        _ => ("This address could not be understood", "Please start again from your usual bookmark."),
    }
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage {
    style: &'static str,
}

/// Writes the page with the button that ends a session.
///
/// # Errors
/// When the template cannot be written.
pub fn logout() -> Result<String, askama::Error> {
    LogoutPage { style: STYLE }.render()
}

/// The other server that a person may ask for.
pub struct Another<'a> {
    /// Where the form is sent.
    pub action: &'a str,
    /// The pool.
    pub pool: &'a str,
    /// The server to leave.
    pub server: &'a str,
    /// Path and query that were asked for. The one thing from outside on any page; escaped, and no address of anything here.
    pub to: &'a str,
}

#[derive(Template)]
#[template(path = "bounce.html")]
struct BouncePage<'a> {
    style: &'static str,
    request_id: &'a str,
    another: Option<Another<'a>>,
}

/// Writes the page for a browser that keeps coming back.
///
/// # Errors
/// When the template cannot be written.
pub fn bounce(request_id: &str, another: Option<Another<'_>>) -> Result<String, askama::Error> {
    BouncePage { style: STYLE, request_id, another }.render()
}

/// The Content-Security-Policy of pages with a button. Without `form-action`: browsers hold it against every redirect that follows, and
/// those lead to the servers.
#[must_use]
pub fn policy_of_forms(embed: &[String]) -> HeaderValue {
    let policy = content_security_policy(embed);
    let text = policy.to_str().unwrap_or_default().replace("form-action 'none'; ", "");
    HeaderValue::from_str(&text).unwrap_or(policy)
}

/// The Content-Security-Policy of own pages: nothing from anywhere, and framed by `embed` origins only.
#[must_use]
pub fn content_security_policy(embed: &[String]) -> HeaderValue {
    let ancestors = if embed.is_empty() { "'none'".to_owned() } else { embed.join(" ") };
    let style = STYLE_HASH.as_str();
    let policy = format!(
        "default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    );
    // Origins are plain ASCII, so the policy always is a header value; were it not, nothing at all would be allowed.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use maitred_core::seating::Shortage;

    #[test]
    fn the_outage_page_says_why_and_retries_by_itself() {
        let problem = Problem::NoServer(Shortage { servers: 2, down: 2, ..Shortage::default() });
        let page = of(&problem, "r1", Some(7)).unwrap();
        assert!(page.contains("not available right now"));
        assert!(page.contains("of 2 servers 2 are down"));
        assert!(page.contains(r#"<meta http-equiv="refresh" content="7">"#));
        assert!(page.contains("r1"));
    }

    #[test]
    fn an_error_page_does_not_retry() {
        assert!(!of(&Problem::NotFound, "r1", None).unwrap().contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_has_no_script() {
        let page = of(&Problem::NotFound, "r1", Some(3)).unwrap();
        for foreign in ["<script", "src=", "href=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_policy_allows_exactly_the_style_that_the_page_has() {
        let page = of(&Problem::NotFound, "r1", None).unwrap();
        let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        assert_eq!(style, STYLE, "not a byte may differ, or the hash does not fit");
        let policy = |embed: &[String]| content_security_policy(embed).to_str().unwrap().to_owned();
        assert!(policy(&[]).contains(STYLE_HASH.as_str()));
        assert!(policy(&[]).ends_with("frame-ancestors 'none'"));
        assert!(policy(&["https://crm.example".to_owned()]).ends_with("frame-ancestors https://crm.example"));
    }

    #[test]
    fn a_page_with_a_button_allows_forms_and_nothing_else() {
        let text = policy_of_forms(&[]).to_str().unwrap().to_owned();
        assert!(!text.contains("form-action") && text.starts_with("default-src 'none'; style-src"), "{text}");
        assert!(text.ends_with("frame-ancestors 'none'"));
        let another =
            Another { action: "/maitred/another", pool: "ua", server: "ua1", to: "/\"><script>alert(1)</script>" };
        for page in [logout().unwrap(), bounce("r1", Some(another)).unwrap(), bounce("r1", None).unwrap()] {
            let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
            assert_eq!(style, STYLE);
            assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
        }
    }

    #[test]
    fn what_reaches_the_page_is_escaped() {
        let page = of(&Problem::malformed("<script>", "& is bad"), "r1", None).unwrap();
        assert!(!page.contains("<script>"));
    }
}
