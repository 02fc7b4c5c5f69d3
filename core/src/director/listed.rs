//! Whether a start should go where a server lists the session rather than where the record names it (R5, R8).
//!
//! A server beats to one director, so what other directors tell of its list counts as the own list does: the later one decides.
//! Decide, do not write: what lists say moves nobody by itself. It counts when a client comes.

use super::lists::Latest;
use super::start::At;
use super::told::LastWord;
use crate::clock::{Stamp, Time};
use crate::held::Place;
use crate::ids::Generation;
use crate::session::Sitting;
use crate::view::ServerView;
use crate::wire::ListSays;

impl<'v> At<'v> {
    /// Another usable server that holds the session, when the record's server, which is usable, does not hold it any more: it
    /// listed the key once and lacks it (R8), or it is another process than the one that was given the session.
    pub(super) fn holder_instead(&self, sitting: &Sitting, server: &ServerView) -> Option<&'v ServerView> {
        let lists = &self.director.lists;
        let reborn = sitting.incarnation.contradicts(server.tag());
        if !reborn && !lists.may_lack() && !sitting.incarnation.contradicts(lists.told_life(server.ix)) {
            return None;
        }
        let place = self.place_of(sitting);
        let latest = lists.latest(server, &place, self.now.mono);
        let reborn = match &latest {
            Latest::Told(told) => sitting.incarnation.contradicts(told.life),
            Latest::Own(_) | Latest::Nobody => reborn,
        };
        let lost = match latest {
            Latest::Told(LastWord { says: Some(ListSays::Holds { .. }), .. }) => false,
            Latest::Told(LastWord { says: Some(ListSays::Lacks { unlisted }), .. }) => unlisted && !reborn,
            Latest::Told(LastWord { says: None, .. }) | Latest::Nobody => reborn,
            Latest::Own(list) if reborn => list.find(&place).is_none(),
            Latest::Own(list) => !list.incarnation().contradicts(sitting.incarnation) && list.is_unlisted(&place),
        };
        // A new life alone is no reason to go to an older stay that is about to be reset.
        let least = if reborn { Some(sitting.generation) } else { None };
        if lost { self.holder(sitting, least) } else { None }
    }

    /// A usable server other than the record's that lists the key: the latest generation, then the first by name.
    pub(super) fn holder(&self, sitting: &Sitting, least: Option<Generation>) -> Option<&'v ServerView> {
        let lists = &self.director.lists;
        if lists.is_empty() {
            return None;
        }
        let place = self.place_of(sitting);
        let mut best: Option<(Option<Generation>, &ServerView)> = None;
        for server in self.pool.servers().iter().filter(|it| it.ix != sitting.server && it.standing.is_usable()) {
            let Some((told, since)) = self.held_at(server, &place) else { continue };
            if told.is_some_and(|told| least.is_some_and(|least| told < least)) {
                continue;
            }
            // What was listed before the last start, without a generation, may be the stay that the start ended.
            if told.is_none() && sitting.stamp != Stamp::ZERO && least.is_some() && since < sitting.stamp.time() {
                continue;
            }
            if best.is_none_or(|(generation, _)| told > generation) {
                best = Some((told, server));
            }
        }
        best.map(|(_, server)| server)
    }

    /// By which generation and since when a server holds a key, by the latest list that any director has of it.
    fn held_at(&self, server: &ServerView, place: &Place) -> Option<(Option<Generation>, Time)> {
        match self.director.lists.latest(server, place, self.now.mono) {
            Latest::Told(LastWord { says: Some(ListSays::Holds { generation, since }), .. }) => {
                Some((generation, since))
            }
            Latest::Told(_) | Latest::Nobody => None,
            Latest::Own(list) => list.find(place).map(|item| (item.held.generation, item.since)),
        }
    }

    fn place_of(&self, sitting: &Sitting) -> Place {
        let session = self.pool.settings().allow_multiple.then_some(sitting.session);
        Place::new(self.request.key.key().clone(), session)
    }
}
