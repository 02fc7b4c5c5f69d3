//! `clients/java/MaitredFilter.java` in real Tomcats, with the lines of `web.xml` that the README shows.

mod application;
mod elder;
mod house;
mod journeys;
mod outages;

use application::{JAVAX, clients, javac, run, web_xml_of};

#[test]
fn the_filter_compiles_for_servlet_3_1_on_java_8_and_its_parts_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [clients().join("MaitredFilter.java"), clients().join("example/Desk.java")];
    javac("8", JAVAX, folder.path(), &sources);
    let both = format!("{}:{JAVAX}", folder.path().display());
    javac("11", &both, folder.path(), &[clients().join("check/MaitredFilterCheck.java")]);
    let checked = run("java", &["-cp", &both, "maitred.MaitredFilterCheck"]);
    let words = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && words.contains(" 0 failed"), "{words}");
}

#[test]
fn both_documents_show_the_lines_of_web_xml_that_these_tests_use() {
    assert_eq!(web_xml_of("README.md"), web_xml_of("clients/java/README.md"));
    assert!(web_xml_of("README.md").contains("<filter-class>maitred.MaitredFilter</filter-class>"));
}
