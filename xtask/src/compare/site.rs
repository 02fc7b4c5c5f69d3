//! What all contestants share: a folder, certificates, the agent servers behind them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::CLIENT_CORE;
use super::Process;

/// How many agent servers there are.
pub(super) const SERVERS: usize = 16;

/// What the client meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Plain HTTP.
    Clear,
    /// TLS with an ECDSA P-256 certificate.
    Ecdsa,
    /// TLS with an RSA 2048 certificate.
    Rsa,
}

impl Face {
    /// The stem of its files.
    pub(super) fn stem(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

/// Whether a line is written for each start, as in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Each start leaves one in a file.
    Written,
    /// None does.
    None,
}

/// How a contestant is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) face: Face,
    pub(crate) lines: Lines,
}

impl Setup {
    /// What a configuration says where lines are written, and where none are.
    pub(super) fn log<'t>(self, written: &'t str, none: &'t str) -> &'t str {
        match self.lines {
            Lines::Written => written,
            Lines::None => none,
        }
    }
}

pub(crate) struct Site {
    folder: TempDir,
    binary: PathBuf,
    before: Option<PathBuf>,
    backend: Backend,
}

/// Agent servers: one nginx that answers for all of them.
pub(crate) struct Backend {
    pub(crate) process: Process,
    /// In clear.
    pub(crate) port: u16,
    tls: TlsPorts,
}

/// Where the agent servers speak TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsPorts {
    /// On connections that are kept.
    pub(crate) kept: u16,
    /// On a new one for each request.
    pub(crate) new: u16,
}

/// The binary that is measured, wherever the process goes.
///
/// # Errors
/// When nobody has built it.
pub(crate) fn built(binary: &Path) -> anyhow::Result<PathBuf> {
    binary.canonicalize().with_context(|| format!("{} is missing: cargo build --release", binary.display()))
}

impl Site {
    /// Makes the certificates and starts the agent servers, on the client's core.
    pub(crate) fn new(binary: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("maitred-compare").tempdir()?;
        for (stem, algorithm, detail) in
            [("ecdsa", "ec", "ec_paramgen_curve:prime256v1"), ("rsa", "rsa", "rsa_keygen_bits:2048")]
        {
            certificate(folder.path(), stem, algorithm, detail)?;
        }
        let backend = Backend::start(folder.path(), CLIENT_CORE, "access_log off;")?;
        Ok(Self { folder, binary, before: None, backend })
    }

    /// The same with another build beside it.
    pub(super) fn and(self, before: Option<PathBuf>) -> Self {
        Self { before, ..self }
    }

    /// More agent servers, for those who let them die.
    pub(crate) fn another_backend(&self) -> anyhow::Result<Backend> {
        self.backend_behind(CLIENT_CORE, "access_log off;")
    }

    /// Agent servers of a contestant's own, on a core and with what nginx is told of its log.
    pub(super) fn backend_behind(&self, core: &str, log: &str) -> anyhow::Result<Backend> {
        Backend::start(self.folder.path(), core, log)
    }

    /// Where the agent servers speak TLS.
    pub(crate) fn backend_tls(&self) -> TlsPorts {
        self.backend.tls
    }

    /// Whose certificates the agent servers show.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.certificate(Face::Ecdsa)
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The other build that is measured beside it, if there is one.
    pub(super) fn before(&self) -> Option<&Path> {
        self.before.as_deref()
    }

    /// The port of the agent servers, plain HTTP.
    pub(crate) fn backend(&self) -> u16 {
        self.backend.port
    }

    /// A folder for one contestant in one setup.
    pub(super) fn folder(&self, name: &str, setup: Setup) -> anyhow::Result<PathBuf> {
        self.place(&format!("{name}-{}{}", setup.face.stem(), setup.log("", "-quiet")))
    }

    /// A folder by its name.
    pub(crate) fn place(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The certificate that the client believes and the servers show.
    pub(super) fn certificate(&self, face: Face) -> Option<PathBuf> {
        (face != Face::Clear).then(|| self.folder.path().join(format!("{}.pem", face.stem())))
    }

    /// Its key.
    pub(super) fn key(&self, face: Face) -> Option<PathBuf> {
        (face != Face::Clear).then(|| self.folder.path().join(format!("{}.key", face.stem())))
    }

    /// Both in one file, as HAProxy wants them.
    pub(super) fn bundle(&self, face: Face) -> Option<PathBuf> {
        (face != Face::Clear).then(|| self.folder.path().join(format!("{}.bundle", face.stem())))
    }
}

impl Backend {
    fn start(folder: &Path, core: &str, log: &str) -> anyhow::Result<Self> {
        let (port, tls) = (free_port()?, TlsPorts { kept: free_port()?, new: free_port()? });
        let place = folder.join(format!("backend-{port}"));
        fs::create_dir_all(&place)?;
        let text = include_str!("../../peers/nginx-backend.conf")
            .replace("@LOG@", log)
            .replace("@PORT@", &port.to_string())
            .replace("@TLS_PORT@", &tls.kept.to_string())
            .replace("@TLS_NEW_PORT@", &tls.new.to_string())
            .replace("@CERTS@", &folder.to_string_lossy())
            .replace("@FOLDER@", &place.to_string_lossy());
        fs::write(place.join("nginx.conf"), text)?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", core, "nginx", "-c"]).arg(place.join("nginx.conf"));
        let mut process = Process::start(command, &place)?;
        process.wait_for(port)?;
        Ok(Self { process, port, tls })
    }
}

/// A self-signed certificate for localhost and the servers' names, by openssl, because the generator that maitred uses makes no RSA keys.
fn certificate(folder: &Path, stem: &str, algorithm: &str, detail: &str) -> anyhow::Result<()> {
    let (cert, key) = (folder.join(format!("{stem}.pem")), folder.join(format!("{stem}.key")));
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-newkey",
            algorithm,
            "-pkeyopt",
            detail,
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,DNS:*.example.com",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status()
        .context("openssl")?;
    ensure!(status.success(), "openssl made no certificate");
    fs::write(folder.join(format!("{stem}.bundle")), [fs::read(&cert)?, fs::read(&key)?].concat())?;
    Ok(())
}

/// A port that nobody has now, below those that the system gives to outgoing connections (32768 and up): one of them could take it
/// before the process that is told to listen there.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Runs that begin at the same moment begin at different places.
    let begin = std::process::id().wrapping_mul(97) % COUNT;
    let mut ports = (0..COUNT).map(|_| FIRST + (begin + NEXT.fetch_add(1, Relaxed)) % COUNT);
    let free = ports.find_map(|port| {
        let port = u16::try_from(port).ok()?;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    free.context("no port is free")
}
