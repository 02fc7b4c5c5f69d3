//! Who asks: agents that take turns, the cookies that they were given, and now and then one who has never been there.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use hyper::header::HeaderValue;

/// Of so many starts one is a new agent's, where there are any.
const ONE_IN: u32 = 5;

/// The agents of one client, shared by its connections.
pub(crate) struct Agents {
    first: u32,
    count: u32,
    turns: Cell<u32>,
    /// The number of the next new agent; none where all have been there.
    fresh: Option<Cell<u32>>,
    cookies: RefCell<Vec<Option<String>>>,
}

/// One agent's turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The number in its name.
    pub(crate) number: u32,
    /// Where its cookie is kept; nowhere for a new one.
    place: Option<usize>,
}

impl Agents {
    /// `count` agents, numbered from `first`, and new ones from `fresh`.
    pub(crate) fn new(first: u32, count: u32, fresh: Option<u32>) -> Self {
        let cookies = RefCell::new(vec![None; count as usize]);
        Self { first, count: count.max(1), turns: Cell::new(0), fresh: fresh.map(Cell::new), cookies }
    }

    /// Gives them the cookies that were kept in a file.
    pub(crate) fn read(&self, file: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        *self.cookies.borrow_mut() = serde_json::from_str(&text)?;
        Ok(())
    }

    /// Keeps their cookies in a file.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        Ok(fs::write(file, serde_json::to_string(&*self.cookies.borrow())?)?)
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Turn {
        let turn = self.turns.replace(self.turns.get().wrapping_add(1));
        if let Some(fresh) = self.fresh.as_ref().filter(|_| turn.is_multiple_of(ONE_IN)) {
            return Turn { number: fresh.replace(fresh.get() + 1), place: None };
        }
        let known = turn % self.count;
        Turn { number: self.first + known, place: Some(known as usize) }
    }

    /// What an agent shows.
    pub(crate) fn cookie(&self, turn: Turn) -> Option<String> {
        self.cookies.borrow().get(turn.place?)?.clone()
    }

    /// What an agent was given by `Set-Cookie`: name and value.
    pub(crate) fn keep(&self, turn: Turn, set: Option<&HeaderValue>) {
        let pair = set.and_then(|line| line.to_str().ok()?.split(';').next().map(str::to_owned));
        if let (Some(pair), Some(place)) = (pair, turn.place)
            && let Some(kept) = self.cookies.borrow_mut().get_mut(place)
        {
            *kept = Some(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_five_is_new_and_the_others_show_what_they_were_given() {
        let agents = Agents::new(100, 4, Some(7000));
        let numbers: Vec<u32> = (0..6).map(|_| agents.next().number).collect();
        assert_eq!(numbers, [7000, 101, 102, 103, 100, 7001]);
        let (new, known) = (Turn { number: 7000, place: None }, Turn { number: 102, place: Some(2) });
        let given = HeaderValue::from_static("seat=x; Path=/");
        agents.keep(new, Some(&given));
        agents.keep(known, Some(&given));
        agents.keep(known, None);
        assert_eq!((agents.cookie(new), agents.cookie(known)), (None, Some("seat=x".to_owned())));
    }
}
