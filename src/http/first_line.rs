//! What is put right in the first line of a request of HTTP/1 before its parser sees it. Two things only, each because the
//! parser would hide from us what has to be known.

/// Balancers that are told "HTTP/1.1" and no more send their health check without a Host (HAProxy's `option httpchk` does), and
/// actix refuses that before anybody can look at it. Such a check, whole and first on its connection, is read as HTTP/1.0,
/// which needs no Host and closes; nothing else is touched.
pub(super) fn admit_check_without_host(bytes: &mut [u8]) {
    let check =
        [&b"GET /health/"[..], b"HEAD /health/", b"OPTIONS /health/"].iter().any(|start| bytes.starts_with(start));
    if !check || !bytes.ends_with(b"\r\n\r\n") {
        return;
    }
    let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return };
    let is_host = |line: &[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
    let mut lines = bytes[line..].split(|byte| *byte == b'\n');
    if bytes[..line].ends_with(b" HTTP/1.1") && !lines.any(is_host) {
        bytes[line - 1] = b'0';
    }
}

/// A request-target has no fragment (RFC 9112, section 3.2), and the parser drops one without a word, so that what is routed is
/// not what stood there (CVE-2023-45539). The `#` is made a byte that the parser refuses.
///
/// `bytes` are the first ones after an answer. What does not begin like a request is left alone: it may be the rest of one that
/// came before the answer.
pub(super) fn refuse_fragment(bytes: &mut [u8]) {
    /// DEL: no part of any URI.
    const REFUSED: u8 = 0x7f;
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    if method == 0 || bytes.get(method) != Some(&b' ') {
        return;
    }
    for byte in bytes.iter_mut().take_while(|byte| **byte != b'\n') {
        if *byte == b'#' {
            *byte = REFUSED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(put_right: fn(&mut [u8]), bytes: &str) -> String {
        let mut bytes = bytes.as_bytes().to_vec();
        put_right(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_a_whole_check_without_host_is_read_as_the_older_version() {
        let read_as = |head| read_as(admit_check_without_host, head);
        assert_eq!(read_as("GET /health/live HTTP/1.1\r\n\r\n"), "GET /health/live HTTP/1.0\r\n\r\n");
        assert_eq!(read_as("OPTIONS /health/x HTTP/1.1\r\nA: b\r\n\r\n"), "OPTIONS /health/x HTTP/1.0\r\nA: b\r\n\r\n");
        for untouched in [
            "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /health/live HTTP/1.1\r\nA: b\r\nhOST: a\r\n\r\n",
            "GET /health/live HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /health/live HTTP/1.0\r\n\r\n",
            "POST /health/live HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(read_as(untouched), untouched);
        }
    }

    #[test]
    fn only_a_fragment_in_a_first_line_is_refused() {
        let read_as = |head| read_as(refuse_fragment, head);
        assert_eq!(
            read_as("GET /a#b HTTP/1.1\r\nReferer: x#y\r\n\r\n"),
            "GET /a\u{7f}b HTTP/1.1\r\nReferer: x#y\r\n\r\n"
        );
        for untouched in ["{\"a\": \"#\"}", "eferer: x#y\r\n", "", "GET", "GET /a HTTP/1.1\r\n\r\n#", " /#"] {
            assert_eq!(read_as(untouched), untouched);
        }
    }
}
