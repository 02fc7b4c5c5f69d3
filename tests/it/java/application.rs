//! The filter and the example application, compiled and installed as an operator does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::support::process::missing;
use crate::support::tomcat::Edition;

pub(super) const JAVAX: &str = "/usr/share/java/servlet-api.jar";
const JAKARTA: &str = "/usr/share/tomcat10/lib/servlet-api.jar";
/// What the desk answers.
const PATHS: [&str; 9] = ["/desk", "/login", "/attribute", "/renewed", "/note", "/read", "/link", "/logout", "/inside"];

pub(super) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java")
}

pub(super) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| missing(program, &error.to_string()))
}

/// Compiles without a warning.
#[track_caller]
pub(super) fn javac(release: &str, class_path: &str, to: &Path, sources: &[PathBuf]) {
    let mut arguments = vec!["-Xlint:all,-options", "-Werror", "--release", release, "-cp", class_path, "-d"];
    arguments.push(to.to_str().unwrap());
    arguments.extend(sources.iter().map(|source| source.to_str().unwrap()));
    let output = run("javac", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The filter and the example application, compiled once for each edition: for Tomcat 10 by the script, for 9 as they are.
fn classes(edition: Edition) -> PathBuf {
    static JAKARTA_CLASSES: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let sources = folder.path().join("sources");
        let (filter, desk) = (clients().join("MaitredFilter.java"), clients().join("example/Desk.java"));
        let script = clients().join("jakarta");
        let words = [&sources, &filter, &desk].map(|path| path.to_str().unwrap());
        assert!(run(script.to_str().unwrap(), &words).status.success());
        let converted = [sources.join("MaitredFilter.java"), sources.join("Desk.java")];
        javac("11", JAKARTA, &folder.path().join("classes"), &converted);
        folder
    });
    static JAVAX_CLASSES: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let sources = [clients().join("MaitredFilter.java"), clients().join("example/Desk.java")];
        javac("8", JAVAX, &folder.path().join("classes"), &sources);
        folder
    });
    let folder = match edition {
        Edition::Jakarta => &JAKARTA_CLASSES,
        Edition::Javax => &JAVAX_CLASSES,
    };
    folder.path().join("classes")
}

/// The lines of `web.xml` in a document.
pub(super) fn web_xml_of(document: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let block = text.split("```xml\n").nth(1).and_then(|rest| rest.split("```").next());
    let lines = block.unwrap_or_else(|| panic!("{document} shows no web.xml")).lines();
    lines.filter(|line| !line.trim().is_empty()).map(|line| format!("{}\n", line.trim())).collect()
}

/// As an operator installs it: the class files, the README's lines, and the application. What is `/inside` is for those whom the
/// container has logged in: ann, by her password.
pub(super) fn install(edition: Edition, root: &Path) {
    fs::create_dir(root.join("WEB-INF")).unwrap();
    let (from, to) = (classes(edition), root.join("WEB-INF/classes"));
    assert!(run("cp", &["-r", from.to_str().unwrap(), to.to_str().unwrap()]).status.success());
    let users = root.join("WEB-INF/users.xml");
    fs::write(&users, "<tomcat-users><user username=\"ann\" password=\"secret\" roles=\"agent\"/></tomcat-users>\n")
        .unwrap();
    // As Tomcat did by itself until version 10.1.
    let context = format!(
        "<Context><Manager pathname=\"SESSIONS.ser\"/>\
         <WatchedResource>WEB-INF/web.xml</WatchedResource><Realm className=\"org.apache.catalina.realm.MemoryRealm\" pathname={users:?}/></Context>\n"
    );
    fs::create_dir(root.join("META-INF")).unwrap();
    fs::write(root.join("META-INF/context.xml"), context).unwrap();
    let (namespace, version) = match edition {
        Edition::Javax => ("http://xmlns.jcp.org/xml/ns/javaee", "3.1"),
        Edition::Jakarta => ("https://jakarta.ee/xml/ns/jakartaee", "5.0"),
    };
    let lines = web_xml_of("README.md");
    let patterns: String = PATHS.iter().map(|path| format!("<url-pattern>{path}</url-pattern>")).collect();
    let web_xml = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<web-app xmlns="{namespace}" version="{version}">
{lines}
<listener><listener-class>desk.Desk</listener-class></listener>
<servlet><servlet-name>desk</servlet-name><servlet-class>desk.Desk</servlet-class></servlet>
<servlet-mapping><servlet-name>desk</servlet-name>{patterns}</servlet-mapping>
<security-constraint>
<web-resource-collection><web-resource-name>inside</web-resource-name><url-pattern>/inside</url-pattern></web-resource-collection>
<auth-constraint><role-name>agent</role-name></auth-constraint>
</security-constraint>
<login-config><auth-method>BASIC</auth-method></login-config>
<security-role><role-name>agent</role-name></security-role>
</web-app>
"#
    );
    fs::write(root.join("WEB-INF/web.xml"), web_xml).unwrap();
}
