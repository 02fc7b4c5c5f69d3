//! Small numbers for names, so that a record has a fixed size.
//!
//! Owns the numbers of one process: they are given in order of first sight, never taken back, and mean nothing elsewhere, so
//! they never leave the table. Readers take an immutable [`Book`] without a lock; a new name, which is rare, clones and swaps it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashTable;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::Full;
use crate::ids::{DirectorName, PoolName, ServerName};

/// Most pool names that one process remembers, those of former configurations included.
const POOLS_MAX: usize = 4096;
/// Most server names that one process remembers.
const SERVERS_MAX: usize = 65_536;
/// Most director names that one process remembers.
const WRITERS_MAX: usize = 4096;

/// A pool's number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIx(u16);

/// A server's number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerIx(u32);

/// The number of a director that wrote a seat, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterIx(u16);

impl PoolIx {
    /// The number itself, for the hash of a key.
    pub(super) fn number(self) -> u16 {
        self.0
    }
}

impl ServerIx {
    /// The number at a position, for a walk over all servers of a book.
    #[must_use]
    pub(crate) fn at(position: u32) -> Self {
        Self(position)
    }

    /// The number itself.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The number as a position: numbers are dense, so a `Vec` by server is right. At most 65,535.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All names known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pools: Arc<Shelf<PoolName>>,
    servers: Arc<Shelf<ServerName>>,
    writers: Arc<Shelf<DirectorName>>,
}

impl Book {
    /// The number of a pool, when it has one.
    #[must_use]
    pub fn pool_ix(&self, name: &PoolName) -> Option<PoolIx> {
        self.pools.find(name).and_then(|ix| u16::try_from(ix).ok()).map(PoolIx)
    }

    /// The number of a server, when it has one.
    #[must_use]
    pub fn server_ix(&self, name: &ServerName) -> Option<ServerIx> {
        self.servers.find(name).map(ServerIx)
    }

    /// The number of a director, when it has one.
    #[must_use]
    pub fn writer_ix(&self, name: &DirectorName) -> Option<WriterIx> {
        self.writers.find(name).and_then(|ix| u16::try_from(ix).ok()).map(WriterIx)
    }

    /// The pool with a number that these [`Names`] gave before this book was taken.
    #[must_use]
    pub fn pool(&self, ix: PoolIx) -> &PoolName {
        &self.pools.names[usize::from(ix.0)]
    }

    /// The server with a number that these [`Names`] gave before this book was taken.
    #[must_use]
    pub fn server(&self, ix: ServerIx) -> &ServerName {
        &self.servers.names[ix.index()]
    }

    /// The director with a number that these [`Names`] gave before this book was taken.
    #[must_use]
    pub fn writer(&self, ix: WriterIx) -> &DirectorName {
        &self.writers.names[usize::from(ix.0)]
    }

    /// How many servers have a number: each [`ServerIx::index`] of this book is below.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.servers.names.len()
    }
}

/// Gives numbers to names. Append-only and bounded.
#[derive(Debug, Default)]
pub struct Names {
    book: ArcSwap<Book>,
    writing: Mutex<()>,
}

impl Names {
    /// The names known now. A record that was read before has all its names in a book that is taken after.
    #[must_use]
    pub fn book(&self) -> Guard<Arc<Book>> {
        self.book.load()
    }

    /// The number of a pool; gives one at first sight.
    ///
    /// # Errors
    /// [`Full::Pools`] beyond 4,096 names.
    pub fn pool(&self, name: &PoolName) -> Result<PoolIx, Full> {
        if let Some(known) = self.book().pool_ix(name) {
            return Ok(known);
        }
        self.add(|book| Arc::make_mut(&mut book.pools).add(name, POOLS_MAX)).ok_or(Full::Pools)?;
        self.book().pool_ix(name).ok_or(Full::Pools)
    }

    /// The number of a server; gives one at first sight.
    ///
    /// # Errors
    /// [`Full::Servers`] beyond 65,536 names.
    pub fn server(&self, name: &ServerName) -> Result<ServerIx, Full> {
        if let Some(known) = self.book().server_ix(name) {
            return Ok(known);
        }
        self.add(|book| Arc::make_mut(&mut book.servers).add(name, SERVERS_MAX)).ok_or(Full::Servers)?;
        self.book().server_ix(name).ok_or(Full::Servers)
    }

    /// The number of a director; gives one at first sight.
    ///
    /// # Errors
    /// [`Full::Writers`] beyond 4,096 names.
    pub fn writer(&self, name: &DirectorName) -> Result<WriterIx, Full> {
        if let Some(known) = self.book().writer_ix(name) {
            return Ok(known);
        }
        self.add(|book| Arc::make_mut(&mut book.writers).add(name, WRITERS_MAX)).ok_or(Full::Writers)?;
        self.book().writer_ix(name).ok_or(Full::Writers)
    }

    /// The numbers of a seat's server and writer, nearly always with one look into the book.
    ///
    /// # Errors
    /// As [`Self::server`] and [`Self::writer`].
    pub(super) fn of_seat(&self, server: &ServerName, writer: &DirectorName) -> Result<(ServerIx, WriterIx), Full> {
        let book = self.book();
        match (book.server_ix(server), book.writer_ix(writer)) {
            (Some(server), Some(writer)) => Ok((server, writer)),
            _ => Ok((self.server(server)?, self.writer(writer)?)),
        }
    }

    fn add(&self, write: impl FnOnce(&mut Book) -> Option<()>) -> Option<()> {
        let _one_writer = self.writing.lock();
        let mut next = Book::clone(&self.book.load());
        write(&mut next)?;
        self.book.store(Arc::new(next));
        Some(())
    }
}

/// Names of one kind in order of their numbers.
#[derive(Debug, Clone)]
struct Shelf<N> {
    names: Vec<N>,
    numbers: HashTable<u32>,
}

impl<N> Default for Shelf<N> {
    fn default() -> Self {
        Self { names: Vec::new(), numbers: HashTable::new() }
    }
}

impl<N: AsText> Shelf<N> {
    fn find(&self, name: &N) -> Option<u32> {
        let same = |ix: &u32| self.names.get(*ix as usize).is_some_and(|known| known.text() == name.text());
        self.numbers.find(hash(name), same).copied()
    }

    fn add(&mut self, name: &N, limit: usize) -> Option<()> {
        if self.find(name).is_some() {
            return Some(());
        }
        if self.names.len() >= limit {
            return None;
        }
        let ix = u32::try_from(self.names.len()).ok()?;
        self.names.push(name.clone());
        let names = &self.names;
        self.numbers.insert_unique(hash(name), ix, |ix| names.get(*ix as usize).map_or(0, hash));
        Some(())
    }
}

/// What the three kinds of name have in common.
trait AsText: Clone {
    fn text(&self) -> &str;
}

impl AsText for PoolName {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsText for ServerName {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsText for DirectorName {
    fn text(&self) -> &str {
        self.as_str()
    }
}

/// Unseeded: names come from configurations and from other directors, not from clients.
fn hash<N: AsText>(name: &N) -> u64 {
    xxh3_64(name.text().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    #[test]
    fn a_name_keeps_its_number_and_reads_back() {
        let names = Names::default();
        let first = names.server(&server("ua1")).unwrap();
        let second = names.server(&server("ua2")).unwrap();
        assert_ne!(first, second);
        assert_eq!(names.server(&server("ua1")), Ok(first));
        assert_eq!(names.book().server(second), &server("ua2"));
        assert_eq!(names.book().server_ix(&server("ua3")), None);
        assert_eq!(names.book().servers(), 2);
    }

    #[test]
    fn an_older_book_stays_as_it_was() {
        let names = Names::default();
        let before = names.book();
        let pool = PoolName::parse("agents").unwrap();
        let ix = names.pool(&pool).unwrap();
        assert_eq!(before.pool_ix(&pool), None);
        assert_eq!(names.book().pool_ix(&pool), Some(ix));
    }

    #[test]
    fn beyond_the_bound_new_names_are_refused_and_known_ones_still_answer() {
        let names = Names::default();
        for number in 0..WRITERS_MAX {
            names.writer(&DirectorName::parse(&format!("d{number}")).unwrap()).unwrap();
        }
        assert_eq!(names.writer(&DirectorName::parse("one-more").unwrap()), Err(Full::Writers));
        assert!(names.writer(&DirectorName::parse("d17").unwrap()).is_ok());
    }

    #[test]
    fn threads_that_race_for_a_name_get_the_same_number() {
        let names = Names::default();
        let all: Vec<Vec<ServerIx>> = std::thread::scope(|scope| {
            let give = || (0..200).map(|n| names.server(&server(&format!("s{n}"))).unwrap()).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(give)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|numbers| numbers == &all[0]));
        assert_eq!(names.book().servers(), 200);
    }
}
