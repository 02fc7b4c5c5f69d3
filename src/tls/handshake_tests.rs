//! Whole handshakes in memory: who gets in, who is shown, what a failure is called, and what a reload changes.

use std::fs;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConnection};

use super::super::{TlsFailure, TlsFault, client_config, client_names, dns_names};
use super::*;
use crate::certificates::{DevAuthority, Usage};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct House {
    folder: tempfile::TempDir,
    authority: DevAuthority,
}

impl House {
    fn new() -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap(), authority: DevAuthority::create().unwrap() };
        fs::write(house.path("ca.pem"), house.authority.pem()).unwrap();
        house.issue("server", &["a.test"], Usage::Both);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, stem: &str, names: &[&str], usage: Usage) {
        self.authority.issue(names, usage).unwrap().write(self.folder.path(), stem).unwrap();
    }

    fn identity(&self, stem: &str) -> Identity {
        Identity::load(&self.path(&format!("{stem}.pem")), &self.path(&format!("{stem}.key"))).unwrap()
    }

    fn server(
        &self,
        make: impl FnOnce(&Path, &Path, &Path) -> Result<ReloadableServer, TlsFileError>,
    ) -> ReloadableServer {
        make(&self.path("server.pem"), &self.path("server.key"), &self.path("ca.pem")).unwrap()
    }

    fn public(&self) -> ReloadableServer {
        self.server(|cert, key, _| ReloadableServer::public(cert, key))
    }

    fn internal(&self) -> ReloadableServer {
        self.server(|cert, key, ca| ReloadableServer::internal(cert, key, Some(ca)))
    }

    fn peer(&self) -> ReloadableServer {
        self.server(ReloadableServer::peer)
    }

    fn client(&self, identity: Option<&str>) -> ClientConfig {
        let identity = identity.map(|stem| self.identity(stem));
        client_config(load_roots(&self.path("ca.pem")).unwrap(), identity.as_ref(), &[b"http/1.1"]).unwrap()
    }
}

/// Both ends after the handshake, or what the one that noticed first said: (client's word, server's word).
type Ends = Result<(ClientConnection, ServerConnection), Box<(Option<Error>, Option<Error>)>>;

fn shake(server: &ReloadableServer, client: &ClientConfig) -> Ends {
    shake_for(server, client, "a.test")
}

fn shake_for(server: &ReloadableServer, client: &ClientConfig, name: &str) -> Ends {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server.config())).unwrap();
    let (mut client_error, mut server_error) = (None, None);
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && server_error.is_none() {
            server.read_tls(&mut rest).unwrap();
            server_error = server.process_new_packets().err();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && client_error.is_none() {
            client.read_tls(&mut rest).unwrap();
            client_error = client.process_new_packets().err();
        }
    }
    if client_error.is_some() || server_error.is_some() {
        Err(Box::new((client_error, server_error)))
    } else {
        Ok((client, server))
    }
}

fn shown_name(ends: &Ends) -> String {
    let (client, _) = ends.as_ref().unwrap();
    dns_names(&client.peer_certificates().unwrap()[0]).remove(0)
}

fn client_fault(ends: Ends) -> TlsFault {
    TlsFailure::of(&ends.err().unwrap().0.unwrap()).fault
}

#[test]
fn each_listener_asks_its_own_clients_for_a_certificate() {
    let house = House::new();
    house.issue("operator", &["Operator.test"], Usage::Client);
    let (without, with) = (house.client(None), house.client(Some("operator")));

    let (_, server) = shake(&house.public(), &with).unwrap();
    assert_eq!(client_names(&server), None, "the public listener does not ask");

    let (_, server) = shake(&house.internal(), &with).unwrap();
    assert_eq!(client_names(&server).unwrap(), ["operator.test"]);
    let (_, server) = shake(&house.internal(), &without).unwrap();
    assert_eq!(client_names(&server), None, "a bearer token may follow");

    assert!(shake(&house.peer(), &with).is_ok());
    assert_eq!(client_fault(shake(&house.peer(), &without)), TlsFault::ClientCertificate);
    let tokens_only = house.server(|cert, key, _| ReloadableServer::internal(cert, key, None));
    assert_eq!(client_names(&shake(&tokens_only, &with).unwrap().1), None);
}

#[test]
fn certificates_of_strangers_expired_ones_and_server_only_ones_stay_outside() {
    let (house, stranger) = (House::new(), House::new());
    stranger.issue("client", &["x.test"], Usage::Client);
    house.issue("server-only", &["x.test"], Usage::Server);
    let now = SystemTime::now();
    let expired = house.authority.issue_valid(&["x.test"], Usage::Client, now - DAY * 3, now - DAY * 2).unwrap();
    expired.write(house.folder.path(), "expired").unwrap();

    let roots = || load_roots(&house.path("ca.pem")).unwrap();
    for identity in [stranger.identity("client"), house.identity("server-only"), house.identity("expired")] {
        let client = client_config(roots(), Some(&identity), &[b"http/1.1"]).unwrap();
        for server in [house.internal(), house.peer()] {
            let (_, server_said) = *shake(&server, &client).err().unwrap();
            assert!(matches!(server_said, Some(Error::InvalidCertificate(_))), "{server_said:?}");
        }
    }
}

#[test]
fn a_reload_shows_the_new_certificate_and_believes_the_new_authority_at_once() {
    let (house, next) = (House::new(), House::new());
    let listeners = [house.public(), house.internal(), house.peer()];
    house.issue("client", &["x.test"], Usage::Client);
    next.issue("client", &["y.test"], Usage::Client);
    let old_client = house.client(Some("client"));
    let new_client = {
        let both = format!("{}{}", house.authority.pem(), next.authority.pem());
        fs::write(house.path("both.pem"), both).unwrap();
        client_config(load_roots(&house.path("both.pem")).unwrap(), Some(&next.identity("client")), &[b"http/1.1"])
            .unwrap()
    };
    assert!(shake(&listeners[1], &new_client).is_err());

    // During the overlap both authorities are believed, later only the new one.
    house.issue("server", &["b.test", "a.test"], Usage::Both);
    fs::copy(house.path("both.pem"), house.path("ca.pem")).unwrap();
    for listener in &listeners {
        assert_eq!(shown_name(&shake(listener, &old_client)), "a.test");
        listener.reload().unwrap();
        assert_eq!(shown_name(&shake(listener, &old_client)), "b.test");
        assert!(shake(listener, &new_client).is_ok());
    }
    fs::write(house.path("ca.pem"), next.authority.pem()).unwrap();
    for listener in &listeners[1..] {
        listener.reload().unwrap();
        assert!(shake(listener, &old_client).is_err());
        assert!(shake(listener, &new_client).is_ok());
    }
}

#[test]
fn a_bad_pair_or_authority_at_reload_changes_nothing() {
    let house = House::new();
    let server = house.internal();
    let good_key = fs::read_to_string(house.path("server.key")).unwrap();

    house.issue("other", &["b.test"], Usage::Both);
    fs::copy(house.path("other.key"), house.path("server.key")).unwrap();
    assert!(matches!(server.reload(), Err(TlsFileError::Mismatch { .. })));
    fs::write(house.path("server.key"), &good_key[..good_key.len() / 2]).unwrap();
    assert!(server.reload().is_err());
    fs::write(house.path("server.key"), &good_key).unwrap();
    fs::write(house.path("ca.pem"), "").unwrap();
    assert!(server.reload().is_err());

    fs::write(house.path("ca.pem"), house.authority.pem()).unwrap();
    assert_eq!(shown_name(&shake(&server, &house.client(None))), "a.test");
    server.reload().unwrap();
}

#[test]
fn a_peer_listener_cannot_be_talked_out_of_certificates() {
    let house = House::new();
    let files = ServerFiles {
        cert: house.path("server.pem"),
        key: house.path("server.key"),
        clients: ClientCertificates::Optional(house.path("ca.pem")),
    };
    let peer = house.peer();
    assert!(peer.reload_from(files.clone()).is_err());
    assert_eq!(client_fault(shake(&peer, &house.client(None))), TlsFault::ClientCertificate);
    house.internal().reload_from(ServerFiles { clients: ClientCertificates::None, ..files }).unwrap();
}

#[test]
fn only_the_public_listener_resumes() {
    let house = House::new();
    house.issue("client", &["x.test"], Usage::Client);
    for (server, expected) in [
        (house.public(), HandshakeKind::Resumed),
        (house.internal(), HandshakeKind::Full),
        (house.peer(), HandshakeKind::Full),
    ] {
        let mut client = house.client(Some("client"));
        client.resumption = rustls::client::Resumption::in_memory_sessions(4);
        shake(&server, &client).unwrap();
        let (client, _) = shake(&server, &client).unwrap();
        assert_eq!(client.handshake_kind(), Some(expected));
    }
    // And our own client never does, or it would not see a replaced certificate.
    let (server, client) = (house.public(), house.client(None));
    shake(&server, &client).unwrap();
    assert_eq!(shake(&server, &client).unwrap().0.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn tls_1_2_is_served_except_to_peers() {
    let house = House::new();
    let mut old = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(load_roots(&house.path("ca.pem")).unwrap())
        .with_no_client_auth();
    old.alpn_protocols = vec![b"h2".to_vec()];
    let (client, _) = shake(&house.public(), &old).unwrap();
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
    assert!(shake(&house.internal(), &old).is_ok());
    old.alpn_protocols.clear();
    assert_eq!(client_fault(shake(&house.peer(), &old)), TlsFault::NothingInCommon);
}

#[test]
fn what_is_wrong_with_a_servers_certificate_has_its_own_word() {
    let house = House::new();
    let now = SystemTime::now();
    let client = house.client(None);
    let with_validity = |from, to| {
        let leaf = house.authority.issue_valid(&["a.test"], Usage::Server, from, to).unwrap();
        leaf.write(house.folder.path(), "server").unwrap();
        shake(&house.public(), &client)
    };
    assert_eq!(client_fault(shake_for(&house.public(), &client, "other.test")), TlsFault::WrongName);
    assert_eq!(client_fault(with_validity(now - DAY * 2, now - DAY)), TlsFault::Expired);
    assert_eq!(client_fault(with_validity(now + DAY, now + DAY * 2)), TlsFault::NotYetValid);
    let stranger = House::new();
    assert_eq!(client_fault(shake(&stranger.public(), &client)), TlsFault::UnknownIssuer);
}

#[test]
fn a_plain_http_answer_is_not_tls() {
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(House::new().client(None)), name).unwrap();
    client.read_tls(&mut &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]).unwrap();
    assert_eq!(TlsFailure::of(&client.process_new_packets().unwrap_err()).fault, TlsFault::NotTls);
}
