//! Clients of HTTP/2 who make the server work without asking for anything, as raw frames over TLS: each is sent away, what it cost
//! is bounded, and others do not notice.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::fixture::config;
use super::tls::{Secure, ask, request};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// More than any flood here needs before it is stopped; a bound for the test.
const FRAMES_MAX: usize = 1_000_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// `GET https://agents.example.com/x?agent=1`, without compression (RFC 7541).
fn head(method: &[u8]) -> Vec<u8> {
    let mut block = vec![0x87, 0x02, method.len() as u8];
    block.extend_from_slice(method);
    for (name, value) in [(0x01, &b"agents.example.com"[..]), (0x04, b"/x?agent=1")] {
        block.extend([name, value.len() as u8]);
        block.extend_from_slice(value);
    }
    block
}

/// A client that says what it likes.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn connect(secure: &Secure, settings: &[u8]) -> Self {
        let mut io = secure.connect().await;
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        io.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        Self(io)
    }

    /// Sends this again and again, with the number of the time, until the server closes. Answers what it said last: the reason of
    /// its GOAWAY.
    async fn flood(self, times: usize, mut frames: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
        let (mut read, mut write) = tokio::io::split(self.0);
        let heard = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // A reset ends it as well.
            let _ = read.read_to_end(&mut bytes).await;
            bytes
        });
        for number in 0..u32::try_from(times).unwrap() {
            if write.write_all(&frames(number)).await.is_err() || heard.is_finished() {
                break;
            }
        }
        let bytes = tokio::time::timeout(Duration::from_secs(60), heard).await.expect("the server closes").unwrap();
        goaway(&bytes)
    }
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = rest.get(..length)?;
        if *kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &rest[length..];
    }
    None
}

fn streams() -> impl FnMut(u32) -> u32 {
    |number| 2 * number + 1
}

async fn others_are_served(secure: &Secure) {
    let client = secure.connect_h2().await;
    let (answer, _) = ask(&client, request(Method::GET, "https://agents.example.com/x?agent=2"), "").await;
    assert_eq!((answer.status(), answer.version()), (302.try_into().unwrap(), Version::HTTP_2));
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_the_connection() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let with_stream = |bytes: Vec<u8>| {
        move |number: u32| {
            let opened = if number == 0 { frame(HEADERS, END_HEADERS, 1, &head(b"POST")) } else { Vec::new() };
            [opened, bytes.clone()].concat()
        }
    };
    let floods: [(&str, Vec<u8>); 6] = [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("data of one byte", frame(DATA, 0, 1, b"x")),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xee, 0, 0, b"x")),
    ];
    for (what, bytes) in floods {
        let said = Raw::connect(&secure, &[]).await.flood(FRAMES_MAX, with_stream(bytes)).await;
        assert_eq!(said, Some(ENHANCE_YOUR_CALM), "{what}");
    }
    let priorities = |number| frame(PRIORITY, 0, 2 * number + 1, &[0, 0, 0, 0, 16]);
    assert_eq!(Raw::connect(&secure, &[]).await.flood(FRAMES_MAX, priorities).await, Some(ENHANCE_YOUR_CALM));
    others_are_served(&secure).await;
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let mut stream = streams();
    let ask_and_reset = |number| {
        let stream = stream(number);
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(b"GET"));
        [asked, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let said = Raw::connect(&secure, &[]).await.flood(FRAMES_MAX, ask_and_reset).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    others_are_served(&secure).await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let secure = Secure::start(&config(), &[b"h2"]);
    for piece in [&[][..], b"x", &[0; 16_000]] {
        // An indexed field that is there, over and over: small on the wire, large when it is read.
        let piece: Vec<u8> = piece.iter().map(|_| 0x82).collect();
        let endless = |number| match number {
            0 => frame(HEADERS, 0, 1, &head(b"GET")),
            _ => frame(CONTINUATION, 0, 1, &piece),
        };
        let said = Raw::connect(&secure, &[]).await.flood(FRAMES_MAX, endless).await;
        assert!(said.is_some_and(|reason| reason != 0), "{} bytes a piece: {said:?}", piece.len());
    }
    others_are_served(&secure).await;
}

#[tokio::test]
async fn a_head_that_unfolds_is_refused() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let mut bomb = head(b"GET");
    // A value of 4,000 bytes under the name "a", kept in the table; then 10,000 times "the same again".
    bomb.extend([0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'v'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let answer = Raw::connect(&secure, &[])
        .await
        .flood(100, |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &bomb));
    // Each of them is refused; that they come in numbers is what the next one asks about.
    assert!(answer.await.is_some());
    others_are_served(&secure).await;
}

#[tokio::test]
async fn streams_are_limited_and_the_limit_is_announced() {
    let mut quick = config();
    quick.limits.idle = Duration::from_secs(1);
    let secure = Secure::start(&quick, &[b"h2"]);
    let (client, connection) = h2::client::handshake(secure.connect().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let (answer, _) = ask(&client, request(Method::GET, "https://agents.example.com/x?agent=1"), "").await;
    assert_eq!(answer.status(), 302);
    let mut open = Vec::new();
    let mut client = client.ready().await.unwrap();
    while client.current_max_send_streams() > open.len() && open.len() < 1000 {
        open.push(client.send_request(request(Method::POST, "https://agents.example.com/x"), false).unwrap());
        client = client.ready().await.unwrap();
    }
    assert_eq!(open.len(), 128);
    drop((open, client));
    let _ = connection.await;

    // Who does not keep to it hears so, and goes when it goes on.
    let mut stream = streams();
    let flood = Raw::connect(&secure, &[]).await;
    let said = flood.flood(FRAMES_MAX, |number| frame(HEADERS, END_HEADERS, stream(number), &head(b"POST"))).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    others_are_served(&secure).await;
}

#[tokio::test]
async fn who_asks_and_lets_nothing_be_sent_is_cut() {
    let mut quick = config();
    quick.limits.idle = Duration::from_secs(1);
    let secure = Secure::start(&quick, &[b"h2"]);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: no answer with a body can leave.
    let closed_window = Raw::connect(&secure, &[0, 4, 0, 0, 0, 0]).await;
    let mut unknown = head(b"GET");
    unknown.truncate(unknown.len() - b"/x?agent=1".len() - 2);
    unknown.extend([0x04, 8]);
    unknown.extend_from_slice(b"/maitred");
    let mut stream = streams();
    let ask_on = |number| frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &unknown);
    assert!(closed_window.flood(FRAMES_MAX, ask_on).await.is_some_and(|reason| reason != 0));
    // And one who asks up to the limit and then only waits.
    let waiting = Raw::connect(&secure, &[0, 4, 0, 0, 0, 0]).await;
    let mut stream = streams();
    let ask_some = |number| frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &unknown);
    assert!(waiting.flood(100, ask_some).await.is_some());
    others_are_served(&secure).await;
}

#[tokio::test]
async fn an_honest_client_may_ask_for_long() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let client = secure.connect_h2().await;
    for number in 0..1500 {
        let post = request(Method::POST, &format!("https://agents.example.com/x?agent={number}"));
        let (answer, _) = ask(&client, post, "x=1").await;
        assert_eq!(answer.status(), 307);
    }
    // A visitor who goes elsewhere before the answer is there.
    for _ in 0..50 {
        let mut client = client.clone().ready().await.unwrap();
        let get = request(Method::POST, "https://agents.example.com/maitred/v1/sessions");
        let (answer, mut stream) = client.send_request(get, false).unwrap();
        stream.send_data(Bytes::from_static(b"{"), false).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        let (answer, _) = ask(&client, request(Method::GET, "https://agents.example.com/x?agent=1"), "").await;
        assert_eq!(answer.status(), 302);
    }
}
