//! The names in a certificate. Only subject alternative names count; the subject's CN is never looked at.

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How many names of one certificate are looked at.
const NAMES_MAX: usize = 256;

/// The DNS names by which a client that showed a certificate in this handshake is known, in lower case; `None` when it showed
/// none. The chain has been verified by the handshake.
#[must_use]
pub fn client_names(connection: &ServerConnection) -> Option<Vec<String>> {
    connection.peer_certificates().and_then(<[_]>::first).map(dns_names)
}

/// The DNS names of a certificate, in lower case, without wildcards: an identity is one name, not a family of them.
#[must_use]
pub fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) if !name.contains('*') => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    general_names(&parsed).iter().take(NAMES_MAX).filter_map(dns).collect()
}

/// The names by which a client is known that is no director: DNS names (lower case, no wildcards), e-mail addresses and URIs, as
/// they stand in the certificate. `None` when it showed none in this handshake.
#[must_use]
pub fn client_identities(connection: &ServerConnection) -> Option<Vec<String>> {
    connection.peer_certificates().and_then(<[_]>::first).map(identities)
}

fn identities(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let known = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) if !name.contains('*') => Some(name.to_ascii_lowercase()),
        GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    };
    general_names(&parsed).iter().take(NAMES_MAX).filter_map(known).collect()
}

/// DNS names, wildcards too, and addresses, for people.
pub(super) fn subject_names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    general_names(parsed).iter().take(NAMES_MAX).filter_map(shown).collect()
}

fn general_names<'p>(parsed: &'p X509Certificate<'_>) -> &'p [GeneralName<'p>] {
    match parsed.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    <[u8; 4]>::try_from(bytes)
        .map(|v4| std::net::Ipv4Addr::from(v4).to_string())
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| std::net::Ipv6Addr::from(v6).to_string()))
        .ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::certificates::{DevAuthority, Usage};

    #[test]
    fn only_exact_dns_names_are_an_identity() {
        let names = ["UA1.Example.com", "*.example.com", "10.1.0.21", "east-1"];
        let leaf = DevAuthority::create().unwrap().issue(&names, Usage::Client).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.cert.as_bytes()).unwrap();
        assert_eq!(dns_names(&der), ["ua1.example.com", "east-1"]);
    }

    #[test]
    fn a_common_name_is_no_identity() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "east-1");
        assert_eq!(dns_names(params.self_signed(&key).unwrap().der()), Vec::<String>::new());
        assert_eq!(dns_names(&CertificateDer::from(vec![1, 2, 3])), Vec::<String>::new());
    }
}
