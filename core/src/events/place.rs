//! How far somebody has read, in words that every director understands: for each director that tells, its run and a number.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::DirectorName;

/// Directors that one place names at most: as many as a message tells positions of.
pub const DIRECTORS_MAX: usize = crate::wire::POSITIONS_MAX;

/// Up to where one director's events are known. A later run is behind all numbers of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Which start of that director.
    pub run: u64,
    /// The number of an event in it; 0 is before the first.
    pub number: u64,
}

/// An event's id, and a reader's place: whoever stands here has been told everything up to these marks.
///
/// Written `<director>:<run>:<number>`, joined by commas, in order of the names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place(BTreeMap<DirectorName, Mark>);

impl Place {
    /// Reads a place back.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut marks = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':');
            let (Some(name), Some(run), Some(number), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err("is not <director>:<run>:<number>, joined by commas");
            };
            let name = DirectorName::parse(name).map_err(|_| "names no director")?;
            let (Ok(run), Ok(number)) = (run.parse(), number.parse()) else {
                return Err("has a run or number that is none");
            };
            if marks.insert(name, Mark { run, number }).is_some() {
                return Err("names one director twice");
            }
            if marks.len() > DIRECTORS_MAX {
                return Err("names too many directors");
            }
        }
        Ok(Self(marks))
    }

    /// The mark of a director; `None` when nothing of it was known.
    #[must_use]
    pub fn of(&self, director: &DirectorName) -> Option<Mark> {
        self.0.get(director).copied()
    }

    /// Whether an event has been told.
    #[must_use]
    pub fn covers(&self, director: &DirectorName, mark: Mark) -> bool {
        self.of(director).is_some_and(|known| known >= mark)
    }

    /// Goes on to an event. Never back.
    pub fn reach(&mut self, director: &DirectorName, mark: Mark) {
        match self.0.get_mut(director) {
            Some(known) => *known = mark.max(*known),
            None => drop(self.0.insert(director.clone(), mark)),
        }
    }

    /// Stands before events that are known and not shown yet.
    pub(super) fn back_to(&mut self, director: &DirectorName, mark: Mark) {
        self.0.insert(director.clone(), mark);
    }

    /// The marks in order of the names.
    pub fn marks(&self) -> impl Iterator<Item = (&DirectorName, Mark)> {
        self.0.iter().map(|(name, mark)| (name, *mark))
    }
}

impl FromIterator<(DirectorName, Mark)> for Place {
    fn from_iter<I: IntoIterator<Item = (DirectorName, Mark)>>(marks: I) -> Self {
        Self(marks.into_iter().collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, mark)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}:{}:{}", mark.run, mark.number)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_what_it_writes() {
        for text in ["", "east-1:1700000000000:7", "east-1:1:0,west.2:18446744073709551615:18446744073709551615"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Place::parse(" b:1:1 , a:2:2 ").unwrap().to_string(), "a:2:2,b:1:1");
        for bad in
            ["a", "a:1", "a:1:1:1", "a:-1:1", "a:1:x", ":1:1", "a b:1:1", "a:1:1,a:1:2", "a:18446744073709551616:1"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
        let many: String = (0..=DIRECTORS_MAX).map(|number| format!("d{number}:1:1,")).collect();
        assert!(Place::parse(&many).is_err());
    }

    #[test]
    fn a_later_run_is_behind_every_number_of_an_earlier_one() {
        let director = DirectorName::parse("east-1").unwrap();
        let mut place = Place::default();
        assert!(!place.covers(&director, Mark { run: 1, number: 0 }));
        place.reach(&director, Mark { run: 2, number: 1 });
        assert!(place.covers(&director, Mark { run: 1, number: 9 }));
        place.reach(&director, Mark { run: 1, number: 9 });
        assert!(!place.covers(&director, Mark { run: 2, number: 2 }));
    }
}
