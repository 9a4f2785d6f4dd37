//! Messages to and from Envoy: the part of `envoy.service.auth.v3` that a decision needs.
//!
//! Each field has the number and the JSON name of Envoy's own definitions (`external_auth.proto`,
//! `attribute_context.proto`, and `base.proto` of `envoy.config.core.v3`). Fields that aren't here
//! are skipped, so they can't influence a decision.

#![expect(missing_docs, reason = "the fields are Envoy's, by its own names")]

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `CheckRequest`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<Attributes>,
}

/// `AttributeContext`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attributes {
    #[prost(message, optional, tag = "1")]
    pub source: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
}

/// `AttributeContext.Peer`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Peer {
    #[prost(message, optional, tag = "1")]
    #[serde(deserialize_with = "lenient")]
    pub address: Option<Address>,
    /// PEM, percent-encoded.
    #[prost(string, tag = "5")]
    pub certificate: String,
}

/// `Address`. Only socket addresses matter here.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    #[prost(message, optional, tag = "1")]
    #[serde(alias = "socket_address")]
    pub socket_address: Option<SocketAddress>,
}

/// `SocketAddress`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SocketAddress {
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(uint32, tag = "3")]
    #[serde(alias = "port_value")]
    pub port_value: u32,
}

/// `AttributeContext.Request`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRequest {
    #[prost(string, tag = "2")]
    pub method: String,
    /// Each name once, with all its values joined by commas.
    #[prost(btree_map = "string, string", tag = "3")]
    #[serde(deserialize_with = "distinct")]
    pub headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub path: String,
    #[prost(string, tag = "5")]
    pub host: String,
    #[prost(string, tag = "10")]
    pub protocol: String,
    /// The headers as they came. Set instead of `headers` with `encode_raw_headers`.
    #[prost(message, optional, tag = "13")]
    #[serde(alias = "header_map")]
    pub header_map: Option<HeaderMap>,
}

/// `HeaderMap`
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

/// `HeaderValue`
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bytes = "vec", tag = "3")]
    #[serde(
        alias = "raw_value",
        deserialize_with = "base64",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub raw_value: Vec<u8>,
}

/// `CheckResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    #[serde(flatten)]
    pub http_response: Option<HttpResponse>,
    #[prost(message, optional, tag = "4")]
    pub dynamic_metadata: Option<Struct>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `CheckResponse.http_response`
#[derive(Clone, PartialEq, prost::Oneof, Serialize)]
pub enum HttpResponse {
    #[prost(message, tag = "2")]
    #[serde(rename = "deniedResponse")]
    Denied(Denied),
    #[prost(message, tag = "3")]
    #[serde(rename = "okResponse")]
    Ok(Allowed),
}

/// `DeniedHttpResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denied {
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(string, tag = "3")]
    pub body: String,
}

/// `HttpStatus`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct HttpStatus {
    /// An enum whose numbers are the statuses.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `OkHttpResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
    /// For the client, on the answer that the request gets.
    #[prost(message, repeated, tag = "6")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers_to_add: Vec<HeaderValueOption>,
}

/// `HeaderValueOption`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// This is always set, because its default differs between versions of Envoy.
    #[prost(message, optional, tag = "2")]
    pub append: Option<Bool>,
    #[prost(bool, tag = "4")]
    pub keep_empty_value: bool,
}

/// `google.protobuf.BoolValue`
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize)]
#[serde(transparent)]
pub struct Bool {
    #[prost(bool, tag = "1")]
    pub value: bool,
}

/// `google.protobuf.Struct`, with strings only.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(transparent)]
pub struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`, if it is a string.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(transparent)]
pub struct Value {
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
}

/// A map in which no name occurs twice, because it would be unclear which of the two counts.
fn distinct<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Distinct;
    impl<'de> Visitor<'de> for Distinct {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = access.next_entry()? {
                if map.insert(name, value).is_some() {
                    return Err(A::Error::custom("a header occurs twice"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Distinct)
}

/// Only logs and shares use this field, so a bad value is no reason to refuse the check.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}
