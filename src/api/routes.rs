//! The table of routes: the method and path of each, what its key must permit, and the function that answers it.
//! `openapi.json` describes the same routes.

use futures_util::FutureExt;

use crate::api::call::Run;
use crate::api::{batch, disconnect, node, peers, publish, revoke, signal, topics};
use crate::config::api::Permission;

/// One route.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// The path. Its last part may be `{name}`, which stands for any text without a slash.
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    /// Whether it changes something. A node that drains refuses that.
    pub(super) changes: bool,
    pub(super) has_body: bool,
    /// Whether an `Idempotency-Key` has a meaning.
    pub(super) is_idempotent: bool,
    pub(super) run: Run,
}

/// What a request to a route must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// Any key. The route checks what it permits.
    Key,
    /// A key with this permission.
    Permission(Permission),
}

const GET: Route = Route {
    method: "GET",
    path: "",
    needs: Needs::Permission(Permission::Read),
    changes: false,
    has_body: false,
    is_idempotent: false,
    run: |_, _| node::health().boxed_local(),
};
const POST: Route = Route { method: "POST", changes: true, has_body: true, ..GET };

/// All routes.
pub(super) static ROUTES: [Route; 12] = [
    Route { path: "/healthz", needs: Needs::Nothing, ..GET },
    Route { path: "/openapi.json", needs: Needs::Nothing, run: |_, _| node::openapi().boxed_local(), ..GET },
    Route {
        path: "/v1/publish",
        needs: Needs::Permission(Permission::Publish),
        is_idempotent: true,
        run: |api, call| publish::publish(api, call).boxed_local(),
        ..POST
    },
    Route {
        path: "/v1/signal",
        needs: Needs::Permission(Permission::Publish),
        is_idempotent: true,
        run: |api, call| signal::signal(api, call).boxed_local(),
        ..POST
    },
    Route {
        path: "/v1/batch",
        needs: Needs::Key,
        is_idempotent: true,
        run: |api, call| batch::batch(api, call).boxed_local(),
        ..POST
    },
    Route {
        path: "/v1/disconnect",
        needs: Needs::Permission(Permission::Disconnect),
        run: |api, call| disconnect::disconnect(api, call).boxed_local(),
        ..POST
    },
    Route {
        path: "/v1/revoke",
        needs: Needs::Permission(Permission::Revoke),
        run: |api, call| revoke::revoke(api, call).boxed_local(),
        ..POST
    },
    Route { path: "/v1/peers/{id}", run: |api, call| peers::peer(api, call).boxed_local(), ..GET },
    Route { path: "/v1/topics", run: |api, call| topics::topics(api, call).boxed_local(), ..GET },
    Route { path: "/v1/topics/{topic}", run: |api, call| topics::topic(api, call).boxed_local(), ..GET },
    Route { path: "/v1/stats", run: |api, call| node::stats(api, call).boxed_local(), ..GET },
    Route {
        path: "/v1/drain",
        needs: Needs::Permission(Permission::Drain),
        changes: false,
        has_body: false,
        run: |api, call| node::drain(api, call).boxed_local(),
        ..POST
    },
];

impl Route {
    /// Whether it answers this method. A GET route also answers HEAD: the HTTP server leaves the body out.
    pub(super) fn accepts(&self, method: &str) -> bool {
        self.method == method || self.method == "GET" && method == "HEAD"
    }
}

/// The path of the table that a request's path matches, and the text that its `{name}` stands for.
pub(super) fn find_path(requested: &str) -> Option<(&'static str, &str)> {
    ROUTES.iter().find_map(|route| Some((route.path, name_in(requested, route.path)?)))
}

fn name_in<'a>(requested: &'a str, path: &str) -> Option<&'a str> {
    match path.split_once('{') {
        None => (requested == path).then_some(""),
        Some((start, _)) => requested.strip_prefix(start).filter(|name| !name.is_empty() && !name.contains('/')),
    }
}

/// The methods of a path, as the header `Allow` lists them.
pub(super) fn methods(path: &str) -> String {
    let of_route = |route: &Route| if route.method == "GET" { "GET, HEAD" } else { route.method };
    ROUTES.iter().filter(|route| route.path == path).map(of_route).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// What the document and the table say of a route: its permission, and whether it has a body and an Idempotency-Key.
    type Facts = BTreeMap<(String, String), (String, bool, bool)>;

    fn documented() -> Facts {
        let document: Value = serde_json::from_str(node::OPENAPI).unwrap();
        let mut facts = Facts::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
                let needs = match operation.get("security").map(|security| security == &serde_json::json!([])) {
                    Some(true) => "nothing",
                    _ => operation["x-permission"].as_str().unwrap(),
                };
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let has_key = parameters.into_iter().any(|it| it["$ref"] == "#/components/parameters/IdempotencyKey");
                let responses = &operation["responses"];
                assert!(responses["400"].is_object(), "{path} refuses what it does not know");
                assert_eq!(responses["200"]["headers"]["Idempotent-Replayed"].is_object(), has_key, "{path}");
                let fact = (needs.to_owned(), operation.get("requestBody").is_some(), has_key);
                facts.insert((method.to_uppercase(), path.clone()), fact);
            }
        }
        facts
    }

    #[test]
    fn the_document_describes_the_routes() {
        let needs = |route: &Route| match route.needs {
            Needs::Nothing => "nothing",
            Needs::Key => "any",
            Needs::Permission(permission) => permission.name(),
        };
        let of_table = ROUTES.iter().map(|route| {
            let fact = (needs(route).to_owned(), route.has_body, route.is_idempotent);
            ((route.method.to_owned(), route.path.to_owned()), fact)
        });
        assert_eq!(of_table.collect::<Facts>(), documented());
    }

    #[test]
    fn a_name_is_one_part_of_the_path() {
        let path = "/v1/peers/{id}";
        for (requested, name) in
            [("/v1/peers/a", Some("a")), ("/v1/peers/", None), ("/v1/peers/a/b", None), ("/v1/peers", None)]
        {
            assert_eq!(name_in(requested, path), name, "{requested}");
        }
        assert_eq!((find_path("/healthz"), find_path("/healthz/")), (Some(("/healthz", "")), None));
    }
}
