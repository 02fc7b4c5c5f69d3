//! A real Tomcat, 10 or 9, with a page that keeps a counter in its HttpSession: what a stateful agent desktop is, at its smallest.
//!
//! Debian's packages, but a `CATALINA_BASE` of its own in a temporary folder: an HTTPS connector with the certificates of the tests,
//! an AJP connector without a secret, `jvmRoute` as the server's name. Of Tomcat 9 Debian has the classes only: its `Bootstrap` is
//! started as its own script would start it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use rustix::process::Signal;
use tempfile::TempDir;

use super::client::Client;
use super::process::{Process, require};
use super::{certificates, ports, wait};

const HOME: &str = "/usr/share/tomcat10";
/// What a base needs beside our own `server.xml`.
const CONFIGURATION: [&str; 3] = ["catalina.properties", "web.xml", "logging.properties"];

/// The desk: who serves, which session, how often this session was here; and the path, so that a test sees it kept.
const PAGE: &str = r#"<%@ page contentType="text/html; charset=utf-8" session="true" %><%
  Integer before = (Integer) session.getAttribute("visits");
  int visits = before == null ? 1 : before + 1;
  session.setAttribute("visits", visits);
  response.setHeader("Cache-Control", "no-store");
%><!doctype html>
<html lang="en"><title>desk</title>
<p id="server"><%= System.getProperty("maitred.server") %></p>
<p id="session"><%= session.getId() %></p>
<p id="visits"><%= visits %></p>
</html>
"#;

/// The classes of Tomcat 9.
const CLASSES_9: &str = "/usr/share/java";
/// What every host has beneath the applications: Debian has no such file for Tomcat 9.
const WEB_XML_9: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<web-app xmlns="http://xmlns.jcp.org/xml/ns/javaee" version="4.0">
<servlet><servlet-name>default</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>
<servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
</web-app>
"#;

/// Which names the servlet classes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// Tomcat 9: `javax.servlet`.
    Javax,
    /// Tomcat 10: `jakarta.servlet`.
    Jakarta,
}

/// A running Tomcat. Killed when it is dropped.
pub(crate) struct Tomcat {
    name: String,
    edition: Edition,
    https: u16,
    ajp: u16,
    base: TempDir,
    options: String,
    process: Option<Process>,
}

impl Tomcat {
    /// Starts it and waits until its health page answers.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(Edition::Jakarta, name, "", |_| {})
    }

    /// The same with more options for its Java, and an application that is put into its `webapps/ROOT` beforehand.
    pub(crate) fn start_with(edition: Edition, name: &str, options: &str, put: impl FnOnce(&Path)) -> Self {
        let base = tempfile::tempdir().unwrap();
        lay_out(edition, base.path());
        put(&base.path().join("webapps/ROOT"));
        let mut tomcat =
            Self { name: name.to_owned(), edition, https: 0, ajp: 0, base, options: options.to_owned(), process: None };
        for _ in 0..5 {
            (tomcat.https, tomcat.ajp) = (ports::free(), ports::free());
            if tomcat.run() {
                return tomcat;
            }
        }
        panic!("no free ports for Tomcat");
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The port of its HTTPS connector.
    pub(crate) fn port(&self) -> u16 {
        self.https
    }

    /// Its origin as browsers see it.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}.test:{}", self.name, self.https)
    }

    /// Where its application is.
    pub(crate) fn root(&self) -> PathBuf {
        self.base.path().join("webapps/ROOT")
    }

    /// Everything that it wrote.
    pub(crate) fn words(&self) -> Vec<String> {
        self.process.as_ref().map(Process::words).unwrap_or_default()
    }

    /// SIGTERM, as a service manager does it, and waits for its end.
    pub(crate) fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::TERM);
            process.wait();
        }
    }

    /// `kill -9`: its sessions are gone.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Comes back at the same ports, with an empty memory.
    pub(crate) fn start_again(&mut self) {
        assert!(self.run(), "{} does not start again", self.name);
    }

    /// False when a port was taken.
    fn run(&mut self) -> bool {
        let base = self.base.path();
        fs::write(base.join("conf/server.xml"), server_xml(self.edition, &self.name, self.https, self.ajp)).unwrap();
        // The page reads its server's name from a system property.
        let options =
            format!("-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dmaitred.server={} {}", self.name, self.options);
        let mut command = match self.edition {
            Edition::Jakarta => catalina_sh(base, &options),
            Edition::Javax => bootstrap(base, &options),
        };
        let process = self.process.insert(Process::start(&self.name, command.env_remove("CATALINA_OPTS")));
        let mut client = Client::new();
        let health = format!("https://{}.test:{}/ua/health", self.name, self.https);
        wait::for_some(&format!("{} serves its health page", self.name), || {
            if process.has_said("Address already in use") {
                return Some(false);
            }
            if let Some(status) = process.ended() {
                panic!("Tomcat ended with {status}: {:#?}", process.words());
            }
            client.try_send(Method::GET, &health, &[], "").is_ok_and(|answer| answer.status == 200).then_some(true)
        })
    }
}

fn catalina_sh(base: &Path, options: &str) -> Command {
    let mut command = Command::new(format!("{HOME}/bin/catalina.sh"));
    command.arg("run").env("CATALINA_HOME", HOME).env("CATALINA_BASE", base).env("CATALINA_TMPDIR", base.join("temp"));
    command.env("JAVA_OPTS", options);
    command
}

fn bootstrap(base: &Path, options: &str) -> Command {
    let mut command = Command::new("java");
    let (base, temp) = (base.display(), base.join("temp"));
    // What its script says too: without, it cannot look for what an application leaves behind.
    let opens = ["java.base/java.lang", "java.base/java.io", "java.base/java.util", "java.rmi/sun.rmi.transport"];
    command
        .args(opens.map(|open| format!("--add-opens={open}=ALL-UNNAMED")))
        .args(options.split_whitespace())
        .args(["-cp", &class_path_9()])
        .args([format!("-Dcatalina.home={base}"), format!("-Dcatalina.base={base}")])
        .arg(format!("-Djava.io.tmpdir={}", temp.display()))
        .args(["org.apache.catalina.startup.Bootstrap", "start"]);
    command
}

/// Those jars whose names carry no version.
fn class_path_9() -> String {
    let parts =
        ["api", "catalina", "coyote", "el-api", "jasper-el", "jaspic-api", "jni", "jsp-api", "juli", "servlet-api"];
    let more = ["annotations-api", "util", "util-scan", "jasper"];
    let path = |part: &str| format!("{CLASSES_9}/tomcat9-{part}.jar");
    let paths: Vec<String> = parts.into_iter().chain(more).map(path).collect();
    paths.iter().for_each(|path| require(path));
    paths.join(":")
}

fn lay_out(edition: Edition, base: &Path) {
    for folder in ["conf", "lib", "logs", "temp", "work", "webapps/ROOT/ua"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    match edition {
        Edition::Jakarta => {
            require(&format!("{HOME}/bin/catalina.sh"));
            for file in CONFIGURATION {
                let from = format!("{HOME}/skel/conf/{file}");
                require(&from);
                fs::copy(&from, base.join("conf").join(file)).unwrap();
            }
        }
        Edition::Javax => fs::write(base.join("conf/web.xml"), WEB_XML_9).unwrap(),
    }
    fs::write(base.join("webapps/ROOT/index.jsp"), PAGE).unwrap();
    fs::write(base.join("webapps/ROOT/ua/health"), "ok\n").unwrap();
}

fn server_xml(edition: Edition, name: &str, https: u16, ajp: u16) -> String {
    // One of the two reads applications again when their files change.
    let watched = edition == Edition::Javax;
    let certificates = certificates::shared();
    let (cert, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="{https}" address="127.0.0.1" protocol="org.apache.coyote.http11.Http11NioProtocol" SSLEnabled="true"
               scheme="https" secure="true" maxThreads="20">
      <SSLHostConfig><Certificate certificateFile="{}" certificateKeyFile="{}" type="EC"/></SSLHostConfig>
    </Connector>
    <Connector port="{ajp}" address="127.0.0.1" protocol="AJP/1.3" secretRequired="false" maxThreads="10"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{name}" backgroundProcessorDelay="1">
      <Host name="localhost" appBase="webapps" autoDeploy="{watched}"/>
    </Engine>
  </Service>
</Server>
"#,
        cert.display(),
        key.display()
    )
}
