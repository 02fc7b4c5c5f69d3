//! Whether a start should go where a server lists the session rather than where the record names it (R5, R8).
//!
//! A server beats to one director, so what other directors tell of its list counts as the own list does: the later one decides.
//! Decide, do not write: what lists say moves nobody by itself. It counts when a client comes.

use super::start::At;
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
        let list = lists.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag()));
        // Who heard the server last knows which of its lives it is, and what that one holds.
        let (name, own_age) = (&server.settings.name, list.as_ref().and_then(|list| list.age(self.now.mono)));
        let told = lists.told.latest(name, &place, own_age, self.now.mono);
        let reborn = told.as_ref().map_or(reborn, |told| sitting.incarnation.contradicts(told.life));
        let lost = match (told.map(|told| told.says), &list) {
            (Some(Some(ListSays::Holds { .. })), _) => false,
            (Some(Some(ListSays::Lacks { unlisted })), _) => unlisted && !reborn,
            (Some(None), _) | (None, None) => reborn,
            (None, Some(list)) if reborn => list.find(&place).is_none(),
            (None, Some(list)) => !list.incarnation().contradicts(sitting.incarnation) && list.is_unlisted(&place),
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
        let lists = &self.director.lists;
        let list = lists.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag()));
        let own_age = list.as_ref().and_then(|list| list.age(self.now.mono));
        match lists.told.latest(&server.settings.name, place, own_age, self.now.mono).map(|told| told.says) {
            Some(Some(ListSays::Holds { generation, since })) => Some((generation, since)),
            Some(Some(ListSays::Lacks { .. }) | None) => None,
            None => list?.find(place).map(|item| (item.held.generation, item.since)),
        }
    }

    fn place_of(&self, sitting: &Sitting) -> Place {
        let session = self.pool.settings().allow_multiple.then_some(sitting.session);
        Place::new(self.request.key.key().clone(), session)
    }
}
