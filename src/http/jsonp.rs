//! A JSON value as a script: `/**/callback({...});`.

use serde::Serialize;

use crate::http::callback::Callback;

/// Media type of a script.
pub const MEDIA_TYPE: &str = "text/javascript; charset=utf-8";

/// Writes the script.
///
/// `<`, `>` and `&` are escaped so that the answer is harmless where it is taken for a page; U+2028 and U+2029 because old
/// script engines end a line there. The comment in front keeps the first bytes out of the client's hands.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn script(callback: &Callback, value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut script = String::with_capacity(json.len() + callback.as_str().len() + 8);
    script.push_str("/**/");
    script.push_str(callback.as_str());
    script.push('(');
    for character in json.chars() {
        match character {
            '<' => script.push_str("\\u003c"),
            '>' => script.push_str("\\u003e"),
            '&' => script.push_str("\\u0026"),
            '\u{2028}' => script.push_str("\\u2028"),
            '\u{2029}' => script.push_str("\\u2029"),
            other => script.push(other),
        }
    }
    script.push_str(");");
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_cannot_leave_its_script() {
        let callback = Callback::parse("cb").unwrap();
        let value = json!({"key": "</script><!-- & \u{2028}\u{2029}\""});
        let script = script(&callback, &value).unwrap();
        assert_eq!(script, r#"/**/cb({"key":"\u003c/script\u003e\u003c!-- \u0026 \u2028\u2029\""});"#);
        let inside = script.trim_start_matches("/**/cb(").trim_end_matches(");");
        assert_eq!(serde_json::from_str::<serde_json::Value>(inside).unwrap(), value, "and is still the same value");
    }
}
