//! Which peer a certificate stands for: the one configured name that is a DNS name in it. Other names do not count.

use maitred_core::ids::DirectorName;
use thiserror::Error;

/// Why a certificate stands for no peer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Stranger {
    /// No name in it is configured.
    #[error("the certificate names no configured peer")]
    Unknown,
    /// It names this director.
    #[error("the certificate is this director's own")]
    Oneself,
    /// It could be either.
    #[error("the certificate names both {0} and {1}")]
    Several(DirectorName, DirectorName),
    /// It is a peer, but not the one that was dialled.
    #[error("the certificate is that of {0}")]
    Another(DirectorName),
}

/// Finds it among the configured ones; `me` counts as one, so that a certificate for everybody stands for nobody.
///
/// # Errors
/// [`Stranger`].
pub fn peer_of<'c>(
    names: &[String],
    me: &'c DirectorName,
    configured: impl IntoIterator<Item = &'c DirectorName>,
) -> Result<DirectorName, Stranger> {
    let named = |director: &&DirectorName| names.iter().any(|name| name.eq_ignore_ascii_case(director.as_str()));
    let mut found = std::iter::once(me).chain(configured.into_iter().filter(|name| *name != me)).filter(named);
    match (found.next(), found.next()) {
        (None, _) => Err(Stranger::Unknown),
        (Some(one), Some(other)) => Err(Stranger::Several(one.clone(), other.clone())),
        (Some(one), None) if one == me => Err(Stranger::Oneself),
        (Some(one), None) => Ok(one.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_configured_name_and_no_other_makes_a_peer() {
        let name = |text| DirectorName::parse(text).unwrap();
        let (me, configured) = (name("east-1"), [name("east-1"), name("east-2"), name("West-1")]);
        let ask = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            peer_of(&names, &me, &configured)
        };
        assert_eq!(ask(&["host.example.com", "east-2"]), Ok(name("east-2")));
        assert_eq!(ask(&["west-1"]), Ok(name("West-1")), "DNS names have no case");
        assert_eq!(ask(&["east-3", "east-2.example.com"]), Err(Stranger::Unknown));
        assert_eq!(ask(&[]), Err(Stranger::Unknown));
        assert_eq!(ask(&["east-1"]), Err(Stranger::Oneself));
        assert_eq!(ask(&["west-1", "east-2"]), Err(Stranger::Several(name("east-2"), name("West-1"))));
        assert_eq!(ask(&["east-2", "east-1"]), Err(Stranger::Several(name("east-1"), name("east-2"))));
    }
}
