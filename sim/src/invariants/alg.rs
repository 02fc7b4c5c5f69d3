//! ALG: any order, duplication and grouping of messages gives equal bytes everywhere.

use super::Invariant;
use crate::world::{Seen, World};

pub(super) struct Alg;

impl Invariant for Alg {
    fn name(&self) -> &'static str {
        "ALG"
    }

    fn see(&mut self, _: &World, _: &Seen) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        let tables: Vec<_> = (0..world.hosts.len()).filter_map(|host| Some((host, world.table(host)?))).collect();
        for pair in tables.windows(2) {
            let ((a, one), (b, other)) = (&pair[0], &pair[1]);
            if one != other {
                let only = |x: &[String], y: &[String]| x.iter().find(|it| !y.contains(it)).cloned();
                return Err(format!(
                    "directors {a} and {b} differ: {:?} against {:?}",
                    only(one, other),
                    only(other, one)
                ));
            }
        }
        Ok(())
    }
}
