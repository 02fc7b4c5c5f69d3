//! Who is compared, and how each is started as an expert would: one worker, a line in the log for each start, limits that do not get in
//! the way.

mod apache;
mod haproxy;
mod maitred;
mod nginx;
mod process;

use anyhow::Context as _;
use clap::ValueEnum;

pub(crate) use process::Process;
pub(crate) use process::Running;
pub(super) use process::on_server_core;

use super::site::{Face, Lines, Setup, Site, free_port};

/// One way to send a session to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contestant {
    /// maitred with everything on
    Maitred,
    /// Another build of maitred, where one is given
    Before,
    /// HAProxy without a backend: table, random server, signed cookie, 302
    HaproxySticky,
    /// The same, its lines sent to a collector by way of a ring
    HaproxyRing,
    /// HAProxy's `redir` servers
    HaproxyRedir,
    /// HAProxy in the data path, with a stick table, and the nginx that it passes every request on to
    HaproxyProxy,
    /// nginx, hash of the key and 302
    NginxHash,
    /// Apache with mod_jk and the Tomcat behind it, session and sendRedirect
    ApacheJk,
    /// A bare handler of the framework that maitred uses
    Floor,
}

impl Contestant {
    /// The comparison is between these two; the others say what else there is.
    pub(super) fn is_always_there(self) -> bool {
        matches!(self, Self::Maitred | Self::HaproxySticky)
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Maitred => "**maitred**, everything on",
            Self::Before => "maitred, the other build",
            Self::HaproxySticky => "HAProxy, table + random + 302 + signed cookie",
            Self::HaproxyRing => "the same, its lines by a ring and TCP to a collector",
            Self::HaproxyRedir => "HAProxy, `redir` servers",
            Self::HaproxyProxy => "HAProxy in the data path (stick table) + nginx behind it",
            Self::NginxHash => "nginx, hash + 302",
            Self::ApacheJk => "Apache with mod_jk + Tomcat: session + sendRedirect",
            Self::Floor => "bare actix-web handler (floor)",
        }
    }

    /// Whether it knows an agent again by its cookie alone, so that one who does not show it would be given a new session with each
    /// start. The others find the seat by the agent's name.
    pub(super) fn knows_by_cookie(self) -> bool {
        self == Self::ApacheJk
    }

    /// What it cannot do that a director must.
    pub(super) fn lacks(self) -> &'static str {
        match self {
            Self::Maitred | Self::Before => "",
            Self::HaproxySticky => "blind to health and load; a table of one process, unless peers are configured",
            Self::HaproxyRing => "the same; lines in no file",
            Self::HaproxyRedir => "no affinity; closes each connection",
            Self::HaproxyProxy => "carries every byte of every session; its end is the end of all of them",
            Self::NginxHash => "no state, no health, no load",
            Self::ApacheJk => "in the data path; a session is made before anybody knows who it is for",
            Self::Floor => "no health, no bound, no journal, no peers: not a director",
        }
    }

    /// A file that proves that a package is there, and the package.
    pub(super) fn parts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Maitred | Self::Before | Self::Floor => {
                &[("/usr/bin/taskset", "util-linux"), ("/usr/bin/openssl", "openssl")]
            }
            Self::HaproxySticky | Self::HaproxyRing | Self::HaproxyRedir | Self::HaproxyProxy => {
                &[("/usr/sbin/haproxy", "haproxy")]
            }
            Self::NginxHash => &[("/usr/sbin/nginx", "nginx-light")],
            Self::ApacheJk => &[
                ("/usr/sbin/apache2", "apache2"),
                ("/usr/lib/apache2/modules/mod_jk.so", "libapache2-mod-jk"),
                ("/usr/share/tomcat10/bin/catalina.sh", "tomcat10-user"),
                ("/usr/bin/java", "default-jre-headless"),
            ],
        }
    }

    /// Starts it in a setup and waits until it can seat.
    ///
    /// # Errors
    /// With its own words, when it does not come up.
    pub(super) fn start(self, site: &Site, setup: Setup) -> anyhow::Result<Running> {
        match self {
            Self::Maitred => maitred::start(self, site, setup, site.binary()),
            Self::Before => maitred::start(self, site, setup, site.before().context("no other build is given")?),
            Self::HaproxySticky | Self::HaproxyRing => {
                haproxy::start(self, site, setup, include_str!("../../../peers/haproxy-sticky.cfg"))
            }
            Self::HaproxyRedir => haproxy::start(self, site, setup, include_str!("../../../peers/haproxy-redir.cfg")),
            Self::HaproxyProxy => haproxy::start(self, site, setup, include_str!("../../../peers/haproxy-proxy.cfg")),
            Self::NginxHash => nginx::start(site, setup),
            Self::ApacheJk => apache::start(site, setup),
            Self::Floor => floor(site, setup),
        }
    }
}

/// The sticky HAProxy, in clear and without a log.
pub(crate) fn sticky_haproxy(site: &Site) -> anyhow::Result<Running> {
    Contestant::HaproxySticky.start(site, Setup { face: Face::Clear, lines: Lines::None })
}

fn floor(site: &Site, setup: Setup) -> anyhow::Result<Running> {
    let (face, folder, port) = (setup.face, site.folder("floor", setup)?, free_port()?);
    let mut command = on_server_core(std::env::current_exe()?);
    command.arg("floor").arg("--port").arg(port.to_string());
    if let (Some(cert), Some(key)) = (site.certificate(face), site.key(face)) {
        command.arg("--cert").arg(cert).arg("--key").arg(key);
    }
    Running::start(Contestant::Floor, setup, port, command, &folder)
}
