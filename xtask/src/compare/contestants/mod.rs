//! Who is compared, and how each is started as an expert would: one worker, quiet logs, limits that do not get in the way.

mod apache;
mod haproxy;
mod maitred;
mod nginx;
mod process;

use std::process::Command;

use clap::ValueEnum;

pub(crate) use process::Process;
pub(crate) use process::Running;
pub(super) use process::on_server_core;

use super::site::{Face, Site, free_port};

/// One way to send a session to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contestant {
    /// maitred with everything on
    Maitred,
    /// HAProxy without a backend: table, random server, signed cookie, 302
    HaproxySticky,
    /// HAProxy's `redir` servers
    HaproxyRedir,
    /// HAProxy in the data path, with a stick table
    HaproxyProxy,
    /// nginx, hash of the key and 302
    NginxHash,
    /// Apache with mod_jk and Tomcat, session and sendRedirect
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
            Self::HaproxySticky => "HAProxy, table + random + 302 + signed cookie",
            Self::HaproxyRedir => "HAProxy, `redir` servers",
            Self::HaproxyProxy => "HAProxy in the data path, stick table",
            Self::NginxHash => "nginx, hash + 302",
            Self::ApacheJk => "Apache, mod_jk, Tomcat: session + sendRedirect",
            Self::Floor => "bare actix-web handler (floor)",
        }
    }

    /// What it cannot do that a director must.
    pub(super) fn lacks(self) -> &'static str {
        match self {
            Self::Maitred => "",
            Self::HaproxySticky => "blind to health and load; a table of one process, unless peers are configured",
            Self::HaproxyRedir => "no affinity; closes each connection",
            Self::HaproxyProxy => "carries every byte of every session; its end is the end of all of them",
            Self::NginxHash => "no state, no health, no load",
            Self::ApacheJk => "in the data path; a session is made before anybody knows who it is for",
            Self::Floor => "no health, no bound, no journal, no peers: not a director",
        }
    }

    /// The command that prints its version.
    pub(super) fn version(self, site_binary: &std::path::Path) -> Option<Command> {
        let command = |program: &str, argument: &str| {
            let mut command = Command::new(program);
            command.arg(argument);
            Some(command)
        };
        match self {
            Self::Maitred => command(&site_binary.to_string_lossy(), "--version"),
            Self::HaproxySticky => command("haproxy", "-v"),
            Self::NginxHash => command("nginx", "-v"),
            Self::ApacheJk => command("apache2", "-v"),
            Self::HaproxyRedir | Self::HaproxyProxy | Self::Floor => None,
        }
    }

    /// A file that proves that a package is there, and the package.
    pub(super) fn parts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Maitred | Self::Floor => &[("/usr/bin/taskset", "util-linux"), ("/usr/bin/openssl", "openssl")],
            Self::HaproxySticky | Self::HaproxyRedir | Self::HaproxyProxy => &[("/usr/sbin/haproxy", "haproxy")],
            Self::NginxHash => &[("/usr/sbin/nginx", "nginx-light")],
            Self::ApacheJk => &[
                ("/usr/sbin/apache2", "apache2"),
                ("/usr/lib/apache2/modules/mod_jk.so", "libapache2-mod-jk"),
                ("/usr/share/tomcat10/bin/catalina.sh", "tomcat10-user"),
                ("/usr/bin/java", "default-jre-headless"),
            ],
        }
    }

    /// Starts it behind a face and waits until it can seat.
    ///
    /// # Errors
    /// With its own words, when it does not come up.
    pub(super) fn start(self, site: &Site, face: Face) -> anyhow::Result<Running> {
        match self {
            Self::Maitred => maitred::start(site, face),
            Self::HaproxySticky => haproxy::start(self, site, face, include_str!("../../../peers/haproxy-sticky.cfg")),
            Self::HaproxyRedir => haproxy::start(self, site, face, include_str!("../../../peers/haproxy-redir.cfg")),
            Self::HaproxyProxy => haproxy::start(self, site, face, include_str!("../../../peers/haproxy-proxy.cfg")),
            Self::NginxHash => nginx::start(site, face),
            Self::ApacheJk => apache::start(site, face),
            Self::Floor => floor(site, face),
        }
    }
}

/// The sticky HAProxy, in clear.
pub(crate) fn sticky_haproxy(site: &Site) -> anyhow::Result<Running> {
    Contestant::HaproxySticky.start(site, Face::Clear)
}

fn floor(site: &Site, face: Face) -> anyhow::Result<Running> {
    let (folder, port) = (site.folder("floor", face)?, free_port()?);
    let mut command = on_server_core(std::env::current_exe()?);
    command.arg("floor").arg("--port").arg(port.to_string());
    if let (Some(cert), Some(key)) = (site.certificate(face), site.key(face)) {
        command.arg("--cert").arg(cert).arg("--key").arg(key);
    }
    Running::start(Contestant::Floor, face, port, command, &folder)
}
