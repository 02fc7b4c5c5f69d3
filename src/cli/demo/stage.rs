//! What the demo shows: lines as things happen, claims with their verdict, and on a terminal one bar per server below them.
//!
//! Piped, it is plain lines only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::agent_server::AgentServer;
use crate::cli::output;

/// How often the bars follow what the servers hold.
const REFRESH: Duration = Duration::from_millis(100);

/// One thing that the demo claims, and whether it held.
#[derive(Debug, Clone)]
struct Claim {
    text: String,
    held: bool,
}

/// Where the demo plays.
pub(super) struct Stage {
    begun: Instant,
    coloured: bool,
    bars: Option<Bars>,
    claims: Vec<Claim>,
}

impl Stage {
    /// An empty stage.
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), coloured: output::is_coloured(), bars: None, claims: Vec::new() }
    }

    /// On a terminal, shows a bar for each server from now on; `full` sessions fill it.
    pub(super) fn show(&mut self, servers: &Arc<Vec<AgentServer>>, full: usize) {
        if output::is_terminal() {
            self.bars = Some(Bars::new(servers, full, self.coloured));
        }
    }

    /// Takes the bars away.
    pub(super) fn clear(&mut self) {
        self.bars = None;
    }

    /// A new act begins.
    ///
    /// # Errors
    /// When nobody reads any more; so for all that follow.
    pub(super) fn act(&self, title: &str) -> anyhow::Result<()> {
        self.line("")?;
        self.line(&self.painted("1", title))
    }

    /// Something happened.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.line(&format!("{seconds:6.1} s  {text}"))
    }

    /// A claim was checked.
    pub(super) fn claim(&mut self, held: bool, text: impl Into<String>) -> anyhow::Result<()> {
        let text = text.into();
        self.line(&format!("       {} {text}", self.mark(held)))?;
        self.claims.push(Claim { text, held });
        Ok(())
    }

    /// Shows every claim again, and says whether all of them held.
    pub(super) fn sum_up(&self) -> anyhow::Result<bool> {
        self.act("What was claimed")?;
        for claim in &self.claims {
            self.line(&format!("  {} {}", self.mark(claim.held), claim.text))?;
        }
        let failed = self.claims.iter().filter(|claim| !claim.held).count();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.line("")?;
        if failed == 0 {
            let all = self.claims.len();
            self.line(&self.painted("32", &format!("All {all} claims held ({seconds:.0} s).")))?;
        } else {
            let failed = output::counted(failed, "claim");
            self.line(&self.painted("31", &format!("{failed} did not hold ({seconds:.0} s).")))?;
        }
        Ok(failed == 0)
    }

    /// A line as it is.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<()> {
        match &self.bars {
            // indicatif swallows an empty line.
            Some(bars) => {
                bars.all.println(if text.is_empty() { " " } else { text }).map_err(|e| output::gone(e).into())
            }
            None => output::line(text),
        }
    }

    fn mark(&self, held: bool) -> String {
        if held { self.painted("32", "✓") } else { self.painted("31", "✗") }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A bar for each server, which follow by themselves.
struct Bars {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
    following: JoinHandle<()>,
}

impl Bars {
    fn new(servers: &Arc<Vec<AgentServer>>, full: usize, coloured: bool) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let template = if coloured {
            "  {prefix:<9} {bar:32.cyan/dim} {pos:>4} sessions  {msg}"
        } else {
            "  {prefix:<9} {bar:32} {pos:>4} sessions  {msg}"
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.progress_chars("█▌ ");
        let bar = |server: &AgentServer| {
            let bar = ProgressBar::new(u64::try_from(full.max(1)).unwrap_or(u64::MAX));
            all.add(bar).with_style(style.clone()).with_prefix(format!("{} {}", server.name(), server.datacenter()))
        };
        let bars: Vec<ProgressBar> = servers.iter().map(bar).collect();
        let (servers, moving) = (Arc::clone(servers), bars.clone());
        let following = tokio::spawn(async move {
            loop {
                for (server, bar) in servers.iter().zip(&moving) {
                    let agents = server.agents();
                    bar.set_position(agents.map_or(0, |agents| u64::try_from(agents).unwrap_or(u64::MAX)));
                    bar.set_message(if agents.is_some() { "" } else { "dead" });
                    bar.tick();
                }
                tokio::time::sleep(REFRESH).await;
            }
        });
        Self { all, bars, following }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.following.abort();
        self.bars.iter().for_each(ProgressBar::finish_and_clear);
        // A terminal that is gone needs no cleaning.
        let _ = self.all.clear();
    }
}
