//! Explanations of requests, for operators who ask with a token.

use cellway_testbed::{Answer, Credential, Protocol, Request, Signer};
use cellway_tests::world::{Running, TENANT_SAN, World};
use http::{HeaderName, HeaderValue};
use serde_json::Value;

const ASK: HeaderName = HeaderName::from_static("x-cellway-explain");
const EXPLANATION: &str = "x-cellway-explanation";
const TOKEN: &str = "an operator's token";
/// `printf %s "an operator's token" | sha256sum`
const DIGEST: &str = "3237d3f1e7cdfff630531615600299dc2ae4ba17b459a020847aa437d21061af";

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

async fn world(explain: &str) -> (World, Running) {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let digest = format!("token_sha256 = [\"{}\", \"{DIGEST}\"]", "0".repeat(64));
    let explain = explain.replace("TOKENS", &digest);
    let router = world.with(&explain).await;
    (world, router)
}

const ON: &str = "[explain]\nTOKENS\n";

fn asking(request: Request, token: &str) -> Request {
    request.header(ASK, HeaderValue::from_str(token).unwrap())
}

struct Client<'a> {
    world: &'a World,
    router: &'a Running,
    protocol: Protocol,
    credential: Option<Credential>,
}

impl<'a> Client<'a> {
    /// A client without a certificate.
    fn of(world: &'a World, router: &'a Running, protocol: Protocol) -> Self {
        Self {
            world,
            router,
            protocol,
            credential: None,
        }
    }

    fn with(self, credential: Credential) -> Self {
        let credential = Some(credential);
        Self { credential, ..self }
    }

    async fn send(&self, request: Request) -> Answer {
        let trusted = [&self.world.authorities.servers];
        let credential = self.credential.as_ref();
        let client = self.router.client(self.protocol, &trusted, credential);
        client.send(request).await.unwrap()
    }
}

/// The explanation in an answer's header, one check a line, without times.
fn explanation(answer: &Answer) -> Option<String> {
    let text = answer.headers.get(EXPLANATION)?.to_str().unwrap();
    let line = |item: &str| match item.starts_with("token.times") {
        true => "token.times;passed".to_owned(),
        false => format!("{}\"", item.strip_suffix('"').unwrap_or(item)),
    };
    // A detail may have commas, too, but each item ends with its detail.
    let lines: Vec<_> = text.split("\", ").map(line).collect();
    Some(lines.join("\n"))
}

/// Catches: an explanation of another decision than the one that is served, a token that reaches the
/// cell, and an explanation for those who did not ask.
#[tokio::test]
async fn an_allowed_request_is_served_and_explained() {
    let (world, router) = world(ON).await;
    let mut explanations = Vec::new();
    for protocol in BOTH {
        let client = Client::of(&world, &router, protocol);
        let request = || Request::get("/orders").bearer(&world.token());
        let plain = client.send(request()).await;
        assert_eq!((plain.status.as_u16(), explanation(&plain)), (200, None));
        let answer = client.send(asking(request(), TOKEN)).await;
        assert_eq!(answer.status, 200);
        for (name, of_plain, explained) in [
            ("x-cellway-cell", None, Some("a")),
            ("x-cellway-reason", None, Some("verified")),
            // A cache must not give the explanation to others.
            ("cache-control", None, Some("no-store")),
        ] {
            let got = |answer: &Answer| {
                let value = answer.headers.get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            assert_eq!(got(&plain).as_deref(), of_plain, "{name}");
            assert_eq!(got(&answer).as_deref(), explained, "{name}");
        }
        explanations.extend(explanation(&answer));
    }
    assert_eq!(explanations[0], explanations[1]);
    insta::assert_snapshot!(explanations[0]);
    for (received, _) in world.seen.since() {
        let text = format!("{received:?}");
        assert!(!text.contains("explain") && !text.contains(TOKEN), "{text}");
    }
    assert_eq!(router.events.count("explained"), 2);
}

/// Catches: a denial whose explanation is missing or not its own.
#[tokio::test]
async fn a_denied_request_is_explained_in_header_and_body() {
    let (world, router) = world(ON).await;
    for protocol in BOTH {
        let client = Client::of(&world, &router, protocol);
        let suspended = Request::get("/").bearer(&world.token_of("wayne"));
        let answer = client.send(asking(suspended, TOKEN)).await;
        assert_eq!(answer.status, 403);
        let header = explanation(&answer).unwrap();
        let last: Vec<_> = header.lines().rev().take(2).collect();
        assert_eq!(
            last,
            [
                "decision;passed=?0;detail=\"tenant_suspended\"",
                "tenant.status;passed=?0;detail=\"tenant_suspended: the tenant is suspended\""
            ]
        );
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let steps = body["error"]["explanation"].as_array().unwrap();
        let checks: Vec<_> = steps
            .iter()
            .map(|it| it["check"].as_str().unwrap())
            .collect();
        let in_header = header.lines().map(|line| line.split(';').next().unwrap());
        assert_eq!(checks, in_header.collect::<Vec<_>>());

        let nobody = client.send(asking(Request::get("/"), TOKEN)).await;
        assert_eq!(nobody.status, 401);
        let header = explanation(&nobody).unwrap();
        assert!(
            header.ends_with("decision;passed=?0;detail=\"missing_token\""),
            "{header}"
        );
    }
}

/// Catches: an answer that shows whether there are explanations, and a token that is passed on.
#[tokio::test]
async fn a_wrong_token_changes_nothing() {
    for (explain, refused) in [(ON, 4), ("", 0)] {
        let (world, router) = world(explain).await;
        let client = Client::of(&world, &router, Protocol::Http1);
        let request = || Request::get("/orders").bearer(&world.token());
        let plain = client.send(request()).await;
        let names = |answer: &Answer| -> Vec<HeaderName> {
            let names = answer.headers.keys();
            names
                .filter(|name| **name != "content-length")
                .cloned()
                .collect()
        };
        let mut others = vec![
            asking(request(), "another"),
            asking(request(), ""),
            asking(request(), DIGEST),
            // Two fields are not one token.
            asking(asking(request(), TOKEN), TOKEN),
        ];
        if refused == 0 {
            others.push(asking(request(), TOKEN));
        }
        for other in others {
            let answer = client.send(other).await;
            assert_eq!(
                (answer.status, names(&answer)),
                (plain.status, names(&plain))
            );
        }
        for (received, _) in world.seen.since() {
            assert!(!format!("{received:?}").contains("explain"));
        }
        let counted = router.metric("cellway_explanations_total").await;
        match refused {
            0 => assert_eq!(counted, [""; 0]),
            count => assert_eq!(
                counted,
                [format!(
                    "cellway_explanations_total{{result=\"wrong_token\"}} {count}"
                )]
            ),
        }
        assert_eq!(router.events.count("explain_refused"), refused);
    }
}

/// Catches: a subject in an explanation that should have none.
#[tokio::test]
async fn an_explanation_names_the_subject_only_if_told() {
    for (subjects, shown) in [("", false), ("subjects = true\n", true)] {
        let (world, router) = world(&format!("{ON}{subjects}")).await;
        let client = Client::of(&world, &router, Protocol::Http2).with(world.authorities.acme());
        let answer = client.send(asking(Request::get("/"), TOKEN)).await;
        assert_eq!(answer.status, 200);
        let text = explanation(&answer).unwrap();
        assert!(text.contains("certificate.san;passed"), "{text}");
        assert_eq!(text.contains(TENANT_SAN), shown, "{text}");
    }
}

/// Catches: a token of an operator who has left.
#[tokio::test]
async fn a_reload_revokes_a_token() {
    let (world, router) = world(ON).await;
    let client = Client::of(&world, &router, Protocol::Http1);
    let request = || asking(Request::get("/").bearer(&world.token()), TOKEN);
    assert!(explanation(&client.send(request()).await).is_some());
    let other = format!("[explain]\ntoken_sha256 = [\"{}\"]\n", "1".repeat(64));
    world.configure(&(world.config() + &other));
    router.reload().await;
    assert!(explanation(&client.send(request()).await).is_none());
}
