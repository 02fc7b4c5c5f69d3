//! An answer as a test reads it from the wire, taken apart.

use serde_json::Value;

/// Head and body of one answer.
#[derive(Debug)]
pub(in crate::http) struct Answer {
    pub(in crate::http) status: u16,
    pub(in crate::http) headers: Vec<(String, String)>,
    pub(in crate::http) body: String,
}

impl Answer {
    pub(in crate::http) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
        let pair =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self { status, headers: lines.filter_map(pair).collect(), body: body.to_owned() }
    }

    pub(in crate::http) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(in crate::http) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location: {self:?}"))
    }

    /// The server that a redirect leads to.
    pub(in crate::http) fn server(&self) -> &str {
        let host = self.location().strip_prefix("https://").unwrap();
        host.split(['.', '/']).next().unwrap()
    }

    /// `name=value` of the affinity cookie.
    pub(in crate::http) fn cookie(&self) -> &str {
        self.header("set-cookie")
            .and_then(|line| line.split(';').next())
            .unwrap_or_else(|| panic!("no cookie: {self:?}"))
    }

    /// `name=value` of one of several cookies.
    pub(in crate::http) fn cookie_named(&self, name: &str) -> String {
        let lines = self.headers.iter().filter(|(header, _)| header == "set-cookie").map(|(_, line)| line.as_str());
        let pair = lines.filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(&format!("{name}=")));
        pair.unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    pub(in crate::http) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a problem.
    pub(in crate::http) fn code(&self) -> u64 {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_u64().unwrap()
    }

    /// Status and code of a problem.
    pub(in crate::http) fn problem(&self) -> (u16, u64) {
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        (self.status, body["code"].as_u64().unwrap())
    }

    /// The JSON of a success.
    pub(in crate::http) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}
