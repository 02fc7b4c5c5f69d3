//! The description of the public, internal and metrics listeners, as OpenAPI 3.1; `GET /openapi.json` on the internal one.
//!
//! Written by hand. The tests hold it to the route tables, in both directions.

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::{internal, metrics, public};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// Every `METHOD /path` that is described for a listener.
    fn described(listener: &str) -> BTreeSet<String> {
        let document = document();
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let listeners = operation["x-listeners"].as_array().unwrap();
                if listeners.iter().any(|name| name == listener) {
                    found.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
        found
    }

    #[test]
    fn each_route_is_described_and_nothing_else_is() {
        let health = ["GET /health/live", "GET /health/ready", "GET /health/active"].map(str::to_owned);
        let own = public::ROUTES.iter().map(|(method, path)| format!("{method} /maitred{path}"));
        assert_eq!(described("public"), own.chain(health).collect());
        let internal = internal::ROUTES.iter().map(|route| format!("{} {}", route.method, route.path));
        assert_eq!(described("internal"), internal.collect());
        let metrics = metrics::ROUTES.iter().map(|(method, path)| format!("{method} {path}"));
        assert_eq!(described("metrics"), metrics.collect());
    }

    #[test]
    fn the_document_holds_together() {
        let document = document();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
                let named = |parameter: &&Value| parameter["in"] == "path";
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let names: BTreeSet<&str> =
                    parameters.iter().filter(named).map(|parameter| parameter["name"].as_str().unwrap()).collect();
                let wanted: BTreeSet<&str> =
                    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
                assert_eq!(names, wanted, "{path}");
                assert!(
                    operation["responses"].as_object().unwrap().keys().any(|code| code.starts_with(['2', '3'])),
                    "{path}"
                );
            }
        }
        for reference in DOCUMENT.split("\"$ref\": \"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
