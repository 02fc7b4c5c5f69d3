//! Directors that are peers: who they are, where each listens for the others, and the certificate that carries its name.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use maitred::tls::{self, Identity};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::certificates::{self, Certificates};
use super::director::Director;
use super::plan::Plan;
use super::{ports, wait};

/// All directors of one test.
pub(crate) struct Mesh {
    members: Vec<(&'static str, &'static str, SocketAddr)>,
    certificates: Arc<Certificates>,
    folder: TempDir,
}

impl Mesh {
    /// Name and datacenter of each.
    pub(crate) fn of(members: &[(&'static str, &'static str)]) -> Self {
        let there = |(name, datacenter): &(_, _)| (*name, *datacenter, (Ipv4Addr::LOCALHOST, ports::free()).into());
        Self::at(members.iter().map(there).collect())
    }

    /// Name and datacenter of each, and where it listens for the others.
    pub(crate) fn at(members: Vec<(&'static str, &'static str, SocketAddr)>) -> Self {
        let (certificates, folder) = (certificates::shared(), tempfile::tempdir().unwrap());
        let mesh = Self { members, certificates, folder };
        mesh.members.iter().for_each(|(name, ..)| mesh.issue(name, &[name]));
        mesh
    }

    /// A certificate of the directors' authority with these names.
    pub(crate) fn issue(&self, stem: &str, names: &[&str]) {
        self.certificates.issue_peer(self.folder.path(), stem, names);
    }

    /// The plan of one of them.
    pub(crate) fn plan(&self, name: &str, plan: Plan) -> Plan {
        self.plan_via(name, plan, |_, address| address)
    }

    /// The same where a peer is dialled at another address than its own.
    pub(crate) fn plan_via(&self, name: &str, plan: Plan, dialled: impl Fn(&str, SocketAddr) -> SocketAddr) -> Plan {
        let (name, datacenter, address) = self.members.iter().find(|(member, ..)| *member == name).unwrap();
        let file = |name: &str, kind: &str| self.path(&format!("{name}.{kind}"));
        let mut text = format!(
            "[listen.peer]\naddress = \"{address}\"\ntls = {{ cert = {:?}, key = {:?}, client_ca = {:?} }}\n",
            file(name, "pem"),
            file(name, "key"),
            self.certificates.path("ca.pem"),
        );
        for (name, datacenter, address) in &self.members {
            let url = format!("https://{}", dialled(name, *address));
            writeln!(text, "[[peer]]\nname = \"{name}\"\ndatacenter = \"{datacenter}\"\nurl = \"{url}\"").unwrap();
        }
        plan.with("director", &format!("name = \"{name}\"\ndatacenter = \"{datacenter}\"")).with("end", &text)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Whoever has this certificate, before a director's door.
    pub(crate) fn knocker(&self, at: &str, stem: &str) -> Knock {
        let (name, _, address) = *self.members.iter().find(|(member, ..)| *member == at).unwrap();
        let identity = Identity::load(&self.path(&format!("{stem}.pem")), &self.path(&format!("{stem}.key"))).unwrap();
        let roots = tls::load_roots(&self.certificates.path("ca.pem")).unwrap();
        let config = Arc::new(tls::client_config(roots, Some(&identity), &[b"http/1.1"]).unwrap());
        Knock { name, address, config }
    }

    /// Dials a director with this certificate, sends these frames and reads until the link is closed: the binary frames that came,
    /// and what the director said when it closed; `None` when it just ended.
    pub(crate) fn knock(&self, at: &str, stem: &str, frames: Vec<Message>) -> (usize, Option<CloseFrame>) {
        let knock = self.knocker(at, stem);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut socket = knock.open().await;
            for frame in frames {
                // It may be closed already.
                let _ = socket.send(frame).await;
            }
            let mut binary = 0;
            let reading = async {
                while let Some(Ok(frame)) = socket.next().await {
                    match frame {
                        Message::Binary(_) => binary += 1,
                        Message::Close(said) => return said,
                        _ => {}
                    }
                }
                None
            };
            let said = tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the link stays open");
            (binary, said)
        })
    }
}

/// Somebody who dials a director as a peer would.
pub(crate) struct Knock {
    name: &'static str,
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Knock {
    /// A WebSocket over mutual TLS.
    pub(crate) async fn open(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let server = ServerName::try_from(self.name).unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(server, stream).await.unwrap();
        let url = format!("wss://{}/maitred/peer", self.address);
        tokio_tungstenite::client_async(url, stream).await.unwrap().0
    }
}

/// Waits until each of these has a link to each other one, and everything that the other one has.
#[track_caller]
pub(crate) fn wait_for_links(directors: &[&Director]) {
    for director in directors {
        wait::until("all links stand and are in step", || {
            let peers = director.operator().get(&director.internal_url("/v1/peers")).json();
            let peers = peers["peers"].as_array().unwrap();
            let ready = peers.iter().filter(|peer| peer["state"] == "linked" && peer["in_step"] == true).count();
            ready + 1 >= directors.len()
        });
    }
}
