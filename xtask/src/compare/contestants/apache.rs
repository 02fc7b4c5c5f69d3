//! Apache with mod_jk, and the Tomcat behind it. Both are in the way of every request, so both count.

use std::fs;
use std::path::Path;

use super::{Contestant, Process, Running, on_server_core};
use crate::compare::site::{Setup, Site, free_port};

const CATALINA: &str = "/usr/share/tomcat10/bin/catalina.sh";

/// A line for each request, in its usual form; gathered, as nginx does.
const LOG: &str = "BufferedLogs On\nCustomLog \"@FOLDER@/access.log\" \"%h %l %u %t \\\"%r\\\" %>s %b \\\"%{Referer}i\\\" \\\"%{User-Agent}i\\\"\"";

pub(super) fn start(site: &Site, setup: Setup) -> anyhow::Result<Running> {
    let (face, folder) = (setup.face, site.folder("apache", setup)?);
    let (port, ajp) = (free_port()?, free_port()?);
    let tls = site.certificate(face).zip(site.key(face)).map_or_else(String::new, |(cert, key)| {
        format!(
            "SSLEngine on\nSSLProtocol +TLSv1.2 +TLSv1.3\nSSLCertificateFile {}\nSSLCertificateKeyFile {}",
            cert.display(),
            key.display()
        )
    });
    let fill = |text: &str| {
        text.replace("@LOG@", setup.log(LOG, ""))
            .replace("@FOLDER@", &folder.to_string_lossy())
            .replace("@PORT@", &port.to_string())
            .replace("@AJP@", &ajp.to_string())
            .replace("@TLS@", &tls)
    };
    fs::write(folder.join("apache.conf"), fill(include_str!("../../../peers/apache.conf")))?;
    fs::write(folder.join("workers.properties"), fill(include_str!("../../../peers/workers.properties")))?;
    let tomcat = tomcat(&folder, ajp)?;
    let mut command = on_server_core("apache2");
    command.arg("-f").arg(folder.join("apache.conf")).args(["-D", "FOREGROUND"]);
    Ok(Running::start(Contestant::ApacheJk, setup, port, command, &folder)?.before(vec![tomcat]))
}

fn tomcat(folder: &Path, ajp: u16) -> anyhow::Result<Process> {
    for part in ["conf", "logs", "temp", "work", "webapps/ROOT/WEB-INF"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let server = include_str!("../../../peers/server.xml").replace("@AJP@", &ajp.to_string());
    fs::write(folder.join("conf/server.xml"), server)?;
    fs::copy("/usr/share/tomcat10/skel/conf/web.xml", folder.join("conf/web.xml"))?;
    fs::write(folder.join("webapps/ROOT/index.jsp"), include_str!("../../../peers/index.jsp"))?;
    fs::write(folder.join("webapps/ROOT/WEB-INF/web.xml"), include_str!("../../../peers/web.xml"))?;
    let mut command = on_server_core(CATALINA);
    command.arg("run").env("CATALINA_BASE", folder).env("JAVA_OPTS", "-Xmx512m -XX:+UseSerialGC");
    let mut process = Process::start(command, folder)?;
    process.wait_for(ajp)?;
    Ok(process)
}
