//! A child process: its words kept, its group ended when it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::network::Host;
use super::wait;

/// A running part. It leads a process group, so that helpers of its own die with it.
pub(crate) struct Process {
    name: String,
    child: Child,
    words: Arc<Mutex<Vec<String>>>,
    killed: bool,
}

impl Process {
    /// Starts it without input.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| missing(&program.to_string_lossy(), &error.to_string()));
        let words = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().unwrap(), &words);
        keep(child.stderr.take().unwrap(), &words);
        Self { name: name.to_owned(), child, words, killed: false }
    }

    /// The same on a host of its own.
    pub(crate) fn start_on(host: Option<&Host>, name: &str, command: &mut Command) -> Self {
        match host {
            Some(host) => host.inside(|| Self::start(name, command)),
            None => Self::start(name, command),
        }
    }

    /// Everything it has said so far, line by line.
    pub(crate) fn words(&self) -> Vec<String> {
        self.words.lock().unwrap().clone()
    }

    /// Whether a line of its words contains `text`.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.words.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Lines of its words that contain each of these, as whole words (`server=ua1`).
    pub(crate) fn lines_with(&self, wanted: &[&str]) -> Vec<String> {
        let has = |line: &&String| wanted.iter().all(|wanted| line.split_whitespace().any(|word| word == *wanted));
        self.words.lock().unwrap().iter().filter(has).cloned().collect()
    }

    /// `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// To the process itself.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait::for_some(&format!("{} ends", self.name), || self.child.try_wait().unwrap())
    }

    /// `kill -9` for the whole group, and waits for the end.
    pub(crate) fn kill(&mut self) {
        // Once only: afterwards the number may be somebody else's.
        if !self.killed {
            self.killed = true;
            let _gone_already = kill_process_group(self.pid(), Signal::KILL);
            self.child.wait().unwrap();
        }
    }

    /// The process id, for tools that look at it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- last words of {}", self.name);
            let words = self.words();
            for line in words.iter().skip(words.len().saturating_sub(80)) {
                eprintln!("{line}");
            }
        }
    }
}

/// Fails the test when a file of a real part is not there.
#[track_caller]
pub(crate) fn require(path: &str) {
    if !Path::new(path).exists() {
        missing(path, "not there");
    }
}

#[track_caller]
pub(crate) fn missing(part: &str, reason: &str) -> ! {
    panic!("{part}: {reason}. `tests/run` installs what the tests need.")
}

fn keep(pipe: impl Read + Send + 'static, words: &Arc<Mutex<Vec<String>>>) {
    let words = Arc::clone(words);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            words.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
