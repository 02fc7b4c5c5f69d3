//! Certificates: good, and wrong in each way.

use std::sync::Arc;

use maitred_core::health::{Failure, FailureKind, Look};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stub::{GENEROUS, SHORT, Stub, check, failure, head, is_good, repeat, target, target_with, trust};
use crate::config::ProbeKind;
use crate::probe::Prober;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const NAME: &str = "ua1.example.com";

/// An authority and the client that trusts it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    client: Arc<ClientConfig>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities of one name would be one authority with a bad signature.
        params.distinguished_name.push(DnType::CommonName, format!("authority {:?}", key.public_key_raw()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self { issuer: Issuer::new(params, key), client: trust(roots) }
    }

    fn certify(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertifiedKey {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        certified(params.signed_by(&key, &self.issuer).unwrap().der().clone(), &key)
    }
}

fn certified(certificate: CertificateDer<'static>, key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(vec![certificate], key)
}

/// Shows the current certificate, and notes the name it was asked for.
#[derive(Debug)]
struct Door {
    key: Mutex<Arc<CertifiedKey>>,
    asked: Mutex<Option<String>>,
}

impl Door {
    fn new(key: CertifiedKey) -> Arc<Self> {
        Arc::new(Self { key: Mutex::new(Arc::new(key)), asked: Mutex::new(None) })
    }

    async fn open(self: &Arc<Self>) -> Stub {
        Stub::tls(self.config(), |_, wire| repeat(wire, Arc::new(OK.to_vec()))).await
    }

    fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Arc::new(config)
    }
}

impl ResolvesServerCert for Door {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        *self.asked.lock() = hello.server_name().map(str::to_owned);
        Some(self.key.lock().clone())
    }
}

fn prober(stub: &Stub, client: &Arc<ClientConfig>) -> Prober {
    let checks = [check(None, ProbeKind::Https, "/health", "2xx")];
    let dial = format!("https://127.0.0.1:{}", stub.port);
    Prober::new(target_with(&format!("https://{NAME}"), Some(&dial), &checks, GENEROUS, client))
}

async fn look(key: CertifiedKey, client: &Arc<ClientConfig>) -> Look {
    let stub = Door::new(key).open().await;
    prober(&stub, client).look().await
}

fn tls_word(failure: Failure) -> String {
    assert_eq!(failure.kind, FailureKind::Tls, "{failure:?}");
    failure.detail
}

#[tokio::test]
async fn the_name_is_that_of_the_url_whatever_is_dialled_and_one_connection_is_kept() {
    let authority = Authority::new();
    let door = Door::new(authority.certify(NAME, |_| {}));
    let stub = door.open().await;
    let mut prober = prober(&stub, &authority.client);
    for _ in 0..3 {
        assert!(is_good(&prober.look().await));
    }
    assert_eq!(stub.accepted(), 1);
    assert_eq!(door.asked.lock().as_deref(), Some(NAME));
}

#[tokio::test]
async fn each_wrong_certificate_has_its_word() {
    let authority = Authority::new();
    let expired = authority.certify(NAME, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = authority.certify(NAME, |params| {
        params.not_before = date_time_ymd(2999, 1, 1);
        params.not_after = date_time_ymd(3000, 1, 1);
    });
    let other = authority.certify("ua2.example.com", |_| {});
    let stranger = Authority::new().certify(NAME, |_| {});
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    for (certificate, word) in [
        (expired, "expired: "),
        (early, "not_yet_valid: "),
        (other, "wrong_name: "),
        (stranger, "unknown_issuer: "),
        (certified(own.der().clone(), &key), "unknown_issuer: "),
    ] {
        let detail = tls_word(failure(look(certificate, &authority.client).await));
        assert!(detail.starts_with(word), "{word}: {detail}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_seen_when_the_connection_is_renewed() {
    let authority = Authority::new();
    let door = Door::new(authority.certify(NAME, |_| {}));
    let stub = door.open().await;
    let mut prober = prober(&stub, &authority.client);
    assert!(is_good(&prober.look().await));
    *door.key.lock() = Arc::new(authority.certify("ua2.example.com", |_| {}));
    assert!(is_good(&prober.look().await));
    prober.lines[0].keep_max = std::time::Duration::ZERO;
    // Not hidden by a resumed session.
    assert_eq!(failure(prober.look().await).kind, FailureKind::Tls);
}

#[tokio::test]
async fn a_plain_server_is_no_tls_server() {
    let stub = Stub::raw(async |_, mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let detail = tls_word(failure(prober(&stub, &super::stub::distrust()).look().await));
    assert!(detail.starts_with("not_tls: "), "{detail}");
}

#[tokio::test]
async fn a_handshake_that_stalls_runs_out_of_time() {
    let stub = Stub::silent().await;
    let fault = failure(Prober::new(target(&stub, "https", SHORT)).look().await);
    assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Timeout, "time is up in the TLS handshake"));
}

#[tokio::test]
async fn a_close_and_a_reset_in_the_handshake_are_told_as_such() {
    for (reset, kind) in [(false, FailureKind::Closed), (true, FailureKind::Reset)] {
        let stub = Stub::raw(move |_, mut stream| async move {
            let _ = stream.read(&mut [0; 65536]).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let fault = failure(Prober::new(target(&stub, "https", GENEROUS)).look().await);
        assert_eq!(fault.kind, kind, "{fault:?}");
    }
}

#[tokio::test]
async fn an_old_server_may_end_its_body_by_dropping_the_connection_but_not_break_a_promised_length() {
    let authority = Authority::new();
    let door = Door::new(authority.certify(NAME, |_| {}));
    for (answer, kind) in [
        ("HTTP/1.0 200 OK\r\n\r\nfine", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfine", Some(FailureKind::Closed)),
    ] {
        let stub = Stub::tls(door.config(), move |_, mut wire| async move {
            head(&mut wire).await;
            // Dropped without the closing word of TLS.
            wire.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let look = prober(&stub, &authority.client).look().await;
        match kind {
            None => assert!(is_good(&look)),
            Some(kind) => assert_eq!(failure(look).kind, kind),
        }
    }
}
