//! The name of a JSONP callback: the one text of a client that is written into a script.

use crate::http::problem::Problem;
use crate::http::query::{Parameter, parameter};

/// Longest callback, in characters. Long alphanumeric names are how Flash files were smuggled ("Rosetta"); the leading `/**/` of
/// the answer is the other half of that defence.
const LENGTH_MAX: usize = 64;
/// Most dots between names.
const DOTS_MAX: usize = 3;

/// Words that cannot name a function (ECMAScript, strict mode and literals included).
const RESERVED: [&str; 52] = [
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "NaN",
    "Infinity",
    "async",
];

/// A callback that may be written into a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

impl Callback {
    /// Parses `^[A-Za-z_$][A-Za-z0-9_$]*(\.[A-Za-z_$][A-Za-z0-9_$]*){0,3}$`, at most 64 characters, no reserved word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let short = text.len() <= LENGTH_MAX && text.bytes().filter(|b| *b == b'.').count() <= DOTS_MAX;
        (short && text.split('.').all(is_name)).then(|| Self(text.to_owned()))
    }

    /// Reads the parameter `callback`.
    ///
    /// # Errors
    /// When it is missing, given twice or no callback.
    pub fn from_query(query: Option<&str>) -> Result<Self, Problem> {
        let fault = |fault: &'static str| Problem::malformed("callback", fault);
        match parameter(query, "callback") {
            Parameter::Absent => Err(fault("is missing")),
            Parameter::Repeated => Err(fault("is given twice")),
            Parameter::NotText => Err(fault("is not UTF-8")),
            Parameter::One(text) => Self::parse(&text).ok_or_else(|| fault("is not the name of a function")),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name(text: &str) -> bool {
    let head = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b'$');
    let mut bytes = text.bytes();
    bytes.next().is_some_and(head) && bytes.all(|b| head(b) || b.is_ascii_digit()) && !RESERVED.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_taken() {
        for good in ["cb", "_cb$1", "a.b.c.d", "jQuery1102_1699", "App.onSeat", &"c".repeat(64)] {
            assert_eq!(Callback::parse(good).map(|callback| callback.0).as_deref(), Some(good));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "alert(1)//",
            "a;b",
            "a[0]",
            "<script>",
            "\0",
            "a\n",
            "\\u0061",
            "a..b",
            ".a",
            "a.",
            "a.b.c.d.e",
            "1a",
            "a b",
            "+ADw-",
            "a-b",
            "\u{e9}",
            "return",
            "this",
            "a.delete",
            "eval",
            "cb\u{2028}",
            &"c".repeat(65),
            "CWSMIKI0hCD0Up0IZUnnnnnnnnnnnnnnnnnnnUU5nnnnnn3Snn7iiudIbEAt333swW0ssG03",
        ] {
            assert_eq!(Callback::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn it_is_read_once_from_the_query() {
        assert!(Callback::from_query(Some("pool=ua&callback=cb")).is_ok());
        for bad in [
            "",
            "callback=",
            "callback=a&callback=b",
            "callback=a%0a",
            "callback=%00",
            "callback=%c0%af",
            "callback=a%5B0%5D",
        ] {
            let problem = Callback::from_query(Some(bad)).unwrap_err();
            assert_eq!((problem.status(), problem.code()), (400, 1000), "{bad}");
        }
    }

    use proptest::prelude::*;
    proptest! {
        #[test]
        fn nothing_that_could_leave_the_name_is_ever_accepted(text in ".{0,80}") {
            if let Some(callback) = Callback::parse(&text) {
                prop_assert!(callback.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.')));
            }
        }
    }
}
