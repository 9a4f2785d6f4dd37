//! The rules of a policy: which callers may make which requests.

use std::sync::Arc;

use http::Method;

use crate::path::{Path, PathPattern};
use crate::text::Text;

/// The rules of a policy, in order. The first that matches a request decides. A request that
/// matches none is denied.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub(super) Vec<Rule>);

/// One `[[policy.rule]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name in logs and `explain`: the configured one, or else its position.
    pub name: Arc<str>,
    pub(super) what: RequestMatch,
    pub(super) who: AllowedCallers,
}

/// Which requests a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RequestMatch {
    /// Requests with one of these methods (any, if none is named) for these paths.
    Http {
        methods: Vec<Method>,
        path: PathPattern,
    },
    /// gRPC calls: POST, this path, and the content type of gRPC.
    Grpc(PathPattern),
}

/// The callers that a rule allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AllowedCallers {
    /// Anonymous callers too.
    Anyone,
    /// Every verified caller.
    Verified,
    /// Callers that have one of the roles, if there are any, and all of the scopes.
    Granted {
        /// One of these.
        roles: Vec<Text>,
        /// All of these.
        scopes: Vec<Box<str>>,
    },
}

/// The parts of a request that rules match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchInput<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: Path<'a>,
    /// The content type is gRPC's.
    pub(crate) grpc: bool,
}

impl Rules {
    /// The most rules of one policy. They are tried one by one.
    pub const MAX: usize = 256;

    /// The rule that decides.
    pub(crate) fn find(&self, asked: MatchInput<'_>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.what.fits(asked))
    }

    /// The rule that has exactly this name, from this policy.
    pub(crate) fn named(&self, name: &Arc<str>) -> Option<&Rule> {
        self.0.iter().find(|rule| Arc::ptr_eq(&rule.name, name))
    }

    /// The names of the rules that require a role.
    pub(crate) fn asking_for_roles(&self) -> impl Iterator<Item = &str> {
        let asks = |rule: &&Rule| matches!(&rule.who, AllowedCallers::Granted { roles, .. } if !roles.is_empty());
        self.0.iter().filter(asks).map(|rule| &*rule.name)
    }

    /// Every role that a rule names, with the rule's name.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.0.iter().flat_map(|rule| {
            let roles = match &rule.who {
                AllowedCallers::Granted { roles, .. } => roles.as_slice(),
                AllowedCallers::Anyone | AllowedCallers::Verified => &[],
            };
            roles.iter().map(|role| (&*rule.name, role))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that everything is denied.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    pub(crate) fn who(&self) -> &AllowedCallers {
        &self.who
    }

    /// The requests that it matches, as the configuration writes it.
    pub(crate) fn describe(&self) -> String {
        match &self.what {
            RequestMatch::Http { methods, path } if methods.is_empty() => path.as_str().to_owned(),
            RequestMatch::Http { methods, path } => {
                let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
                format!("{} {}", methods.join("|"), path.as_str())
            }
            RequestMatch::Grpc(path) => format!("gRPC {}", path.as_str()),
        }
    }
}

impl RequestMatch {
    fn fits(&self, asked: MatchInput<'_>) -> bool {
        match self {
            Self::Http { methods, path } => {
                holds(methods, asked.method) && path.matches(asked.path)
            }
            Self::Grpc(path) => {
                asked.grpc && asked.method == Method::POST && path.matches(asked.path)
            }
        }
    }

    /// Whether it matches every request that `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Http { methods, path },
                Self::Http {
                    methods: others,
                    path: other,
                },
            ) => {
                let all = !others.is_empty() && others.iter().all(|method| holds(methods, method));
                (methods.is_empty() || all) && path.covers(other)
            }
            (Self::Http { methods, path }, Self::Grpc(other)) => {
                holds(methods, &Method::POST) && path.covers(other)
            }
            (Self::Grpc(path), Self::Grpc(other)) => path.covers(other),
            (Self::Grpc(_), Self::Http { .. }) => false,
        }
    }
}

/// Whether the list has the method. An empty list has all methods. GET includes HEAD (RFC 9110,
/// section 9.3.2).
fn holds(methods: &[Method], method: &Method) -> bool {
    methods.is_empty()
        || methods.contains(method)
        || (method == Method::HEAD && methods.contains(&Method::GET))
}
